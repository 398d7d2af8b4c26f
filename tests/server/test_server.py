"""One listener: accept, drain, end. What a process does at a signal is in tests/test_app.py."""

import asyncio
import socket
import time

import pytest
import websockets

from chappe.model.errors import ConfigurationError
from chappe.server.server import HubServer, ServerOptions
from tests.transports.front_door_harness import close_code_of, front_door


async def test_a_drain_tells_everybody_and_lets_nobody_in() -> None:
    async with front_door() as server:
        clients = [await server.connect() for _ in range(20)]
        server.server.should_exit = True
        assert {await close_code_of(client) for client in clients} == {3001}
        with pytest.raises((OSError, websockets.InvalidStatus)):
            await server.connect(open_timeout=1)


async def test_a_drain_ends_in_bounded_time_for_who_does_not_go() -> None:
    began = 0.0
    async with front_door() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        began = time.monotonic()
    # The harness gives a second to go; this client never answers the close frame.
    assert 0.9 < time.monotonic() - began < 3
    writer.close()


@pytest.mark.slow
@pytest.mark.loops("asyncio", "uvloop")
async def test_who_does_not_read_the_answers_of_http_does_not_keep_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    # uvicorn waits its time and leaves the connection behind; uvloop then waited for it, and the process never ended.
    monkeypatch.setattr("chappe.server.server._REQUESTS_S", 1)
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    peer.setblocking(False)
    async with front_door() as server:
        loop = asyncio.get_running_loop()
        await loop.sock_connect(peer, ("127.0.0.1", server.port))
        for _ in range(500):
            await loop.sock_sendall(peer, b"GET /count HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        async with asyncio.timeout(5):
            connections = server.server.server_state.connections
            while not any(each.transport.get_write_buffer_size() for each in connections):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert not server.server.server_state.connections
    peer.close()


async def test_the_advice_when_to_come_back_is_spread() -> None:
    async with front_door() as server:
        clients = [await server.connect() for _ in range(20)]
        server.server.should_exit = True
        reasons = set()
        for client in clients:
            await client.wait_closed()
            reasons.add(client.close_reason)
    assert len(reasons) > 10
    assert all(reason and reason.startswith("the hub is shutting down; reconnect after ") for reason in reasons)


async def test_a_listener_that_cannot_be_had_is_the_error_of_the_server() -> None:
    async with front_door() as server:

        def bind() -> None:
            raise ConfigurationError("port 1 is in use")

        second = HubServer(None, server.lobby, ServerOptions(handle_signals=False), bind)  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="in use"):
            await second.serve()
