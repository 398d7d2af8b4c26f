"""The faulty broker keeps the contract and breaks what it may break."""

import random
from collections.abc import Sequence

import pytest

from chappe.brokers.memory import MemoryBroker
from chappe.hub.contracts import Append, Broker, Outcome, Read, ReadLog, ReadLogResult, ReadResult
from chappe.hub.namespaces import Level, Namespace
from chappe.model.error_codes import Code
from chappe.model.position import Position
from chappe.model.publication import Kind, Publication
from chappe.testing.broker_contract import check_broker
from chappe.testing.broker_probe import Probe
from chappe.testing.fake_clock import FakeClock
from chappe.testing.faulty_broker import EVERYTHING, HARMLESS, Faults, FaultyBroker

KEPT = Namespace(name="kept", level=Level.RECOVERABLE, history_count=100, history_age_s=3600.0)


def item(channel: str, payload: bytes = b"1", **more: object) -> Append:
    return Append(channel, payload, Kind.JSON, 0, KEPT, **more)  # type: ignore[arg-type]


class World:
    """A faulty broker on a memory broker on a fake clock, and a probe."""

    def __init__(self, faults: Faults, seed: int = 1) -> None:
        self.clock = FakeClock()
        self.memory = MemoryBroker(self.clock, random.Random(seed).randbytes)
        self.broker = FaultyBroker(self.memory, self.clock, seed, faults)
        self.probe = Probe(self.broker, self.clock.sleep, 1.0)


async def started(faults: Faults, seed: int = 1) -> World:
    world = World(faults, seed)
    await world.broker.start(world.probe)
    return world


@pytest.mark.parametrize("seed", range(12))
async def test_harmless_faults_keep_the_whole_contract(seed: int) -> None:
    clock = FakeClock()

    async def factory() -> Broker:
        return FaultyBroker(MemoryBroker(clock, random.Random(seed).randbytes), clock, seed, HARMLESS)

    await check_broker(factory, sleep=clock.sleep, patience_s=2.0, minutes_pass=True)


async def test_without_faults_it_answers_inside_the_call() -> None:
    world = await started(Faults())
    world.broker.attach("a")
    pending = world.probe.append_later(item("a"))
    assert pending.outcomes is not None
    assert len(world.probe.feed) == 1
    await world.broker.stop()


async def test_two_with_one_seed_behave_the_same() -> None:
    async def run() -> tuple[list[Publication], list[Sequence[str] | None], int]:
        world = await started(EVERYTHING, 7)
        world.broker.attach("#")
        for number in range(200):
            world.probe.append_later(item(f"c/{number % 5}", b"%d" % number))
            world.clock.advance(0.003)
        await world.broker.stop()
        return world.probe.feed, world.probe.interruptions, world.broker.failed

    first = await run()
    assert first == await run()
    assert first[1]
    assert first[2]


async def test_a_failure_takes_the_pending_tail_of_its_channels_with_it() -> None:
    world = await started(Faults(late=1.0))
    pending = [world.probe.append_later(item("a"), item("b")), world.probe.append_later(item("a"))]
    world.broker.fail_pending(["a"])
    after = world.probe.append_later(item("a"))
    world.clock.advance(1)
    told = [[outcome.error for outcome in each.outcomes or ()] for each in (*pending, after)]
    assert told == [[Code.NOT_AVAILABLE, 0], [Code.NOT_AVAILABLE], [0]]
    assert (await world.probe.read(Read("a", KEPT, limit=10))).position == (after.outcomes or ())[0].position
    assert world.broker.failed == 2
    await world.broker.stop()


async def test_a_new_epoch_loses_everything_and_tells_so() -> None:
    world = await started(Faults(gaps=True), 3)
    world.broker.attach("a")
    keyed = item("a", b"9", key="k", retain=True)
    positions = await world.probe.store(*(item("a", b"%d" % number) for number in range(9)), keyed)
    log = (await world.probe.read_log(ReadLog("a"))).position
    world.broker.new_epoch(["a"])
    assert world.probe.interruptions == [["a"]]
    result = await world.probe.read(Read("a", KEPT, positions[0], limit=100))
    assert not result.complete
    assert not result.publications
    assert result.retained is None
    assert result.position.offset == 0
    assert result.position.epoch != positions[0].epoch
    assert not (await world.probe.read_log(ReadLog("a", log, limit=100))).complete
    (again,) = await world.probe.append(keyed)
    assert not again.duplicate
    assert again.position.epoch == result.position.epoch
    since_start = await world.probe.read(Read("a", KEPT, result.position, limit=100))
    assert since_start.complete
    assert [publication.position for publication in since_start.publications] == [again.position]
    backwards = await world.probe.read(Read("a", KEPT, again.position, limit=100, reverse=True))
    assert backwards.complete
    assert not backwards.publications
    (conflict,) = await world.probe.append(item("a", expect=Position("", positions[-1].offset)))
    assert conflict.error == Code.CONFLICT
    assert (await world.probe.append(item("a", expect=Position("", again.position.offset))))[0].error == 0
    await world.broker.stop()


async def test_what_was_stored_is_told_before_its_epoch_ends() -> None:
    world = await started(Faults(late=1.0), 5)
    world.broker.attach("a")
    pending = [world.probe.append_later(item("a", b"%d" % number)) for number in range(20)]
    while not world.memory.sequence:
        world.clock.advance(0.001)
    stored = world.memory.sequence
    old = [each for each in pending if each.outcomes is not None]
    assert len(old) < stored
    world.broker.new_epoch()
    told = [each.outcomes[0].position for each in pending if each.outcomes]
    assert len(told) == stored
    assert len(world.probe.feed) == stored
    world.clock.advance(1)
    epochs = [each.outcomes[0].position.epoch for each in pending if each.outcomes]
    assert len(set(epochs)) == 2
    assert len(epochs) == 20
    await world.broker.stop()


async def test_what_the_hub_asks_while_it_is_told_of_a_new_epoch_is_answered() -> None:
    world = await started(Faults(late=1.0))
    answers: list[Sequence[Outcome]] = []
    broker = world.broker
    broker.append([item("a")], lambda _: broker.append([item("a")], answers.append))
    while not world.memory.sequence:
        world.clock.advance(0.001)
    broker.new_epoch()
    world.clock.advance(1)
    assert [outcome.error for (outcome,) in answers] == [0]
    await broker.stop()


async def test_a_dead_feed_is_told_before_anything_newer_is_fed() -> None:
    world = await started(Faults())
    world.broker.attach("a")
    await world.probe.store(item("a", b"1"))
    world.broker.interrupt(0.5)
    await world.probe.store(item("a", b"2"))
    assert [publication.payload for publication in world.probe.feed] == [b"1"]
    assert not world.probe.interruptions
    world.clock.advance(0.5)
    assert len(world.probe.interruptions) == 1
    await world.probe.store(item("a", b"3"))
    assert [publication.payload for publication in world.probe.feed] == [b"1", b"3"]
    await world.broker.stop()


async def test_stopping_tells_everything_even_when_callbacks_append_again() -> None:
    world = await started(EVERYTHING, 11)
    world.broker.attach("a")
    refused: list[int] = []

    def again(_: Sequence[Outcome]) -> None:
        world.broker.append([item("a")], lambda outcomes: refused.append(outcomes[0].error))

    pending = [world.probe.append_later(item("a"), then=again) for _ in range(10)]
    answers: list[ReadResult | ReadLogResult] = []
    for _ in range(5):
        world.broker.read(Read("a", KEPT), answers.append)
        world.broker.read_log(ReadLog("a"), answers.append)
    await world.broker.stop()
    assert all(each.outcomes for each in pending)
    assert len(answers) == 10
    assert len(refused) == 10
    assert world.clock.pending == 0
