"""Clients that come back cost one read of each channel, and get what the broker would have given each of them.

The brokers that need this answer later: a spy holds their answers back, or an engine takes its time.
"""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chappe.hub.contracts import Broker, Read, ReadResult
from chappe.hub.recovery import MOST_NOTED, RECENT_IDLE_S, Stretch, size_of
from chappe.model.position import Position
from chappe.model.publication import Kind, Publication
from chappe.testing.faulty_broker import Faults
from tests.hub.cluster.rig import Nodes
from tests.hub.harness import Client, SpyBroker, World, namespace, since

LONG = 200


def come_back(world: World, channel: str, position: dict[str, Any]) -> Client:
    client = world.client()
    client.command("subscribe", channel=channel, since=position)
    return client


class Held(SpyBroker):
    """Holds every answer to a read until `land`."""

    def __init__(self, inner: Broker) -> None:
        super().__init__(inner)
        self.holds = {"read"}

    def land(self, number: int = 0) -> None:
        self.held.pop(number)()


def held(**options: Any) -> tuple[World, Held]:
    spies: list[Held] = []

    def wrap(broker: Broker) -> Broker:
        spies.append(Held(broker))
        return spies[0]

    return World(wrap=wrap, **options), spies[0]


def started(world: World, spy: Held, channel: str = "a") -> dict[str, Any]:
    """Keep a channel attached by a first subscriber; return its position."""
    client = world.client()
    answered = client.command("subscribe", channel=channel)
    spy.land()
    world.settle()
    return since(client.answer(answered))


# --- One read for all ------------------------------------------------------------------------------------------------


def test_a_thousand_clients_at_one_place_cost_one_read() -> None:
    nodes = Nodes(1)
    (world,) = nodes.worlds
    position = since(world.client().ask("subscribe", channel="a"))
    for number in range(20):
        world.append("a", number)
    clients = []
    for number in range(200):
        clients.append(come_back(world, "a", position))
        if number % 7 == 0:
            nodes.pass_time(0.001)
    world.settle()
    assert all(client.data() == list(range(20)) for client in clients)
    assert world.hub.counters.recovery_reads == 1
    assert world.hub.counters.recovery_shared == 199


def test_clients_at_many_places_cost_few_reads_and_nobody_waits_for_another() -> None:
    nodes = Nodes(1)
    (world,) = nodes.worlds
    position = since(world.client().ask("subscribe", channel="a"))
    for number in range(LONG // 2):
        world.append("a", number)
    places = list(range(LONG // 2))
    Random(1).shuffle(places)
    clients = []
    for number, place in enumerate(places):
        clients.append((place, come_back(world, "a", {**position, "offset": place})))
        if number % 3 == 0:
            nodes.pass_time(0.002)
    world.settle()
    assert [client.data() for place, client in clients] == [list(range(place, LONG // 2)) for place, _ in clients]
    # Only who was away longer than all before it asks the engine: of n in any order about ln n.
    assert world.hub.counters.recovery_reads < 15


def test_who_comes_while_it_goes_on_misses_nothing() -> None:
    nodes = Nodes(1)
    (world,) = nodes.worlds
    position = since(world.client().ask("subscribe", channel="a"))
    clients = []
    for number in range(60):
        world.append("a", number)
        clients.append(come_back(world, "a", position))
    world.settle()
    assert all(client.data() == list(range(60)) for client in clients)
    assert world.hub.counters.recovery_reads == 1


def test_those_of_an_epoch_that_is_over_cost_one_read_until_something_comes() -> None:
    nodes = Nodes(1)
    (world,) = nodes.worlds
    world.client().ask("subscribe", channel="a")
    world.append("a", "kept", retain=True)
    old = {"epoch": "over", "offset": 3}
    clients = [come_back(world, "a", old)]
    world.settle()
    clients += [come_back(world, "a", {**old, "offset": number}) for number in range(20)]
    world.settle()
    assert world.hub.counters.recovery_reads == 1
    for client in clients:
        reply, retained = client.received()
        assert (reply["recovered"], reply["offset"], retained["data"]) == (False, 1, "kept")
    # What is retained may be another one now: the feed does not tell.
    world.append("a", "another", retain=True)
    assert [each["data"] for each in come_back_and_settle(world, old)] == ["another"]
    assert world.hub.counters.recovery_reads == 2


def come_back_and_settle(world: World, position: dict[str, Any]) -> list[Any]:
    client = come_back(world, "a", position)
    world.settle()
    return client.publications()


def test_a_gap_that_cannot_be_filled_is_asked_for_once() -> None:
    nodes = Nodes(1)
    (world,) = nodes.worlds
    position = since(world.client().ask("subscribe", channel="short/a"))
    for number in range(5):
        world.append("short/a", number)
    clients = [come_back(world, "short/a", {**position, "offset": place}) for place in (1, 0, 1, 0)]
    world.settle()
    clients += [come_back(world, "short/a", {**position, "offset": place}) for place in (1, 0)]
    world.settle()
    assert [client.received()[0]["recovered"] for client in clients] == [False] * 6
    assert world.hub.counters.recovery_reads == 2


def test_a_broker_that_answers_at_once_is_asked_each_time() -> None:
    world = World()
    position = since(world.client().ask("subscribe", channel="a"))
    for _ in range(3):
        assert come_back_in(world, "a", position)["recovered"] is True
    assert len(world.hub.recovery) == 0
    assert world.hub.counters.recovery_reads == 3


# --- When what is kept does not hold ---------------------------------------------------------------------------------


def test_an_interruption_ends_it() -> None:
    world, spy = held()
    position = started(world, spy)
    come_back(world, "a", position)
    spy.land()
    world.settle()
    assert len(world.hub.recovery) == 1
    world.hub.delivery.interrupted(["a"])
    assert (len(world.hub.recovery), world.hub.recovery.kept_bytes) == (0, 0)


def test_a_read_that_an_interruption_overtook_is_not_kept() -> None:
    world, spy = held()
    position = started(world, spy)
    client = come_back(world, "a", position)
    world.hub.delivery.interrupted(["a"])
    spy.land()
    assert len(world.hub.recovery) == 0
    spy.land()
    world.settle()
    assert client.received()[0]["recovered"] is True
    assert len(world.hub.recovery) == 1


def test_a_channel_that_is_given_up_is_kept_no_more() -> None:
    world, spy = held()
    client = come_back(world, "a", {"epoch": "over", "offset": 0})
    spy.land()
    world.settle()
    assert len(world.hub.recovery) == 1
    client.cut()
    world.settle()
    assert (len(world.hub.recovery), world.hub.recovery.kept_bytes) == (0, 0)


def test_an_answer_and_a_feed_of_two_lives_are_not_put_together() -> None:
    world, spy = held(broker="faulty", faults=Faults())
    position = started(world, spy)
    client = come_back(world, "a", position)
    assert world.faulty is not None
    # The broker forgets to tell; what it feeds now is of the new life, and the answer on its way of the old one.
    world.hub.delivery.interrupted = lambda channels: None  # type: ignore[method-assign]
    world.faulty.new_epoch(["a"])
    world.append("a", 0)
    while spy.held:
        spy.land()
        world.settle()
    assert client.received()[0]["recovered"] is False
    assert position["epoch"] != client.received()[0]["epoch"]


# --- Bounds ----------------------------------------------------------------------------------------------------------


def test_what_nobody_comes_back_to_is_let_go() -> None:
    world, spy = held()
    position = started(world, spy)
    come_back(world, "a", position)
    spy.land()
    world.clock.advance(RECENT_IDLE_S / 2)
    come_back(world, "a", position)
    world.clock.advance(RECENT_IDLE_S - 1)
    assert len(world.hub.recovery) == 1
    world.clock.advance(2)
    assert len(world.hub.recovery) == 0
    assert world.hub.counters.recovery_shared == 1


def test_the_channel_used_longest_ago_goes_when_there_is_too_much() -> None:
    world, spy = held(recovery_cache_bytes=10_000, message_bytes=10_000)
    positions = {name: started(world, spy, name) for name in "abcdef"}
    for name, position in positions.items():
        world.append(name, "x" * 1_500)
        come_back(world, name, position)
        spy.land()
    assert world.hub.recovery.kept_bytes <= 10_000
    assert world.hub.counters.recovery_evicted == 1
    for name in "bfa":
        client = come_back(world, name, positions[name])
        if name == "a":
            spy.land()
        world.settle()
        assert client.data() == ["x" * 1_500]
    assert world.hub.counters.recovery_evicted == 2
    # One channel does not take all: its oldest go first.
    for _ in range(10):
        world.append("f", "y" * 1_500)
    assert len(world.hub.recovery) > 1
    assert world.hub.recovery.kept_bytes <= 10_000


def test_nothing_is_kept_when_nothing_may_be() -> None:
    world, spy = held(recovery_cache_bytes=0)
    position = started(world, spy)
    for _ in range(2):
        client = come_back(world, "a", position)
        spy.land()
        world.settle()
        assert client.received()[0]["recovered"] is True
    assert len(world.hub.recovery) == 0


def test_no_more_than_a_gap_may_have_is_kept() -> None:
    world, spy = held(recovery_publications=5)
    position = started(world, spy)
    come_back(world, "a", position)
    spy.land()
    for number in range(8):
        world.append("a", number)
    (stretch,) = (channel.stretch for channel in world.hub.channels)
    assert stretch is not None
    assert (len(stretch), stretch.after, stretch.end) == (5, 3, 8)


def test_what_is_too_old_is_not_given_from_here_either() -> None:
    world, spy = held()
    position = started(world, spy, "short/a")
    come_back(world, "short/a", position)
    spy.land()
    world.append("short/a", 0)
    world.clock.advance(50)
    world.append("short/a", 1)
    assert come_back_in(world, "short/a", position)["recovered"] is True
    world.clock.advance(15)
    client = come_back(world, "short/a", position)
    spy.land()
    world.settle()
    assert client.received()[0]["recovered"] is False


def come_back_in(world: World, channel: str, position: dict[str, Any]) -> Any:
    client = come_back(world, channel, position)
    world.settle()
    return client.received()[0]


def test_nobody_joins_a_read_that_much_has_overtaken() -> None:
    world, spy = held(namespaces=[namespace("default", history_count=100_000)])
    position = started(world, spy)
    first = come_back(world, "a", position)
    for number in range(MOST_NOTED):
        world.append("a", number)
    joined = come_back(world, "a", position)
    assert len(spy.held) == 1
    world.append("a", MOST_NOTED)
    late = come_back(world, "a", position)
    assert len(spy.held) == 2
    spy.land(1)
    spy.land()
    world.settle()
    assert first.received()[0]["code"] == 108
    assert joined.data() == [*range(MOST_NOTED + 1)]
    assert late.received()[0]["recovered"] is False
    # Of the first read nobody knows all that came behind it.
    (stretch,) = (channel.stretch for channel in world.hub.channels)
    assert stretch is not None
    assert stretch.after == MOST_NOTED + 1


def publication(offset: int, epoch: str = "now") -> Publication:
    return Publication("a", b"", Kind.JSON, offset, epoch, 0)


def stretch_of(*offsets: int, after: int, told: int) -> Stretch:
    stretch = Stretch(100, 100_000, 0.0)
    assert learned(stretch, *offsets, after=after, told=told)
    return stretch


def learned(stretch: Stretch, *offsets: int, after: int, told: int, epoch: str = "now") -> bool:
    found = [publication(offset, epoch) for offset in offsets]
    return stretch.learn(Position(epoch, after), ReadResult(0, Position(epoch, told), found, True), ())


def told_by(stretch: Stretch, offset: int) -> list[int] | None:
    found = stretch.answer(Position("now", offset), 0)
    return [each.offset for each in found.publications] if found is not None else None


def test_two_answers_are_one_stretch_only_if_nothing_can_be_between_them() -> None:
    stretch = stretch_of(5, 6, after=4, told=6)
    assert learned(stretch, 9, after=8, told=9)
    assert (told_by(stretch, 8), told_by(stretch, 4)) == (None, [5, 6])
    assert learned(stretch, 2, after=1, told=2)
    assert (told_by(stretch, 1), stretch.after) == (None, 4)
    assert learned(stretch, 6, 7, after=5, told=7)
    assert told_by(stretch, 4) == [5, 6, 7]
    assert learned(stretch, 3, 5, 6, after=2, told=6)
    assert told_by(stretch, 2) == [3, 5, 6, 7]
    assert stretch.size == sum(size_of(publication(offset)) for offset in (3, 5, 6, 7))


def test_another_life_is_no_part_of_a_stretch() -> None:
    stretch = stretch_of(5, after=4, told=5)
    assert not stretch.take(publication(6, "next"))
    assert not learned(stretch, 6, after=5, told=6, epoch="next")
    fresh = Stretch(100, 100_000, 0.0)
    result = ReadResult(0, Position("now", 1), (), True)
    assert not fresh.learn(Position("now", 1), result, [publication(1, "next")])
    assert told_by(stretch, 4) == [5]


# --- The model -------------------------------------------------------------------------------------------------------

places = st.integers(0, 30)


class RecoveryMachine(RuleBasedStateMachine):
    """A channel with a broker whose answers come when they come: what is known here is what the broker would say now.

    And who comes back gets exactly what was published behind its place, or is told that it does not.
    """

    @initialize(count=st.integers(1, 8), age_s=st.sampled_from([0.0, 5.0]), cache=st.sampled_from([1 << 20, 6_000]))
    def begin(self, count: int, age_s: float, cache: int) -> None:
        options = namespace("default", history_count=count, history_age_s=age_s)
        limits = {"recovery_cache_bytes": cache, "recovery_publications": 6}
        self.world, self.spy = held(broker="faulty", faults=Faults(), namespaces=[options], **limits)
        self.position = started(self.world, self.spy)
        self.epochs = [self.position["epoch"]]
        # What was published in each epoch, by offset.
        self.published: dict[str, dict[int, Any]] = {self.epochs[0]: {}}
        self.clients: list[tuple[dict[str, Any], Client]] = []
        self.number = 0

    @rule(size=st.sampled_from([1, 300]), retain=st.booleans())
    def publish(self, size: int, retain: bool) -> None:
        self.number += 1
        value = f"{self.number} {'x' * size}"
        outcome = self.world.append("a", value, retain=retain)
        self.published.setdefault(outcome.position.epoch, {})[outcome.position.offset] = value

    @rule(back=places, epoch=st.integers(0, 3))
    def come_back(self, back: int, epoch: int) -> None:
        name = self.epochs[-1 - epoch % len(self.epochs)]
        place = {"epoch": name, "offset": max(max(self.published[name], default=0) - back + 1, 0)}
        self.clients.append((place, come_back(self.world, "a", place)))

    @precondition(lambda self: self.spy.held)
    @rule(which=places)
    def land(self, which: int) -> None:
        self.spy.land(which % len(self.spy.held))
        self.world.settle()

    @rule()
    def interrupt(self) -> None:
        self.world.hub.delivery.interrupted(["a"])

    @rule()
    def begin_anew(self) -> None:
        assert self.world.faulty is not None
        self.world.faulty.new_epoch(["a"])
        self.epochs.append(self.asked(Position("", 0)).position.epoch)
        self.published.setdefault(self.epochs[-1], {})

    @rule(seconds=st.sampled_from([0.1, 3.0, RECENT_IDLE_S + 1]))
    def wait(self, seconds: float) -> None:
        self.world.clock.advance(seconds)

    def asked(self, place: Position) -> ReadResult:
        """Return what the broker says now."""
        found: list[ReadResult] = []
        limit = self.world.limits.recovery_publications
        self.spy.inner.read(Read("a", self.world.namespaces.of("a"), place, limit), found.append)
        return found[0]

    @invariant()
    def is_what_the_broker_would_say(self) -> None:
        channel = self.world.hub.channels.get("a")
        if channel is None:
            return
        for epoch in self.epochs[-2:]:
            for offset in range(max(self.published[epoch], default=0) + 2):
                place = Position(epoch, offset)
                known = self.world.hub.recovery.answer(channel, place)
                if known is None:
                    continue
                truth = self.asked(place)
                assert (known.position, known.complete) == (truth.position, truth.complete)
                if known.complete:
                    assert list(known.publications) == list(truth.publications)
                else:
                    assert known.retained == truth.retained
        sizes = [channel.stretch.size for channel in self.world.hub.channels if channel.stretch is not None]
        assert self.world.hub.recovery.kept_bytes == sum(sizes) <= self.world.limits.recovery_cache_bytes

    def teardown(self) -> None:
        while self.spy.held:
            self.spy.land()
            self.world.settle()
        for place, client in self.clients:
            self.judge(place, client)

    def judge(self, place: dict[str, Any], client: Client) -> None:
        """See that what a client got has no gap, no double and nothing of another life."""
        reply = client.received()[0]
        if reply["type"] == "error":
            assert reply["code"] == 108
            return
        lives = self.published[reply["epoch"]]
        from_offset = place["offset"] if reply["recovered"] else reply["offset"]
        got = [(each["offset"], each["data"]) for each in client.publications() if not each.get("retained")]
        wanted = [(offset, value) for offset, value in sorted(lives.items()) if offset > from_offset]
        if client.kinds()[-1] == "unsubscribed":
            wanted = wanted[: len(got)]
        assert got == wanted
        if reply["recovered"]:
            assert place["epoch"] == reply["epoch"]


TestRecoveryMachine = RecoveryMachine.TestCase
TestRecoveryMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
