"""NATS keeps the broker contract, alone and with other hubs on its streams."""

import asyncio

import pytest

from chappe.hub.contracts import Broker, Read, ReadLog
from chappe.hub.namespaces import Level, Namespace
from chappe.model.error_codes import Code
from chappe.model.position import Position
from chappe.testing.broker_contract import check_broker
from tests.brokers.jetstream.server import KEPT, LIVE, item, make, node, running


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("storage", ["file", "memory"])
async def test_nats_keeps_the_contract(storage: str) -> None:
    async with running() as server:

        async def factory() -> Broker:
            return make(server.url, storage=storage)

        await check_broker(factory)


@pytest.mark.slow
async def test_the_feed_of_another_hub_is_the_same_and_in_the_same_order() -> None:
    async with running() as server, node(server.url) as one, node(server.url) as other:
        for each in (one, other):
            each.broker.attach("#")
            each.hears_others()
            await each.probe.read_log(ReadLog("#"))
        for number in range(50):
            each = (one, other)[number % 2]
            namespace = (KEPT, LIVE)[number // 2 % 2]
            each.probe.append_later(item(f"{namespace.name}/{number % 3}", b"%d" % number, namespace))
        await one.until(lambda: len(one.probe.feed) == len(other.probe.feed) == 50, "a hundred publications")
        for namespace in (KEPT, LIVE):  # each is ordered by a stream of its own
            here, there = (
                [
                    (publication.position, publication.payload)
                    for publication in each.probe.feed
                    if publication.channel.startswith(namespace.name)
                ]
                for each in (one, other)
            )
            assert here == there
        for each in (one, other):
            logs = [publication.log for publication in each.probe.feed]
            assert logs == sorted(set(logs))
        assert not one.told
        assert not other.told


@pytest.mark.slow
async def test_two_hubs_agree_on_conditions_keys_positions_and_retained_slots() -> None:
    async with running() as server, node(server.url) as one, node(server.url) as other:
        start = (await one.probe.read(Read("kept/a", KEPT))).position
        assert (await other.probe.read(Read("kept/a", KEPT))).position == start
        racing = [each.probe.append_later(item("kept/a", expect=start)) for each in (one, other) for _ in range(10)]
        await one.until(lambda: all(pending.outcomes for pending in racing), "the outcomes of a race")
        errors = sorted(pending.outcomes[0].error for pending in racing if pending.outcomes)
        assert errors == [0] + [Code.CONFLICT] * 19
        (first,) = await one.probe.append(item("kept/a", key="k", key_owner="ada"))
        (again,) = await other.probe.append(item("kept/a", key="k", key_owner="ada"))
        assert again.duplicate
        assert again.position == first.position
        await one.probe.store(item("kept/a", b"one", retain=True))
        await other.probe.store(item("kept/a", b"other", retain=True))
        for each in (one, other):
            slot = (await each.probe.read(Read("kept/a", KEPT))).retained
            assert slot is not None
            assert slot.payload == b"other"


@pytest.mark.slow
async def test_retained_publications_of_racing_hubs_leave_the_newest_in_the_slot() -> None:
    async with running() as server, node(server.url) as one, node(server.url) as other:
        await asyncio.gather(
            *(
                each.probe.store(item("kept/a", b"%d" % number, retain=True))
                for number in range(20)
                for each in (one, other)
            )
        )
        result = await one.probe.read(Read("kept/a", KEPT, limit=1))
        assert result.retained is not None
        assert result.retained.position == result.publications[0].position == result.position


@pytest.mark.slow
async def test_transient_publications_reach_other_hubs_between_their_neighbours() -> None:
    async with running() as server, node(server.url) as one, node(server.url) as other:
        other.broker.attach("kept/+")
        other.broker.attach("kept/a")
        await other.probe.read(Read("kept/a", KEPT))
        other.hears_others()
        one.probe.append_later(*(item("kept/a", b"%d" % n, transient=n % 2 == 1) for n in range(20)))
        await other.until(lambda: len(other.probe.feed) == 20, "twenty publications")
        assert other.payloads("kept/a") == [b"%d" % n for n in range(20)]


@pytest.mark.slow
async def test_a_namespace_that_keeps_more_makes_room_and_one_that_keeps_less_is_trimmed() -> None:
    many = Namespace(name="many", level=Level.RECOVERABLE, history_count=700)
    few = Namespace(name="few", level=Level.RECOVERABLE, history_count=3)
    async with running() as server, node(server.url) as one:
        await one.probe.store(*(item("many/a", b"%d" % n, many) for n in range(800)))
        for first in range(0, 800, 50):  # a stream trims beside what it stores
            await one.probe.store(*(item("few/a", b"%d" % n, few) for n in range(first, first + 50)))
        result = await one.probe.read(Read("many/a", many, limit=1_000))
        assert [publication.payload for publication in result.publications] == [b"%d" % n for n in range(100, 800)]
        result = await one.probe.read(Read("few/a", few, limit=1_000))
        assert [publication.payload for publication in result.publications] == [b"797", b"798", b"799"]
        stored, _ = await one.broker._streams.after(one.broker._streams.main, "chappe.s.few.a.!", 0)
        assert len(stored) < 400


@pytest.mark.slow
async def test_what_is_larger_than_the_server_takes_is_refused_and_nothing_else() -> None:
    async with running() as server, node(server.url) as one:
        outcomes = await one.probe.append(item("kept/a"), item("kept/a", b"x" * 2_000_000), item("kept/a"))
        assert [outcome.error for outcome in outcomes] == [0, Code.NOT_AVAILABLE, 0]
        long = "kept/" + "é" * 2_000
        assert (await one.probe.append(item(long)))[0].error == Code.NOT_AVAILABLE
        assert (await one.probe.read(Read(long, KEPT))).error == Code.NOT_AVAILABLE


@pytest.mark.slow
async def test_what_somebody_else_writes_to_our_subjects_breaks_nothing() -> None:
    async with running() as server, node(server.url) as one:
        one.broker.attach("#")
        (first,) = await one.probe.store(item("kept/a"))
        connection = one.broker._connection
        assert connection is not None
        for subject in ("s.kept.a.!", "s.strange", "f.kept.a.!", "f.x", "r.kept.a.!"):
            connection.publish(f"chappe.{subject}", b"\xff not ours")
        (last,) = await one.probe.store(item("kept/a", b"2"))
        result = await one.probe.read(Read("kept/a", KEPT, first, limit=9))
        assert [publication.payload for publication in result.publications] == [b"2"]
        assert result.retained is None
        log = await one.probe.read_log(ReadLog("#"))
        assert log.error == 0
        assert not (await one.probe.read(Read("kept/a", KEPT, Position(last.epoch, -5), 9))).complete
