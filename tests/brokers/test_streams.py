"""All histories together stay below their limit, the oldest publication goes first, and readers can tell."""

import random

from chappe.brokers.memory import MemoryBroker
from chappe.brokers.streams import PUBLICATION_BYTES, Ledger, Stream
from chappe.hub.contracts import Append, Read, ReadLog
from chappe.hub.namespaces import Level, Namespace
from chappe.model.publication import Kind, Publication
from chappe.testing.broker_probe import Probe
from chappe.testing.fake_clock import FakeClock

KEPT = Namespace(name="kept", level=Level.RECOVERABLE, history_count=100, history_age_s=60.0)
ONE = 10 + PUBLICATION_BYTES


def item(channel: str, size: int = 10, **more: object) -> Append:
    return Append(channel, b"x" * size, Kind.TEXT, 0, KEPT, **more)  # type: ignore[arg-type]


async def started(history_bytes: int) -> tuple[MemoryBroker, Probe, FakeClock]:
    clock = FakeClock()
    broker = MemoryBroker(clock, random.Random(1).randbytes, history_bytes=history_bytes)
    probe = Probe(broker, clock.sleep, 1.0)
    await broker.start(probe)
    return broker, probe, clock


async def test_the_oldest_publication_goes_first_whatever_its_channel_and_its_readers_are_told() -> None:
    broker, probe, _ = await started(4 * ONE)
    log = (await probe.read_log(ReadLog("#"))).position
    starts = {channel: (await probe.read(Read(channel, KEPT))).position for channel in "abc"}
    await probe.store(*(item(channel) for channel in "aabbc"))
    assert (broker.history_bytes, broker.history_trimmed) == (4 * ONE, 1)
    complete = {channel: (await probe.read(Read(channel, KEPT, starts[channel], 9))).complete for channel in "abc"}
    assert complete == {"a": False, "b": True, "c": True}
    assert not (await probe.read_log(ReadLog("#", log, 9))).complete
    await probe.store(item("c"), item("c"))
    left = {channel: len((await probe.read(Read(channel, KEPT, limit=9))).publications) for channel in "abc"}
    assert left == {"a": 0, "b": 1, "c": 3}


async def test_a_publication_larger_than_the_limit_is_delivered_but_not_kept() -> None:
    broker, probe, _ = await started(4 * ONE)
    broker.attach("a")
    (position,) = await probe.store(item("a", 9_000))
    assert [publication.position for publication in probe.feed] == [position]
    assert (broker.history_bytes, broker.history_trimmed) == (0, 1)


async def test_headers_count_and_what_grew_too_old_no_longer_does() -> None:
    broker, probe, clock = await started(100 * ONE)
    await probe.store(item("a", headers={"abc": "de"}), item("b"))
    assert broker.history_bytes == 2 * ONE + 5
    clock.advance(90)
    assert (broker.history_bytes, broker.history_trimmed) == (0, 0)


async def test_any_sequence_of_sizes_and_channels_stays_below_the_limit() -> None:
    broker, probe, clock = await started(20 * ONE)
    draw = random.Random(7)
    for _ in range(500):
        await probe.store(item(f"c/{draw.randrange(30)}", draw.randrange(2 * ONE)))
        clock.advance(draw.choice((0.0, 0.0, 3.0)))
        assert broker.history_bytes <= 20 * ONE
    assert broker.history_trimmed > 100
    clock.advance(90)
    assert broker.history_bytes == 0


def test_channels_that_went_away_do_not_stay_in_the_order() -> None:
    ledger = Ledger()

    def keep(log: int) -> Stream:
        stream = Stream("e", 0.0, ledger)
        stream.serve(KEPT)
        stream.keep(Publication("a", b"", Kind.TEXT, 1, "e", 0, log=log), 0.0)
        return stream

    streams = [keep(log) for log in range(3_000)]
    for stream in streams[1:]:
        stream.clear()
    ledger.tidy(streams[:1], 1)
    assert ledger.followed == 1
    ledger.trim(0)
    assert (ledger.kept_bytes, ledger.followed) == (0, 0)
