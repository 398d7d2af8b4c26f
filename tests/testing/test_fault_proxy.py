"""The fault proxy does to a connection what it says."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from chappe.testing.fault_proxy import FaultProxy
from chappe.testing.running import running_hub

SOON_S = 5.0

pytestmark = pytest.mark.loops("asyncio", "uvloop")


class Echo:
    """A server that sends everything back and remembers how its connections ended."""

    def __init__(self) -> None:
        self.ends: asyncio.Queue[str] = asyncio.Queue()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
            self.ends.put_nowait("end")
        except ConnectionError:
            self.ends.put_nowait("reset")
        finally:
            writer.close()


@asynccontextmanager
async def proxied() -> AsyncIterator[tuple[FaultProxy, Echo]]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    echo.port = server.sockets[0].getsockname()[1]
    try:
        async with FaultProxy("127.0.0.1", echo.port) as proxy:
            yield proxy, echo
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.01)


async def connect(proxy: FaultProxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"hello")
    assert await asyncio.wait_for(reader.readexactly(5), SOON_S) == b"hello"
    return reader, writer


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(int(SOON_S / 0.001)):
        if condition():
            return
        await asyncio.sleep(0.001)
    pytest.fail("it did not come about in time")


async def nothing_comes(reader: asyncio.StreamReader) -> bool:
    try:
        await asyncio.wait_for(reader.read(1), 0.05)
    except TimeoutError:
        return True
    return False


async def test_without_faults_bytes_and_the_end_pass() -> None:
    async with proxied() as (proxy, echo):
        reader, writer = await connect(proxy)
        data = bytes(range(256)) * 4_000
        writer.write(data)
        assert await asyncio.wait_for(reader.readexactly(len(data)), SOON_S) == data
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), SOON_S) == b""
        assert await asyncio.wait_for(echo.ends.get(), SOON_S) == "end"
        writer.close()
        assert proxy.accepted == 1


async def test_a_cut_ends_both_sides_in_order() -> None:
    async with proxied() as (proxy, echo):
        reader, writer = await connect(proxy)
        proxy.cut()
        assert await asyncio.wait_for(reader.read(), SOON_S) == b""
        assert await asyncio.wait_for(echo.ends.get(), SOON_S) == "end"
        writer.close()
        await until(lambda: not proxy.connections)


async def test_a_reset_is_seen_as_a_reset() -> None:
    async with proxied() as (proxy, echo):
        reader, writer = await connect(proxy)
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), SOON_S)
        assert await asyncio.wait_for(echo.ends.get(), SOON_S) == "reset"
        writer.close()


async def test_a_stall_holds_bytes_back_until_it_ends() -> None:
    async with proxied() as (proxy, _):
        reader, writer = await connect(proxy)
        proxy.stall()
        writer.write(b"later")
        assert await nothing_comes(reader)
        proxy.resume()
        assert await asyncio.wait_for(reader.readexactly(5), SOON_S) == b"later"
        writer.close()


async def test_one_direction_may_stall_alone() -> None:
    async with proxied() as (proxy, _):
        reader, writer = await connect(proxy)
        (connection,) = proxy.connections
        connection.down.stall()
        writer.write(b"there")
        await until(lambda: connection.up.passed_bytes == 10)
        assert await nothing_comes(reader)
        writer.close()


async def test_a_half_open_connection_swallows_everything_even_the_end() -> None:
    async with proxied() as (proxy, echo):
        reader, writer = await connect(proxy)
        proxy.half_open()
        writer.write(b"anybody?")
        assert await nothing_comes(reader)
        writer.close()
        await asyncio.sleep(0.02)
        assert echo.ends.empty()
        assert len(proxy.connections) == 1
        proxy.cut()
        assert await asyncio.wait_for(echo.ends.get(), SOON_S) == "end"


@pytest.mark.slow
async def test_a_throttled_connection_is_as_slow_as_it_is_told() -> None:
    async with proxied() as (proxy, _):
        reader, writer = await connect(proxy)
        proxy.throttle(20_000)
        begin = asyncio.get_running_loop().time()
        writer.write(b"x" * 4_000)
        await asyncio.wait_for(reader.readexactly(4_000), SOON_S)
        took_s = asyncio.get_running_loop().time() - begin
        assert took_s >= 0.15
        proxy.throttle(0)
        writer.write(b"x" * 1_000_000)
        await asyncio.wait_for(reader.readexactly(1_000_000), SOON_S)
        writer.close()


async def test_a_delay_holds_for_new_connections_too() -> None:
    async with proxied() as (proxy, _):
        proxy.delay(0.05)
        begin = asyncio.get_running_loop().time()
        _, writer = await connect(proxy)
        assert asyncio.get_running_loop().time() - begin >= 0.09
        writer.close()


async def test_a_refused_connection_is_reset_and_a_held_one_waits() -> None:
    async with proxied() as (proxy, echo):
        proxy.refusing = True
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), SOON_S)
        writer.close()
        proxy.refusing, proxy.holding = False, True
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"anybody?")
        assert await nothing_comes(reader)
        writer.close()
        assert echo.ends.empty()


async def test_a_server_that_is_not_there_resets_the_client_and_another_one_may_take_over() -> None:
    async with proxied() as (proxy, echo):
        proxy.point_to("127.0.0.1", 1)
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), SOON_S)
        writer.close()
        proxy.point_to("127.0.0.1", echo.port)
        _, writer = await connect(proxy)
        writer.close()


async def ask(proxy: FaultProxy, *requests: str) -> bytes:
    """Return all that comes back for requests on one connection, which the client ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        writer.write("".join(f"{request}\r\n\r\n" for request in requests).encode())
        writer.write_eof()
        return await asyncio.wait_for(reader.read(), SOON_S)
    finally:
        writer.close()


GET_HEALTH = "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1"
UPGRADE = (
    "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13"
)
UPGRADE += "\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="


@pytest.mark.slow
async def test_a_proxy_that_knows_http_refuses_forgets_and_loses_in_front_of_a_hub() -> None:
    async with running_hub() as running, FaultProxy("127.0.0.1", running.port) as proxy:
        assert (await ask(proxy, UPGRADE)).startswith(b"HTTP/1.1 101 ")
        proxy.refuse_upgrade = 403
        both = await ask(proxy, UPGRADE, GET_HEALTH)
        assert both.startswith(b"HTTP/1.1 403 Forbidden\r\n")
        assert b"HTTP/1.1 200 " in both
        proxy.refuse_upgrade, proxy.drop_upgrade = None, True
        assert (await ask(proxy, UPGRADE)).startswith(b"HTTP/1.1 4")
        proxy.drop_upgrade = False
        proxy.lose_response("/healthz")
        assert await ask(proxy, GET_HEALTH) == b""
        assert proxy.lost_responses == 1
        assert (await ask(proxy, GET_HEALTH)).startswith(b"HTTP/1.1 200 ")
