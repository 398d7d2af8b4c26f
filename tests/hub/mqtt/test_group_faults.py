"""Shared subscriptions beside nodes that die in between, engines that answer late or refuse, and damaged logs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from chappe.hub.contracts import Append, Outcome
from chappe.hub.mqtt.claim_log import channel_of
from chappe.hub.mqtt.claims import Entry, Snapshot
from chappe.hub.namespaces import Level, Namespace
from chappe.model.error_codes import Code
from chappe.model.position import Position
from chappe.model.publication import Kind
from chappe.protocols.base import SincePosition
from chappe.protocols.mqtt.packets import ConnectProperties, Publish, Unsubscribe
from tests.hub.mqtt.boxes import GONE_S, SHARED, Boxes, answer, came, member, once, publish

GROUPS = "$hub/mqtt-groups/"
RECORDS = "$hub/mqtt/"
#: What NATS takes.
MOST_BYTES = 1_048_576


class Way:
    """A way to the engine on which appends to some channels wait until `release`, and large ones are refused."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.waits = "nothing"
        self.refused = 0
        self.largest = 0
        self._waiting: list[tuple[Sequence[Append], Callable[[Sequence[Outcome]], None]]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def append(self, batch: Sequence[Append], done: Callable[[Sequence[Outcome]], None]) -> None:
        size = max(len(each.payload) for each in batch)
        self.largest = max(self.largest, size)
        if batch[0].channel.startswith(self.waits):
            self._waiting.append((batch, done))
        elif size > MOST_BYTES:
            self.refused += 1
            done([Outcome(Code.NOT_AVAILABLE, Position("", 0))] * len(batch))
        else:
            self._inner.append(batch, done)

    def release(self) -> None:
        self.waits = "nothing"
        waiting, self._waiting = self._waiting, []
        for batch, done in waiting:
            self._inner.append(batch, done)


def boxes(count: int) -> tuple[Boxes, list[Way]]:
    ways: list[Way] = []

    def wrap(broker: Any) -> Any:
        ways.append(Way(broker))
        return ways[-1]

    return Boxes(count, wrap=wrap), ways


def stay(nodes: Boxes, *devices: Any) -> None:
    """Let clients be heard."""
    for device in devices:
        device.line.last_heard = nodes.clock.now()


@pytest.mark.parametrize("expiry_s", [0, 600])
def test_what_was_claimed_for_a_session_that_begins_anew_goes_to_others(expiry_s: int) -> None:
    nodes, ways = boxes(3)
    member(nodes[0], "one", SHARED, 2, expiry_s=600)
    other = member(nodes[2], "other", SHARED, 2, expiry_s=600)
    nodes.pass_time(2)
    # Its node is killed before the record stands that names what it claims.
    ways[0].waits = RECORDS
    payloads = publish(nodes[2], 30)
    got = came(other)
    assert 0 < len(got) < 30
    nodes.kill(0)
    again = nodes[1].device("one", clean=True, expiry_s=expiry_s)
    for _ in range(10):
        nodes.pass_time(GONE_S / 5)
        stay(nodes, other, again)
        got += came(other)
    assert got == once(payloads)
    group = nodes[2].service.groups.get(SHARED)
    assert group is not None
    assert not group.log.claims.claims


def test_what_a_session_was_sent_stays_its_own_when_it_begins_anew() -> None:
    nodes, _ = boxes(3)
    one = member(nodes[0], "one", SHARED, 2, expiry_s=600)
    other = member(nodes[2], "other", SHARED, 2, expiry_s=600)
    nodes.pass_time(2)
    payloads = publish(nodes[2], 30)
    sent = Counter(each.payload for each in one.take() if isinstance(each, Publish))
    assert sent
    nodes.kill(0)
    again = nodes[1].device("one", clean=True, expiry_s=0)
    got = Counter[bytes]()
    for _ in range(10):
        nodes.pass_time(GONE_S / 5)
        stay(nodes, other, again)
        got += came(other)
    assert got + sent == once(payloads)


def test_a_message_that_is_taken_from_a_dead_node_and_claimed_in_one_entry_is_ours() -> None:
    nodes, ways = boxes(2)
    member(nodes[0], "one", SHARED, 1)
    two = member(nodes[1], "two", SHARED, 1)
    nodes.pass_time(1)
    ways[0].waits = ways[1].waits = GROUPS
    writer = nodes[1].joined("w")
    payloads = [b"%d" % number for number in range(30)]
    for number, payload in enumerate(payloads):
        writer.publish(f"jobs/{number % 3}", payload, 1)
    # This node wants what the other one claims as well, behind an entry that is not answered.
    nodes.pass_time(2.5)
    ways[0].release()
    nodes.clock.advance(0.01)
    nodes.kill(0)
    for _ in range(40):
        nodes.pass_time(1)
    ways[1].release()
    nodes.pass_time(3)
    assert {each.payload for each in two.take() if isinstance(each, Publish)} == {*payloads}
    three = member(nodes[1], "three", SHARED, 1)
    two.cut()
    got = Counter[bytes]()
    for _ in range(40):
        nodes.pass_time(1)
        stay(nodes, three)
        got += Counter(each.payload for each in answer(three))
    assert got == once(payloads)


def test_room_that_was_kept_for_what_others_claimed_is_given_back() -> None:
    nodes, ways = boxes(2)
    one = member(nodes[0], "one", SHARED, 1)
    full = member(nodes[1], "full", SHARED, 1, properties=ConnectProperties(receive_maximum=1))
    publish(nodes[1], 6, first=9_000)
    answer(one)
    for number in range(4):
        two = member(nodes[1], f"two{number}", SHARED, 1)
        nodes.pass_time(1)
        ways[0].waits = GROUPS
        publish(nodes[1], 24, first=100 * number)
        nodes.pass_time(2.5)
        two.goodbye()
        nodes.clock.advance(0.1)
        ways[0].release()
        for _ in range(6):
            nodes.pass_time(0.5)
            answer(one)
        stay(nodes, one, full)
    assert one.mqtt.outbound is not None
    assert one.mqtt.outbound.window.reserved == 0


def test_an_entry_is_no_larger_than_engines_take() -> None:
    nodes, ways = boxes(1)
    members = [member(nodes[0], "\U0001f600" * 253 + str(number), SHARED, 2, expiry_s=600) for number in range(11)]
    writer = nodes[0].joined("w")
    nodes.pass_time(1)
    ways[0].waits = GROUPS
    for number in range(1_000):
        writer.publish("jobs/" + "t" * 150 + str(number % 3), b"%d" % number, 2)
    ways[0].release()
    nodes.pass_time(30)
    assert sum(isinstance(each, Publish) for device in members for each in device.take()) == 1_000
    assert ways[0].refused == 0
    assert ways[0].largest < 300_000


@pytest.mark.parametrize(
    "damaged",
    [
        Snapshot(1, SincePosition(position="damaged"), {}, [], [], [], {}),
        Snapshot(1, None, {}, [], [], [("a", "e", [1])], {}),
        Entry("x", 1, share=1, since=SincePosition(position="damaged")),
        Entry("x", 1, floor=SincePosition(position="x:")),
    ],
    ids=["snapshot", "count", "since", "floor"],
)
def test_what_is_damaged_in_a_log_is_counted_and_passed_over(damaged: Snapshot | Entry) -> None:
    nodes, _ = boxes(1)
    namespace = Namespace(name="$hub", level=Level.RECOVERABLE, history_count=100, history_age_s=600.0)
    entry = Append(
        channel_of(SHARED),
        msgspec.msgpack.encode(damaged),
        Kind.BINARY,
        nodes.clock.wall_ms(),
        namespace,
        retain=isinstance(damaged, Snapshot),
    )
    nodes.engine.inner.append((entry,), lambda outcomes: None)
    one = member(nodes[0], "one", SHARED, 1)
    nodes.pass_time(2)
    payloads = publish(nodes[0], 20, qos=1)
    assert came(one) == once(payloads)
    assert nodes.metric("chappe_mqtt_group_entries_malformed_total") >= 1


def test_a_backlog_is_read_in_pages_and_each_message_about_once() -> None:
    nodes, ways = boxes(1)
    properties = ConnectProperties(receive_maximum=1, session_expiry_s=600)
    one = member(nodes[0], "one", SHARED, 1, properties=properties)
    read = 0

    def read_log(request: Any, done: Callable[[Any], None]) -> None:
        def found(result: Any) -> None:
            nonlocal read
            read += len(result.publications)
            done(result)

        ways[0]._inner.read_log(request, found)

    ways[0].read_log = read_log  # type: ignore[attr-defined]
    writer = nodes[0].joined("w")
    for number in range(2_000):
        writer.publish(f"jobs/{number % 20}", b"x%d" % number, 1)
    assert len(came(one)) == 2_000
    assert read <= 3_000


def test_names_that_a_client_invents_do_not_stay() -> None:
    nodes, _ = boxes(1)
    device = nodes[0].joined("one")
    for number in range(100):
        device.subscribe(f"$share/g{number}/jobs/a")
        device.send(Unsubscribe(60_000, (f"$share/g{number}/jobs/a",)))
        device.take()
    device.goodbye()
    nodes.pass_time(5)
    nodes.clock.advance(3_600)
    nodes.clock.advance(3_600)
    kept = nodes.engine.inner
    assert not [
        name for table in vars(kept).values() if isinstance(table, dict) for name in table if GROUPS in str(name)
    ]


def test_a_session_remembers_no_group_that_it_has_nothing_of() -> None:
    nodes, _ = boxes(2)
    one = member(nodes[0], "one", "$share/a/jobs/#", 2, expiry_s=600)
    came_here = Counter[bytes]()
    for number in range(20):
        one.subscribe(f"$share/g{number}/jobs/#", qos=2)
        publish(nodes[0], 2, first=2 * number)
        came_here += came(one)
        one.send(Unsubscribe(60_000, (f"$share/g{number}/jobs/#",)))
        one.take()
    nodes.pass_time(2)
    came(one)
    nodes.pass_time(1)
    assert came_here
    assert not one.mqtt.sent


def test_who_is_full_is_not_asked_again_for_each_message_that_another_acknowledges(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from chappe.hub.mqtt import members as module

    nodes, _ = boxes(1)
    properties = ConnectProperties(receive_maximum=1)
    crowd = [member(nodes[0], f"m{number}", SHARED, 1, properties=properties) for number in range(100)]
    publish(nodes[0], 200, qos=1)
    asked = 0
    has_room = module._has_room

    def counted(client: Any) -> bool:
        nonlocal asked
        asked += 1
        return has_room(client)

    monkeypatch.setattr(module, "_has_room", counted)
    assert answer(crowd[50])
    assert asked < 20
