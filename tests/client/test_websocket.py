"""The client of any WebSocket server, against one that echoes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.typing import Subprotocol

from chappe.client import websocket
from chappe.client.errors import ClientClosed, ConnectionLost
from tests.client.recorder import Recorder


@asynccontextmanager
async def echo_server() -> AsyncIterator[tuple[str, Server]]:
    async def echo(socket: ServerConnection) -> None:
        async for message in socket:
            await socket.send(message)

    protocols = [Subprotocol("a"), Subprotocol("b")]
    async with serve(echo, "127.0.0.1", 0, subprotocols=protocols, ping_interval=None, close_timeout=1) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/", server


def cut(server: Server) -> None:
    for connection in server.connections:
        connection.transport.abort()


@pytest.mark.loops("uvloop", "asyncio")
async def test_text_and_bytes_go_and_come_across_a_cut() -> None:
    async with echo_server() as (url, server):
        async with websocket.connect(url, subprotocols=["b"], reconnect_interval_ms=5) as client:
            assert client.subprotocol == "b"
            await client.send("text")
            assert await client.receive() == "text"
            events = Recorder(client)
            cut(server)
            await events.wait("connected")
            await client.send(b"\x00\xff")
            async for message in client:
                assert message == b"\x00\xff"
                break
        assert client.state == "offline"


async def test_sending_without_a_connection_says_so_and_keeps_nothing() -> None:
    async with (
        echo_server() as (url, server),
        websocket.connect(url, subprotocols=["a"], reconnect_interval_ms=5) as client,
    ):
        events = Recorder(client)
        cut(server)
        await events.wait("disconnected")
        with pytest.raises(ConnectionLost, match="not connected, nothing was sent"):
            await client.send("lost")
        await events.wait("connected")
        await client.send("kept")
        assert await client.receive() == "kept"


async def test_a_loop_ends_when_the_client_is_closed_and_what_came_can_be_taken() -> None:
    async with echo_server() as (url, _):
        client = await websocket.connect(url, subprotocols=["a"])
        events = Recorder(client)
        iterator = aiter(client)
        await client.send("one")
        await events.wait("message")
        await client.close()
        assert [message async for message in iterator] == ["one"]
        with pytest.raises(ClientClosed):
            await client.send("late")


async def test_listeners_alone_need_no_queue() -> None:
    async with echo_server() as (url, _), websocket.connect(url, subprotocols=["a"], queue_size=1) as client:
        messages: list[str | bytes] = []
        done = asyncio.Event()

        @lambda listener: client.on("message", listener)
        def listen(message: str | bytes) -> None:
            messages.append(message)
            if len(messages) == 10:
                done.set()

        for number in range(10):
            await client.send(str(number))
        await done.wait()
        client.off("message", listen)
        assert messages == [str(number) for number in range(10)]


async def test_a_reader_that_is_slow_slows_the_server_down_and_loses_nothing() -> None:
    async def flood(socket: ServerConnection) -> None:
        for number in range(400):
            await socket.send(f"{number} {'x' * 1_000}")
        await socket.wait_closed()

    async with serve(flood, "127.0.0.1", 0, ping_interval=None, close_timeout=1) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        options = {"heartbeat_interval_s": 0.01, "pong_timeout_s": 0.01}
        async with websocket.connect(f"ws://127.0.0.1:{port}/", queue_size=2, **options) as client:  # type: ignore[arg-type]
            events = Recorder(client)
            await asyncio.sleep(0.05)
            for number in range(400):
                message = await client.receive()
                assert isinstance(message, str)
                assert message.startswith(f"{number} ")
            assert events.of("disconnected") == [], "that we are slow says nothing about the server"
