"""What a hub finds again in its file: after it was stopped, after it was killed, after the machine lost power."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from chappe.brokers.sqlite.examination import examine
from chappe.brokers.sqlite.witness import Witness
from chappe.hub.contracts import IDEMPOTENCY_S, Append, Read, ReadLog
from chappe.hub.namespaces import Level, Namespace
from chappe.model.error_codes import Code
from chappe.model.position import Position
from chappe.model.publication import Kind, Sender
from tests.brokers.sqlite.place import DURABLE, KEPT, LIVE, SlowClock, item, running

ENDS = pytest.mark.parametrize("end", ["stop", "kill"])


def move_to_another_boot(path: Path) -> None:
    """Have the witness speak of a life of the machine that is over."""
    witness = Witness(Path(f"{path}-witness"))
    statement = witness.read()
    assert statement is not None
    witness.write(statement._replace(boot="another"))
    witness.close()


def count(path: Path, table: str) -> int:
    with sqlite3.connect(path) as connection:
        (rows,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    connection.close()
    return int(rows)


@ENDS
async def test_subscribers_resume_with_their_offsets(tmp_path: Path, end: str) -> None:
    strange = Append(
        "kept/é/\ud800\x00",
        b"\xff\x00",
        Kind.BINARY,
        7,
        KEPT,
        Sender("ada", "Ada", "9f00"),
        "key",
        "ada",
        {"a": "\ud800"},
    )
    async with running(tmp_path / "hub.db") as world:
        old = await world.probe.store(*(item("durable/a", b"%d" % number) for number in range(10)), strange)
        log = (await world.probe.read_log(ReadLog("durable/+"))).position
        (last,) = await world.probe.store(item("durable/a", b"10", retain=True))
        path = world.image(tmp_path / "killed") if end == "kill" else world.path
    async with running(path) as world:
        result = await world.probe.read(Read("durable/a", DURABLE, old[3], 100))
        assert result.complete
        assert result.position == last
        assert [each.payload for each in result.publications] == [b"%d" % number for number in range(4, 11)]
        assert result.retained is not None
        assert result.retained.payload == b"10"
        assert result.retained.retained
        (found,) = (await world.probe.read(Read(strange.channel, KEPT, limit=9))).publications
        assert (found.payload, found.kind, found.sender, found.id) == (b"\xff\x00", Kind.BINARY, strange.sender, "key")
        assert (found.headers, found.time_ms, found.position) == (strange.headers, 7, old[10])
        after = await world.probe.read_log(ReadLog("durable/+", log, 9))
        assert after.complete
        assert [each.payload for each in after.publications] == [b"10"]
        (next_one,) = await world.probe.store(item("durable/a", b"11"))
        assert next_one == Position(last.epoch, last.offset + 1)


@ENDS
async def test_keys_are_remembered_for_the_rest_of_their_five_minutes(tmp_path: Path, end: str) -> None:
    clock = SlowClock()
    async with running(tmp_path / "hub.db", clock) as world:
        (first,) = await world.probe.append(item("durable/a", key="k", key_owner="ada"))
        path = world.image(tmp_path / "killed") if end == "kill" else world.path
    clock.advance(IDEMPOTENCY_S - 10)
    async with running(path, clock) as world:
        (again,) = await world.probe.append(item("durable/a", key="k", key_owner="ada"))
        assert (again.duplicate, again.position) == (True, first.position)
        clock.advance(20)
        (late,) = await world.probe.append(item("durable/a", key="k", key_owner="ada"))
        assert not late.duplicate
    assert count(path, "keys") == 1


@ENDS
async def test_a_live_channel_begins_anew_and_log_positions_that_had_it_are_not_continued(
    tmp_path: Path, end: str
) -> None:
    async with running(tmp_path / "hub.db") as world:
        (kept,) = await world.probe.store(item("kept/a", namespace=KEPT))
        before = (await world.probe.read_log(ReadLog("#"))).position
        (live,) = await world.probe.store(item("live/a", namespace=LIVE))
        after = (await world.probe.read_log(ReadLog("#"))).position
        path = world.image(tmp_path / "killed") if end == "kill" else world.path
    async with running(path) as world:
        result = await world.probe.read(Read("live/a", LIVE, live))
        assert not result.complete
        assert result.position.epoch != live.epoch
        assert (await world.probe.read(Read("kept/a", KEPT, kept))).complete
        for position in (before, after):
            assert not (await world.probe.read_log(ReadLog("#", position, 9))).complete
            assert not (await world.probe.read_log(ReadLog("live/+", position, 9))).complete
            assert (await world.probe.read_log(ReadLog("kept/#", position, 9))).complete
        # What comes now is behind every position that was ever told.
        await world.probe.store(item("kept/a", namespace=KEPT))
        (new,) = (await world.probe.read_log(ReadLog("kept/#", after, 9))).publications
        assert new.log > int(after.rpartition(":")[2])


async def test_who_waits_in_an_empty_channel_may_come_back_after_a_stop(tmp_path: Path) -> None:
    async with running(tmp_path / "hub.db") as world:
        empty = (await world.probe.read(Read("kept/a", KEPT))).position
    async with running(tmp_path / "hub.db") as world:
        await world.probe.store(item("kept/a", namespace=KEPT))
        assert (await world.probe.read(Read("kept/a", KEPT, empty, 9))).complete


@pytest.mark.parametrize("sync", ["normal", "full"])
async def test_a_power_cut_ends_the_epochs_of_what_was_not_synced(tmp_path: Path, sync: str) -> None:
    async with running(tmp_path / "hub.db", sync=sync) as world:
        kept, durable = await world.probe.store(item("kept/a", b"k", KEPT, key="k"), item("durable/a", b"d"))
        log = (await world.probe.read_log(ReadLog("#"))).position
        path = world.image(tmp_path / "cut")
    move_to_another_boot(path)
    async with running(path, sync=sync) as world:
        assert (await world.probe.read(Read("durable/a", DURABLE, durable))).complete
        result = await world.probe.read(Read("kept/a", KEPT, kept, 9))
        assert result.complete is (sync == "full")
        assert (result.position.epoch == kept.epoch) is (sync == "full")
        assert world.broker.new_epochs == (0 if sync == "full" else 1)
        assert (await world.probe.read_log(ReadLog("durable/#", log, 9))).complete is (sync == "full")
        # What is still there can be read, in the new epoch.
        (there,) = (await world.probe.read(Read("kept/a", KEPT, limit=9))).publications
        assert (there.payload, there.epoch) == (b"k", result.position.epoch)


async def test_a_stop_in_order_outlives_a_new_boot(tmp_path: Path) -> None:
    async with running(tmp_path / "hub.db") as world:
        (kept,) = await world.probe.store(item("kept/a", namespace=KEPT))
    move_to_another_boot(tmp_path / "hub.db")
    async with running(tmp_path / "hub.db") as world:
        assert (await world.probe.read(Read("kept/a", KEPT, kept))).complete


async def test_an_older_copy_put_back_is_not_taken_for_the_present(tmp_path: Path) -> None:
    async with running(tmp_path / "hub.db") as world:
        (old,) = await world.probe.store(item("durable/a", b"old"))
    copy = (tmp_path / "hub.db").read_bytes()
    async with running(tmp_path / "hub.db") as world:
        await world.probe.store(item("durable/a", b"new"))
    (tmp_path / "hub.db").write_bytes(copy)
    async with running(tmp_path / "hub.db") as world:
        assert not (await world.probe.read(Read("durable/a", DURABLE, old, 9))).complete


async def test_a_copy_without_its_witness_begins_new_epochs(tmp_path: Path) -> None:
    async with running(tmp_path / "hub.db") as world:
        (old,) = await world.probe.store(item("durable/a", b"old"))
    (tmp_path / "hub.db-witness").unlink()
    async with running(tmp_path / "hub.db") as world:
        result = await world.probe.read(Read("durable/a", DURABLE, old, 9))
        assert not result.complete
        (new,) = await world.probe.store(item("durable/a", b"new"))
    async with running(tmp_path / "hub.db") as world:
        assert (await world.probe.read(Read("durable/a", DURABLE, new, 9))).complete


async def test_the_file_keeps_no_more_than_memory_does(tmp_path: Path) -> None:
    few = Namespace(name="few", level=Level.RECOVERABLE, history_count=10)
    none = Namespace(name="none", level=Level.RECOVERABLE)
    clock = SlowClock()
    async with running(tmp_path / "hub.db", clock) as world:
        for _ in range(30):
            await world.probe.store(
                *(item("few/a", b"x" * 1000, few) for _ in range(100)), item("none/a", namespace=none)
            )
        positions = await world.probe.store(item("few/b", namespace=few), item("few/a", b"last", few))
        clock.advance(11)
        await world.probe.until(lambda: world.broker.is_idle, "the end of deleting")
        assert world.broker.deleted == 3021
    assert count(tmp_path / "hub.db", "publications") == 11
    assert (tmp_path / "hub.db").stat().st_size < 200_000
    async with running(tmp_path / "hub.db", clock) as world:
        assert len((await world.probe.read(Read("few/a", few, limit=99))).publications) == 10
        assert (await world.probe.read(Read("few/a", few, positions[1]))).complete
        assert (await world.probe.read(Read("none/a", none))).position.offset == 30


async def test_history_ages_while_the_hub_is_away(tmp_path: Path) -> None:
    clock = SlowClock()
    async with running(tmp_path / "hub.db", clock) as world:
        (old,) = await world.probe.store(item("durable/a", b"1"))
        clock.advance(3000)
        await world.probe.store(item("durable/a", b"2"))
    clock.advance(1000)
    async with running(tmp_path / "hub.db", clock) as world:
        result = await world.probe.read(Read("durable/a", DURABLE, old, limit=9))
        assert [each.payload for each in result.publications] == [b"2"]
        assert result.complete
        assert not (await world.probe.read(Read("durable/a", DURABLE, Position(old.epoch, 0), limit=9))).complete


async def test_a_wall_clock_set_back_does_not_make_history_younger_or_older(tmp_path: Path) -> None:
    clock = SlowClock()
    async with running(tmp_path / "hub.db", clock) as world:
        (old,) = await world.probe.store(item("durable/a", b"1"))
        clock.advance(3000)
        await world.probe.store(item("durable/b"))
    clock.set_wall(0)
    async with running(tmp_path / "hub.db", clock) as world:
        assert (await world.probe.read(Read("durable/a", DURABLE, Position(old.epoch, 0), limit=9))).complete
        clock.advance(601)
        assert not (await world.probe.read(Read("durable/a", DURABLE, limit=9))).publications


async def test_total_bytes_bound_the_file(tmp_path: Path) -> None:
    clock = SlowClock()
    async with running(tmp_path / "hub.db", clock, history_bytes=50_000) as world:
        for number in range(40):
            await world.probe.store(*(item(f"durable/{number}", b"x" * 1000) for _ in range(5)))
        clock.advance(11)
        await world.probe.until(lambda: world.broker.is_idle, "the end of deleting")
        assert world.broker.history_trimmed == 200 - 35
    assert count(tmp_path / "hub.db", "publications") == 35


async def test_a_forgotten_channel_is_gone_from_the_file(tmp_path: Path) -> None:
    clock = SlowClock()
    once = Namespace(name="once", level=Level.RECOVERABLE, history_count=5, history_age_s=1.0)
    async with running(tmp_path / "hub.db", clock) as world:
        await world.probe.store(*(item(f"once/{number}", namespace=once, key="k") for number in range(5)))
        log = (await world.probe.read_log(ReadLog("once/#"))).position
        await world.probe.store(item("once/0", namespace=once))
        clock.advance(1000)
        await world.probe.until(lambda: world.broker.is_idle, "the end of forgetting")
        assert world.broker.streams == 0
    for table in ("streams", "publications", "keys"):
        assert count(tmp_path / "hub.db", table) == 0, table
    async with running(tmp_path / "hub.db", clock) as world:
        assert not (await world.probe.read_log(ReadLog("once/#", log, 9))).complete


async def test_retained_slots_without_room_are_gone_from_the_file(tmp_path: Path) -> None:
    async with running(tmp_path / "hub.db", max_retained=2) as world:
        await world.probe.store(*(item(f"durable/{name}", retain=True) for name in "abc"))
        await world.probe.store(item("durable/b", b"", retain=True))
    assert count(tmp_path / "hub.db", "retained") == 1
    async with running(tmp_path / "hub.db") as world:
        held = {name for name in "abc" if (await world.probe.read(Read(f"durable/{name}", DURABLE))).retained}
        assert held == {"c"}
        assert world.broker.new_epochs == 0


async def test_what_is_live_or_transient_is_answered_at_once_and_not_written(tmp_path: Path) -> None:
    async with running(tmp_path / "hub.db") as world:
        await world.probe.store(item("live/a", namespace=LIVE), item("durable/a"))
        commits = world.broker.commits
        for each in (item("live/a", namespace=LIVE, retain=True), item("durable/a", transient=True)):
            assert world.probe.append_later(each).outcomes is not None
        await world.probe.until(lambda: world.broker.is_idle, "idleness")
        assert world.broker.commits == commits
        slow = world.probe.append_later(item("durable/a"))
        after = world.probe.append_later(item("durable/a", transient=True))
        beside = world.probe.append_later(item("live/a", namespace=LIVE))
        assert (slow.outcomes, after.outcomes) == (None, None)
        assert beside.outcomes is not None
        await world.probe.until(lambda: after.outcomes is not None, "an outcome")
    assert count(tmp_path / "hub.db", "publications") == 2


async def test_what_was_appended_in_one_turn_is_one_transaction(tmp_path: Path) -> None:
    async with running(tmp_path / "hub.db") as world:
        commits = world.broker.commits
        pending = [world.probe.append_later(item("durable/a")) for _ in range(500)]
        await world.probe.until(lambda: all(each.outcomes for each in pending), "500 outcomes")
        assert world.broker.commits == commits + 1


async def test_it_can_be_stopped_and_started_again_and_is_silent_meanwhile(tmp_path: Path) -> None:
    async with running(tmp_path / "hub.db") as world:
        (position,) = await world.probe.store(item("durable/a"))
        await world.broker.stop()
        (outcome,) = await world.probe.append(item("durable/a"))
        assert outcome.error == Code.NOT_AVAILABLE
        await world.broker.start(world.probe)
        assert (await world.probe.read(Read("durable/a", DURABLE, position))).complete


async def test_names_that_were_only_asked_for_push_out_none_that_is_being_published_to(tmp_path: Path) -> None:
    async with running(tmp_path / "hub.db", max_unborn=1, max_streams=4) as world:
        start = [(await world.probe.read(Read(f"durable/{number}", DURABLE))).position for number in range(6)]
        positions = await world.probe.store(*(item(f"durable/{number}") for number in range(6)))
        assert [each.offset for each in positions] == [1] * 6
        assert positions[5].epoch == start[5].epoch
        refused = item("durable/new", expect=Position("elsewhere", 1))
        await world.probe.append(refused, item("durable/5", transient=True, key="k"))
        assert world.broker.streams <= 7


async def test_a_stop_that_is_given_up_answers_and_takes_back(tmp_path: Path) -> None:
    async with running(tmp_path / "hub.db") as world:
        await world.probe.store(item("durable/a", b"1"))
        pending = [world.probe.append_later(item("durable/a", b"2")) for _ in range(100)]
        stopping = asyncio.ensure_future(world.broker.stop())
        await asyncio.sleep(0)
        late = world.probe.append_later(item("durable/a", b"3"))
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping
        errors = {each.outcomes[0].error for each in (*pending, late) if each.outcomes}
        assert all(each.outcomes is not None for each in pending)
        # Whichever came first: all of them are there, or none is.
        stored = 0 if errors == {Code.NOT_AVAILABLE} else 100
        url = f"sqlite://{tmp_path}/hub.db"
        await world.probe.until(lambda: examine(url).state != "busy", "the end of the writer that nobody waited for")
        await world.broker.start(world.probe)
        assert len((await world.probe.read(Read("durable/a", DURABLE, limit=999))).publications) == min(1 + stored, 100)
