"""What a server and the way to it can do to a hub, and what the hub's feed says of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from chappe.brokers.redis.scripts import CHANGED
from chappe.brokers.redis.shard import LOOK_S
from chappe.hub.contracts import Read
from chappe.model.error_codes import Code
from chappe.testing.fault_proxy import FaultProxy
from tests.brokers.redis.attending import KEPT, LIVE, AllTold, hubs, item, items, read_of
from tests.brokers.redis.engines import Engine, engine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


async def test_what_was_published_while_the_way_was_cut_comes_in_order(own_engine: Engine) -> None:
    async with (
        FaultProxy("127.0.0.1", own_engine.port) as proxy,
        hubs(f"redis://127.0.0.1:{proxy.port}", own_engine.url) as (one, other),
    ):
        for name in ("a", "b", "room/+"):
            one.broker.attach(name)
        await one.quiet()
        await other.probe.store(*items("a", 1), *items("room/x", 1))
        await one.probe.fed("room/x", 1)
        proxy.refusing = True
        proxy.reset()
        await one.disconnected()
        await other.probe.store(*items("a", 2, 3), *items("b", 1), *items("room/x", 2), *items("room/y", 1))
        await other.probe.store(*items("elsewhere", 1))
        proxy.refusing = False
        await one.connected()
        await other.probe.store(*items("a", 4))
        await one.probe.fed("a", 4)
        assert one.fed("a") == [b"1", b"2", b"3", b"4"]
        assert one.fed("b") == [b"1"]
        assert one.fed("room/x") == [b"1", b"2"]
        assert one.fed("room/y") == [b"1"]
        assert one.fed("elsewhere") == []
        logs = [each.log for each in one.probe.feed]
        assert logs == sorted(set(logs))
        assert not one.probe.interruptions


class Withholding:
    """A way to a server that can stop before the question what has changed, when the feed is coming already.

    Attributes:
        withholds: whether it does so to connections from now on; what comes from the server is passed on.
        withheld: set once a question waits here.
        passed: what came from the server since then.
    """

    def __init__(self, port: int) -> None:
        self.withholds = False
        self.withheld = asyncio.Event()
        self.passed = b""
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []
        self._carrying: list[asyncio.Task[None]] = []

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[int]:
        """Listen until the block ends; gives the port."""
        server = await asyncio.start_server(self._begin, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            self.reset()
            await asyncio.gather(*self._carrying)

    def reset(self) -> None:
        """Cut all connections."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def passes(self, text: bytes) -> None:
        """Wait until the server has said this."""
        while text not in self.passed:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)

    async def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [writer, to_server]
        self._carrying += [
            asyncio.create_task(self._there(reader, to_server)),
            asyncio.create_task(self._back(from_server, writer)),
        ]

    async def _there(self, reader: asyncio.StreamReader, to_server: asyncio.StreamWriter) -> None:
        held = b""
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                held += data
                question = held.find(b"*", max(held.find(CHANGED.sha.encode()) - 60, 0))
                if self.withholds and CHANGED.sha.encode() in held:
                    to_server.write(held[:question])
                    self.withheld.set()
                    break
                to_server.write(held)
                held = b""

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                self.passed += data
                writer.write(data)


async def test_what_came_while_older_news_could_not_be_read_hides_nothing(own_engine: Engine) -> None:
    way = Withholding(own_engine.port)
    async with way.open() as port, hubs(f"redis://127.0.0.1:{port}?timeout=20", own_engine.url) as (one, other):
        for name in ("a", "b"):
            one.broker.attach(name)
        await one.quiet()
        await other.probe.store(*items("a", 1), *items("b", 1))
        await one.probe.fed("b", 1)
        way.withholds = True
        way.reset()
        await other.probe.store(*items("a", 2), *items("b", 2))
        await way.withheld.wait()
        way.passed = b""
        await other.probe.store(item("a", b"newer"))
        await way.passes(b"newer")
        # The hub has that, and knows nothing of what came before it; now it loses the connection again.
        way.withholds = False
        way.reset()
        await one.connected()
        await other.probe.store(*items("a", 4), *items("b", 3))
        await one.probe.fed("b", 3)
        assert one.fed("a") == [b"1", b"2", b"newer", b"4"]
        assert one.fed("b") == [b"1", b"2", b"3"]
        assert not one.probe.interruptions


async def test_what_cannot_be_read_again_is_told_as_interrupted(own_engine: Engine) -> None:
    async with (
        FaultProxy("127.0.0.1", own_engine.port) as proxy,
        hubs(f"redis://127.0.0.1:{proxy.port}", own_engine.url) as (one, other),
    ):
        for name in ("a", "live", "gone", "still"):
            one.broker.attach(name)
        await one.quiet()
        proxy.refusing = True
        proxy.reset()
        await one.disconnected()
        await other.probe.store(item("live", b"1", LIVE), item("gone", b"1", transient=True), *items("a", 1))
        proxy.refusing = False
        await one.connected()
        await one.probe.fed("a", 1)
        assert one.probe.interruptions == [["gone", "live"]]


async def test_pending_appends_of_a_lost_connection_fail_and_a_key_makes_repeating_safe(own_engine: Engine) -> None:
    async with (
        FaultProxy("127.0.0.1", own_engine.port) as proxy,
        hubs(f"redis://127.0.0.1:{proxy.port}?timeout=1") as (hub,),
    ):
        # Whose outcome was lost is in the feed all the same: the server has it.
        hub.probe.told = AllTold()
        hub.broker.attach("a")
        await hub.probe.store(item("a", b"0"))
        for connection in proxy.connections:
            connection.down.stall()
        pending = hub.probe.append_later(*(item("a", b"%d" % n, key=f"k{n}") for n in range(1, 6)))
        await hub.probe.until(lambda: own_engine.call("HGET", "chappe:m:a", "o") == b"6", "six stored ones")
        await hub.probe.until(lambda: pending.outcomes, "the outcomes")
        assert [each.error for each in pending.outcomes or ()] == [Code.NOT_AVAILABLE] * 5
        await hub.connected()
        again = await hub.probe.append(*(item("a", b"%d" % n, key=f"k{n}") for n in range(1, 6)))
        assert [(each.error, each.duplicate) for each in again] == [(0, True)] * 5
        assert hub.fed("a") == [b"%d" % number for number in range(6)]
        assert (await hub.probe.read(read_of("a"))).position.offset == 6


async def test_a_half_open_connection_is_given_up_in_time(own_engine: Engine) -> None:
    async with (
        FaultProxy("127.0.0.1", own_engine.port) as proxy,
        hubs(f"redis://127.0.0.1:{proxy.port}?timeout=1", own_engine.url) as (one, other),
    ):
        one.broker.attach("a")
        await one.quiet()
        for connection in proxy.connections:
            connection.half_open()
        await other.probe.store(*items("a", 1))
        # Nobody asks anything: the look finds it.
        async with asyncio.timeout(LOOK_S + 5):
            await one.probe.fed("a", 1)
        assert not one.probe.interruptions


async def test_what_was_on_its_way_is_not_stored_after_the_hub_said_it_was_not(own_engine: Engine) -> None:
    async with (
        FaultProxy("127.0.0.1", own_engine.port) as proxy,
        hubs(f"redis://127.0.0.1:{proxy.port}?timeout=1") as (hub,),
    ):
        await hub.probe.store(item("a", b"1"))
        (old,) = proxy.connections
        old.up.stall()
        outcome = (await hub.probe.append(item("a", b"late")))[0]
        assert outcome.error == Code.NOT_AVAILABLE
        await hub.connected()
        await hub.probe.store(item("a", b"2"))
        old.resume()
        await hub.probe.store(item("a", b"3"))
        result = await hub.probe.read(read_of("a", limit=10))
        assert [each.payload for each in result.publications] == [b"1", b"2", b"3"]


async def test_flushall_is_told_and_begins_new_epochs(own_engine: Engine) -> None:
    async with hubs(own_engine.url) as (hub,):
        hub.broker.attach("a")
        (before,) = await hub.probe.store(item("a"))
        own_engine.call("FLUSHALL")
        (after,) = await hub.probe.store(item("a"))
        await hub.probe.fed("a", 2)
        assert hub.probe.interruptions == [None]
        assert after.epoch != before.epoch
        result = await hub.probe.read(Read("a", KEPT, before, 10))
        assert not result.complete
        assert not result.publications


async def test_flushall_is_told_though_nobody_publishes(own_engine: Engine) -> None:
    async with hubs(own_engine.url) as (hub,):
        hub.broker.attach("a")
        await hub.probe.store(item("a"))
        await hub.probe.fed("a", 1)
        own_engine.call("FLUSHALL")
        async with asyncio.timeout(LOOK_S + 5):
            await hub.probe.until(lambda: hub.probe.interruptions, "the interruption")
        assert hub.probe.interruptions == [None]


async def test_a_lost_last_message_is_noticed_by_looking(own_engine: Engine) -> None:
    async with hubs(own_engine.url) as (hub,):
        hub.broker.attach("a")
        await hub.probe.store(item("a"))
        await hub.probe.fed("a", 1)
        # As if the server had dropped the message: the channel is further than the feed.
        own_engine.call("HINCRBY", "chappe:m:a", "o", 1)
        async with asyncio.timeout(LOOK_S + 5):
            await hub.probe.until(lambda: hub.probe.interruptions, "the interruption")
        assert hub.probe.interruptions == [["a"]]


async def test_a_killed_server_without_a_disk_comes_back_with_new_epochs(own_engine: Engine) -> None:
    async with hubs(own_engine.url) as (hub,):
        hub.broker.attach("a")
        (before,) = await hub.probe.store(item("a"))
        own_engine.kill()
        await hub.disconnected()
        assert (await hub.probe.append(item("a")))[0].error == Code.NOT_AVAILABLE
        await asyncio.to_thread(own_engine.start)
        await hub.connected()
        (after,) = await hub.probe.store(item("a"))
        assert after.epoch != before.epoch
        assert hub.probe.interruptions == [None]


@pytest.mark.parametrize(("fsync", "keeps"), [("always", True), ("everysec", False)])
async def test_epochs_outlive_a_kill_only_if_every_write_was_on_disk(fsync: str, keeps: bool) -> None:
    with engine("redis", "--appendonly", "yes", "--appendfsync", fsync) as server:
        async with hubs(server.url) as (hub,):
            hub.broker.attach("a")
            positions = await hub.probe.store(*items("a", 1, 2, 3))
            server.kill()
            await hub.disconnected()
            await asyncio.to_thread(server.start)
            await hub.connected()
            result = await hub.probe.read(Read("a", KEPT, positions[0], 10))
            assert result.complete is keeps
            assert (result.position.epoch == positions[0].epoch) is keeps
            assert hub.probe.interruptions == ([] if keeps else [None])
            if keeps:
                assert [each.payload for each in result.publications] == [b"2", b"3"]
            else:
                # What is there can be read still, but nobody may believe that it is all.
                newest = await hub.probe.read(read_of("a", limit=10))
                assert len(newest.publications) <= 3


async def test_scripts_that_were_flushed_are_loaded_again(own_engine: Engine) -> None:
    async with hubs(own_engine.url) as (hub,):
        hub.broker.attach("a")
        await hub.probe.store(*items("a", 1))
        own_engine.call("SCRIPT", "FLUSH")
        pending = [hub.probe.append_later(item("a", b"%d" % number)) for number in range(2, 20)]
        await hub.probe.until(lambda: all(each.outcomes for each in pending), "the outcomes")
        await hub.probe.fed("a", 19)
        assert hub.fed("a") == [b"%d" % number for number in range(1, 20)]
        assert not hub.probe.interruptions


async def test_a_full_server_refuses_and_what_it_has_stays(own_engine: Engine) -> None:
    async with hubs(own_engine.url) as (hub,):
        await hub.probe.store(*items("a", 1))
        own_engine.call("CONFIG", "SET", "maxmemory", 1)
        assert (await hub.probe.append(item("a", b"2")))[0].error == Code.NOT_AVAILABLE
        assert (await hub.probe.append(item("l", namespace=LIVE)))[0].error == Code.NOT_AVAILABLE
        own_engine.call("CONFIG", "SET", "maxmemory", 0)
        (position,) = await hub.probe.store(item("a", b"3"))
        assert position.offset == 2
        assert not hub.broker.problems


async def test_a_server_that_became_a_replica_is_left(own_engine: Engine) -> None:
    with engine("redis") as master:
        async with hubs(f"{own_engine.url}?timeout=1") as (hub,):
            await hub.probe.store(item("a"))
            own_engine.call("REPLICAOF", "127.0.0.1", master.port)
            outcome = (await hub.probe.append(item("a")))[0]
            assert outcome.error == Code.NOT_AVAILABLE
            await hub.disconnected()
            own_engine.call("REPLICAOF", "NO", "ONE")
            await hub.connected()
            await hub.probe.store(item("a"))
