"""What the memory broker does beyond the contract: it forgets what nobody needs, and survives its callers' bugs."""

import random
from collections.abc import Sequence

import pytest

from chappe.brokers.memory import DEFAULT_META_AGE_S, SWEEP_SLICE, MemoryBroker
from chappe.brokers.streams import PUBLICATION_BYTES
from chappe.hub.contracts import Append, Outcome, Read, ReadLog
from chappe.hub.namespaces import Level, Namespace
from chappe.model.error_codes import Code
from chappe.model.position import Position
from chappe.model.publication import Kind, Publication
from chappe.testing.broker_probe import Probe
from chappe.testing.fake_clock import FakeClock

KEPT = Namespace(name="kept", level=Level.RECOVERABLE, history_count=100, history_age_s=60.0)
FOR_EVER = Namespace(name="ever", level=Level.RECOVERABLE, history_count=2)
LIVE = Namespace(name="live")


def item(channel: str, namespace: Namespace = LIVE, **more: object) -> Append:
    return Append(channel, b"1", Kind.JSON, 0, namespace, **more)  # type: ignore[arg-type]


class World:
    def __init__(self, **options: int) -> None:
        self.clock = FakeClock()
        self.broker = MemoryBroker(self.clock, random.Random(1).randbytes, **options)
        self.probe = Probe(self.broker, self.clock.sleep, 1.0)


async def started(**options: int) -> World:
    world = World(**options)
    await world.broker.start(world.probe)
    return world


async def test_a_channel_that_nobody_uses_is_forgotten_and_comes_back_with_a_new_epoch() -> None:
    world = await started()
    (old,) = await world.probe.store(item("a", KEPT))
    log = (await world.probe.read_log(ReadLog("a"))).position
    world.clock.advance(DEFAULT_META_AGE_S - 20)
    assert (await world.probe.read(Read("a", KEPT, old))).complete
    world.clock.advance(DEFAULT_META_AGE_S + 20)
    assert world.broker.streams == 0
    assert world.broker.streams_forgotten == 1
    result = await world.probe.read(Read("a", KEPT, old))
    assert not result.complete
    assert result.position.epoch != old.epoch
    assert (await world.probe.read_log(ReadLog("a", log))).complete


async def test_the_log_does_not_hide_that_a_forgotten_channel_had_more() -> None:
    world = await started()
    log = (await world.probe.read_log(ReadLog("a"))).position
    await world.probe.store(item("a", KEPT))
    world.clock.advance(DEFAULT_META_AGE_S + 20)
    assert world.broker.streams == 0
    assert not (await world.probe.read_log(ReadLog("a", log, limit=9))).complete


async def test_a_channel_is_kept_while_somebody_is_attached_or_something_is_retained_or_kept() -> None:
    world = await started()
    world.broker.attach("attached")
    positions = await world.probe.store(item("attached"), item("retained", retain=True), item("kept", FOR_EVER))
    world.clock.advance(10 * DEFAULT_META_AGE_S)
    for channel, position in zip(("attached", "retained", "kept"), positions, strict=True):
        assert (await world.probe.read(Read(channel, LIVE))).position == position
    world.broker.detach("attached")
    world.clock.advance(DEFAULT_META_AGE_S - 20)
    assert (await world.probe.read(Read("attached", LIVE))).position == positions[0]


async def test_many_channels_ever_named_do_not_stay_in_memory() -> None:
    world = await started()
    for number in range(2 * SWEEP_SLICE + 1):
        world.probe.append_later(item(f"c/{number}", key=str(number)))
    assert world.broker.streams == world.broker.keys == 2 * SWEEP_SLICE + 1
    world.clock.advance(DEFAULT_META_AGE_S + 20)
    assert world.broker.streams == world.broker.keys == 0
    assert world.clock.pending == 1


async def test_too_many_keys_push_the_oldest_out_and_are_counted() -> None:
    world = await started(max_keys=3)
    for number in range(5):
        await world.probe.store(item("a", key=str(number)))
    assert world.broker.keys == 3
    assert world.broker.keys_evicted == 2
    first, last = await world.probe.append(item("a", key="0"), item("a", key="4"))
    assert not first.duplicate
    assert last.duplicate
    assert world.broker.duplicates == 1


async def test_a_jump_of_the_wall_clock_loses_nothing() -> None:
    world = await started()
    (position,) = await world.probe.store(item("a", KEPT))
    world.clock.set_wall(world.clock.wall_ms() + 86_400_000)
    world.clock.advance(30)
    assert len((await world.probe.read(Read("a", KEPT, limit=9))).publications) == 1
    world.clock.set_wall(0)
    assert (await world.probe.read(Read("a", KEPT, position))).complete


async def test_a_namespace_that_keeps_less_from_now_on_is_obeyed() -> None:
    world = await started()
    start = (await world.probe.read(Read("a", KEPT))).position
    await world.probe.store(*(item("a", KEPT) for _ in range(10)))
    await world.probe.store(item("a", FOR_EVER))
    assert len((await world.probe.read(Read("a", KEPT, limit=99))).publications) == 2
    await world.probe.store(item("a", LIVE))
    result = await world.probe.read(Read("a", KEPT, start, limit=99))
    assert not result.publications
    assert not result.complete


async def test_a_callback_that_raises_does_not_rob_the_others() -> None:
    world = await started()
    world.broker.attach("a")

    def fail(_: Sequence[Outcome]) -> None:
        world.probe.append_later(item("a"))
        raise ValueError("a bug of the caller")

    with pytest.raises(ValueError, match="a bug of the caller"):
        world.broker.append([item("b"), item("b")], fail)
    assert [publication.channel for publication in world.probe.feed] == ["a"]
    await world.probe.store(item("a"))
    assert len(world.probe.feed) == 2


async def test_a_long_chain_of_publications_from_within_the_feed_does_not_exhaust_the_stack() -> None:
    world = await started()
    world.broker.attach("a")

    def again(batch: Sequence[Publication]) -> None:
        if batch[0].offset < 5_000:
            world.probe.append_later(item("a"))

    world.probe.on_published = again
    world.probe.append_later(item("a"))
    assert [publication.offset for publication in world.probe.feed] == list(range(1, 5_001))


async def test_it_survives_a_stop_and_answers_108_until_it_is_started_again() -> None:
    world = World()
    assert world.probe.append_later(item("a")).outcomes == (Outcome(Code.NOT_AVAILABLE, (await nowhere(world))),)
    await world.broker.start(world.probe)
    (position,) = await world.probe.store(item("a", KEPT))
    await world.broker.stop()
    assert world.clock.pending == 0
    await world.broker.start(world.probe)
    assert (await world.probe.read(Read("a", KEPT))).position == position


async def nowhere(world: World) -> Position:
    return (await world.probe.read(Read("a", KEPT))).position


async def test_conflicts_are_counted() -> None:
    world = await started()
    (position,) = await world.probe.store(item("a"))
    await world.probe.append(item("a", expect=position), item("a", expect=position))
    assert world.broker.conflicts == 1
    assert world.broker.sequence == 2


async def test_beyond_its_cap_of_channels_it_gives_up_what_nobody_used_for_longest() -> None:
    world = await started(max_streams=3)
    world.broker.attach("attached")
    (attached,) = await world.probe.store(item("attached"))
    (old,) = await world.probe.store(item("old", FOR_EVER, retain=True))
    world.clock.advance(1)
    (young,) = await world.probe.store(item("young", FOR_EVER))
    log = (await world.probe.read_log(ReadLog("#"))).position
    await world.probe.store(item("newest", FOR_EVER))
    assert world.broker.streams == 3
    assert (world.broker.streams_evicted, world.broker.retained_evicted, world.broker.retained) == (1, 1, 0)
    assert (await world.probe.read(Read("young", LIVE, young))).complete
    assert (await world.probe.read(Read("attached", LIVE, attached))).complete
    assert (await world.probe.read_log(ReadLog("#", log, 9))).complete
    assert (world.broker.history_bytes, world.broker.retained_bytes) == (2 * (1 + PUBLICATION_BYTES), 0)
    assert not (await world.probe.read(Read("old", FOR_EVER, old))).complete


async def test_channels_with_readers_are_not_given_up_however_many_there_are() -> None:
    world = await started(max_streams=3)
    for number in range(9):
        world.broker.attach(f"c/{number}")
    positions = await world.probe.store(*(item(f"c/{number}") for number in range(9)))
    for number, position in enumerate(positions):
        assert (await world.probe.read(Read(f"c/{number}", LIVE))).position == position
    assert world.broker.streams_evicted == 0


async def test_names_that_were_only_asked_for_push_out_one_another_and_nothing_else() -> None:
    world = await started(max_unborn=2)
    (position,) = await world.probe.store(item("born", FOR_EVER))
    world.broker.attach("watched")
    watched = (await world.probe.read(Read("watched", LIVE))).position
    for number in range(5):
        await world.probe.read(Read(f"unheard/{number}", LIVE))
    assert world.broker.streams == 4
    assert world.broker.streams_evicted == 3
    assert (await world.probe.read(Read("born", FOR_EVER, position))).complete
    assert (await world.probe.read(Read("watched", LIVE, watched))).complete
    world.broker.detach("watched")
    assert world.broker.streams == 3
    assert (await world.probe.read(Read("watched", LIVE, watched))).complete


async def test_beyond_its_slots_the_retained_publication_set_longest_ago_is_cleared() -> None:
    world = await started(max_retained=2)
    for channel in ("a", "b", "a", "c"):
        await world.probe.store(item(channel, retain=True))
    held = {channel: (await world.probe.read(Read(channel, LIVE))).retained is not None for channel in "abc"}
    assert held == {"a": True, "b": False, "c": True}
    assert (world.broker.retained, world.broker.retained_evicted) == (2, 1)


async def test_retained_publications_are_bounded_in_bytes_too() -> None:
    world = await started(retained_bytes=2 * (1 + PUBLICATION_BYTES))
    for channel in "abc":
        await world.probe.store(item(channel, retain=True))
    assert (world.broker.retained, world.broker.retained_evicted) == (2, 1)
    await world.probe.store(Append("c", b"", Kind.JSON, 0, LIVE, retain=True))
    assert (world.broker.retained, world.broker.retained_bytes) == (1, 1 + PUBLICATION_BYTES)


async def test_a_channel_that_only_passes_transient_publications_on_is_in_use() -> None:
    world = await started()
    (position,) = await world.probe.store(item("a"))
    for _ in range(3):
        world.clock.advance(DEFAULT_META_AGE_S - 20)
        await world.probe.append(item("a", transient=True))
    assert (await world.probe.read(Read("a", LIVE))).position == position
