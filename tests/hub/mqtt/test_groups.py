from __future__ import annotations

from collections import Counter

import pytest

from chappe.hub.mqtt.group import Group
from chappe.protocols.mqtt import packets
from chappe.protocols.mqtt.packets import Publish, SubscribeFilter, Unsubscribe
from tests.hub.mqtt.rig import V3, V5, Box, durable_box

SHARED = "$share/workers/jobs/#"


@pytest.fixture
def box() -> Box:
    return Box()


@pytest.mark.parametrize("version", [V3, V5])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_mqtt_4_8_2_each_message_goes_to_one_member_in_turn(box: Box, version: packets.Version, qos: int) -> None:
    members = [box.joined(f"m{n}", version) for n in range(3)]
    for member in members:
        assert member.subscribe(SHARED, qos=qos) == [qos]
    writer = box.joined("w")
    for n in range(9):
        writer.publish("jobs/x", str(n).encode(), 2)
    got = [member.payloads() for member in members]
    assert sorted(payload for each in got for payload in each) == [str(n).encode() for n in range(9)]
    assert [len(each) for each in got] == [3, 3, 3]


def test_groups_and_filters_of_ones_own_do_not_count_for_each_other(box: Box) -> None:
    one, two = box.joined("one"), box.joined("two")
    one.subscribe(SHARED, "$share/others/jobs/#", "jobs/#", qos=1)
    two.subscribe(SHARED, qos=1)
    writer = box.joined("w")
    for _ in range(2):
        writer.publish("jobs/x", b"", 1)
    # Of each message: one's own copy, the other group's, and every second one of the shared group.
    assert (len(one.messages()), len(two.messages())) == (5, 1)


def test_retained_messages_are_not_sent_to_groups(box: Box) -> None:
    box.joined("w").publish("jobs/x", b"kept", 1, retain=True)
    member = box.joined("m")
    member.subscribe(SHARED, qos=1)
    assert member.messages() == []
    member.subscribe("jobs/#", qos=1)
    assert member.payloads() == [b"kept"]


def test_no_local_is_not_for_groups(box: Box) -> None:
    member = box.joined("m")
    member.feed(packets_with_no_local())
    assert member.line.closed is not None


def packets_with_no_local() -> bytes:
    """Return a SUBSCRIBE that the encoder refuses to make: No Local with a shared filter."""
    name = SHARED.encode()
    body = b"\x00\x01\x00" + len(name).to_bytes(2, "big") + name + b"\x05"
    return b"\x82" + bytes([len(body)]) + body


def test_who_leaves_the_group_gets_nothing_more(box: Box) -> None:
    one, two = box.joined("one"), box.joined("two")
    for member in (one, two):
        member.subscribe(SHARED, qos=1)
    one.send(Unsubscribe(9, (SHARED,)))
    assert [type(each) for each in one.take()] == [packets.Unsuback]
    writer = box.joined("w")
    for _ in range(4):
        writer.publish("jobs/x", b"", 1)
    assert (len(one.messages()), len(two.messages())) == (0, 4)


def test_what_a_lost_member_did_not_acknowledge_goes_to_another(box: Box) -> None:
    one, two = box.joined("one"), box.joined("two")
    for member in (one, two):
        member.subscribe(SHARED, qos=1)
    writer = box.joined("w")
    for n in range(4):
        writer.publish("jobs/x", str(n).encode(), 1)
    kept = two.payloads()
    one.cut()
    assert sorted(kept + two.payloads()) == [b"0", b"1", b"2", b"3"]


def test_mqtt_4_8_2_what_was_sent_with_qos_2_stays_with_its_member(box: Box) -> None:
    one, two = box.joined("one", expiry_s=100), box.joined("two", expiry_s=100)
    for member in (one, two):
        member.subscribe(SHARED, qos=2)
    writer = box.joined("w")
    writer.publish("jobs/x", b"0", 2)
    (sent,) = [each for each in one.take() if isinstance(each, Publish)]
    one.cut()
    assert two.messages() == []
    again = box.device("one", clean=False, expiry_s=100)
    repeated = [each for each in again.take() if isinstance(each, Publish)]
    assert [(each.packet_id, each.payload, each.dup) for each in repeated] == [(sent.packet_id, b"0", True)]


@pytest.mark.parametrize("first_back", ["one", "two"])
def test_a_group_has_one_place_for_when_nobody_is_there(box: Box, first_back: str) -> None:
    for name in ("one", "two"):
        box.joined(name, expiry_s=100).subscribe(SHARED, qos=1)
    for name in ("one", "two"):
        box.service.sessions.live[name].lost(1006)
    writer = box.joined("w")
    for n in range(3):
        writer.publish("jobs/x", str(n).encode(), 1)
    got: list[bytes] = []
    for name in (first_back, "one" if first_back == "two" else "two"):
        got += box.joined(name, clean=False, expiry_s=100).payloads()
    assert sorted(got) == [b"0", b"1", b"2"]


def test_a_group_that_nobody_comes_back_to_is_forgotten(box: Box) -> None:
    box.joined("one", expiry_s=10).subscribe(SHARED, qos=1)
    box.service.sessions.live["one"].lost(1006)
    box.clock.advance(11.0)
    assert not box.service.groups._groups


def test_a_group_survives_a_restart() -> None:
    box = durable_box()
    box.joined("one", expiry_s=1_000).subscribe(SHARED, qos=1)
    box.joined("w").publish("jobs/x", b"1", 1)
    again = box.restart()
    again.joined("w2").publish("jobs/x", b"2", 1)
    device = again.device("one", clean=False, expiry_s=1_000)
    assert sorted(set(device.payloads())) == [b"1", b"2"]


def test_a_member_without_the_right_is_refused(box: Box) -> None:
    member = box.joined("m")
    assert member.subscribe(SubscribeFilter("$share/g/closed/a", 1))[0] >= 0x80
    assert not box.service.groups._groups


def test_many_groups_are_looked_after_a_few_at_a_time(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is done for all groups at once is what everybody else waits for."""
    looks: list[tuple[float, str]] = []
    audit = Group.audit

    def noted(group: Group) -> None:
        looks.append((box.clock.now(), group.name))
        audit(group)

    monkeypatch.setattr(Group, "audit", noted)
    member = box.joined("m1")
    names = [f"$share/g{number}/jobs/#" for number in range(100)]
    for name in names:
        member.subscribe(name, qos=1)
    box.clock.advance(1.0)
    looks.clear()
    for _ in range(300):
        box.clock.advance(0.01)
    assert max(Counter(when for when, _ in looks).values()) == 8
    assert set(Counter(name for _, name in looks).values()) <= {2, 3, 4}
    assert {name for _, name in looks} == set(names)
    member.send(Unsubscribe(member.next_id(), tuple(names)))
    box.clock.advance(2.0)
    assert box.service.metrics()["chappe_mqtt_groups"] == 0
    assert box.service.groups.get(names[0]) is None


def test_a_group_that_cannot_be_looked_after_keeps_no_other_from_it(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: Counter[str] = Counter()

    def failing(group: Group) -> None:
        looks[group.name] += 1
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(Group, "audit", failing)
    member = box.joined("m1")
    names = [f"$share/g{number}/jobs/#" for number in range(3)]
    for name in names:
        member.subscribe(name, qos=1)
    for _ in range(10):
        box.clock.advance(0.5)
    assert {name: looks[name] >= 3 for name in names} == dict.fromkeys(names, True)
    assert box.hub.counters.hook_errors == sum(looks.values())
