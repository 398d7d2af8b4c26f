"""Partitions keep what is behind a proxy away, each in its way, and end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from chappe.testing.fault_proxy import FaultProxy
from chappe.testing.partition_programme import Partition, PartitionProgramme, partitioned

SOON_S = 0.1


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1_000):
            writer.write(data)
    writer.close()


@contextlib.asynccontextmanager
async def behind() -> AsyncIterator[FaultProxy]:
    """Run an echo server behind a proxy."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, FaultProxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
        yield proxy


class Peer:
    """One connection through the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def answer(self, data: bytes, patience_s: float = 10.0) -> bytes:
        """Send and return what comes back: nothing if the connection ends."""
        self.writer.write(data)
        return await self.heard(len(data), patience_s)

    async def heard(self, size: int, patience_s: float = 10.0) -> bytes:
        try:
            return await asyncio.wait_for(self._reader.readexactly(size), patience_s)
        except (ConnectionError, asyncio.IncompleteReadError):
            return b""


@contextlib.asynccontextmanager
async def peer(proxy: FaultProxy) -> AsyncIterator[Peer]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield Peer(reader, writer)
    finally:
        writer.close()


async def test_a_cut_is_told_to_who_is_there_and_to_who_comes() -> None:
    async with behind() as proxy, peer(proxy) as one:
        assert await one.answer(b"a") == b"a"
        async with partitioned(proxy, Partition.CUT):
            assert await one.answer(b"b") == b""
            async with peer(proxy) as other:
                assert await other.answer(b"c") == b""
        async with peer(proxy) as late:
            assert await late.answer(b"d") == b"d"


@pytest.mark.slow
@pytest.mark.parametrize("how", [Partition.HALF_OPEN, Partition.STALL])
async def test_a_silent_partition_tells_nobody(how: Partition) -> None:
    async with behind() as proxy, peer(proxy) as one:
        assert await one.answer(b"a") == b"a"
        async with partitioned(proxy, how):
            with pytest.raises(TimeoutError):
                await one.answer(b"b", SOON_S)
            async with peer(proxy) as other:
                with pytest.raises(TimeoutError):
                    await other.answer(b"c", SOON_S)
        # What was sent meanwhile arrives after all, or is lost with its connection.
        assert await one.heard(1) == (b"b" if how is Partition.STALL else b"")
        async with peer(proxy) as late:
            assert await late.answer(b"d") == b"d"


@pytest.mark.slow
async def test_a_delay_loses_nothing() -> None:
    async with behind() as proxy, peer(proxy) as one:
        assert await one.answer(b"a") == b"a"
        async with partitioned(proxy, Partition.DELAY, delay_s=SOON_S):
            begin = asyncio.get_running_loop().time()
            assert await one.answer(b"b") == b"b"
            # uvloop's clock has whole milliseconds, and the difference of two of its times has not quite.
            assert round(asyncio.get_running_loop().time() - begin, 3) >= 2 * SOON_S
        assert await one.answer(b"c") == b"c"


async def test_a_programme_does_each_kind_as_often_and_waits_for_both_sides_of_it() -> None:
    done: list[str] = []
    async with behind() as proxy:

        async def during(how: Partition) -> None:
            done.append(f"{how} {proxy.refusing or proxy.holding or proxy.delay_s > 0}")

        async def after(how: Partition) -> None:
            done.append(f"over {proxy.refusing or proxy.holding or proxy.delay_s > 0}")

        programme = PartitionProgramme(proxy, 2)
        await programme.run(during, after)
    assert programme.partitions == 8
    assert done == [word for how in (*Partition, *Partition) for word in (f"{how} True", "over False")]


@pytest.mark.parametrize(("rounds", "kinds"), [(0, tuple(Partition)), (1, ())])
async def test_a_programme_without_partitions_is_refused(rounds: int, kinds: tuple[Partition, ...]) -> None:
    with pytest.raises(ValueError, match="expected 1 or more of each"):
        PartitionProgramme(FaultProxy("127.0.0.1", 1), rounds, kinds=kinds)
