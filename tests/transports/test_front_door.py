"""The front door over real sockets, with clients that we did not write."""

import asyncio
import contextlib
import json
import re
import time

import httpx
import pytest
import websockets

from chappe.model.limits import Limits
from chappe.transports.front_door import FrontDoor
from chappe.transports.proxies import Proxies
from chappe.transports.upgrade import Gate
from tests.transports.front_door_harness import FrontDoorServer, close_code_of, front_door

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


def upgrade(path: bytes = b"/ws", *more: bytes, key: bytes = KEY, version: bytes = b"13") -> bytes:
    """Return the request of RFC 6455, section 1.2, with other headers if asked for."""
    lines = [
        b"GET %b HTTP/1.1" % path,
        b"Host: 127.0.0.1",
        b"Upgrade: websocket",
        b"Connection: keep-alive, Upgrade",
        b"Sec-WebSocket-Key: " + key,
        b"Sec-WebSocket-Version: " + version,
        *more,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def masked(payload: bytes, opcode: int = 0x1) -> bytes:
    """Return a client frame; the mask of zeros leaves the payload readable."""
    assert len(payload) < 126
    return bytes((0x80 | opcode, 0x80 | len(payload))) + bytes(4) + payload


async def status_of(server: FrontDoorServer, request: bytes) -> int:
    answer = await server.raw(request)
    return int(answer.split(b" ", 2)[1])


async def test_ws_1_1_the_accept_header_is_that_of_the_rfc() -> None:
    async with front_door() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(upgrade())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
        writer.close()


async def test_ws_1_2_bytes_behind_the_head_are_the_first_frames() -> None:
    async with front_door() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(upgrade(b"/echo") + masked(b"one") + masked(b"two"))
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(10) == b"\x81\x03one\x81\x03two"
        writer.close()


async def test_ws_1_3_the_handshake_may_come_byte_by_byte() -> None:
    async with front_door() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for byte in upgrade(b"/echo") + masked(b"one"):
            writer.write(bytes((byte,)))
            await asyncio.sleep(0)
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(5) == b"\x81\x03one"
        writer.close()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (upgrade(version=b"8"), 426),
        (upgrade(key=b"short"), 400),
        (upgrade(key=b"AAAA"), 400),
        (upgrade(b"/ws", b"Content-Length: 3") + b"abc", 400),
        (upgrade(b"/ws", b"Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
        (upgrade(b"/ws", b"Host: evil.example"), 400),
        (upgrade(b"/nowhere"), 404),
        (upgrade(b"/ws", b"Sec-WebSocket-Protocol: soap, wamp"), 400),
        (upgrade(b"/ws", b"Origin: null"), 403),
        (upgrade(b"/ws", b"Origin: http://evil.example"), 403),
        (b"POST" + upgrade()[3:], 405),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (upgrade(b"/ws", b"X-Long: " + b"a" * 20_000), 431),
    ],
)
async def test_a_bad_handshake_is_refused_with_its_status(request_bytes: bytes, status: int) -> None:
    async with front_door() as server:
        assert await status_of(server, request_bytes) == status
        assert not server.lobby.links


async def test_a_head_that_does_not_come_in_time_is_refused() -> None:
    async with front_door(head_timeout_s=0.1) as server:
        began = time.monotonic()
        assert await status_of(server, b"GET /ws HTTP/1.1\r\nHost:") == 408
        assert await server.raw(b"") == b""
        assert time.monotonic() - began < 2
        assert server.lobby.head_timeouts == 2


async def test_plain_http_goes_to_the_app_also_behind_an_upgrade_it_ignores() -> None:
    async with front_door() as server, httpx.AsyncClient(trust_env=False) as http:
        url = f"http://127.0.0.1:{server.port}/hello"
        assert (await http.get(url)).text == "hello"
        assert (await http.get(url, headers={"Connection": "Upgrade", "Upgrade": "h2c"})).text == "hello"
        assert (await http.get(url)).text == "hello"


async def test_an_unlisted_host_is_refused() -> None:
    async with front_door(gate=Gate(hosts=frozenset({"localhost"}))) as server:
        assert await status_of(server, upgrade()) == 421


async def test_a_listed_origin_may_connect_and_no_other() -> None:
    async with front_door(gate=Gate(origins=frozenset({"https://app.example"}))) as server:
        async with server.connect(origin="https://app.example"):
            pass
        assert await status_of(server, upgrade(b"/ws", b"Origin: http://127.0.0.1")) == 403


async def test_beyond_the_connections_of_an_address_the_close_code_is_3504() -> None:
    async with front_door(limits=Limits(connections_per_address=2)) as server:
        async with server.connect(), server.connect() as second:
            async with server.connect() as third:
                assert await close_code_of(third) == 3504
            await second.send('{"type":"ping"}')
            assert await second.recv() == '{"type":"pong"}'
        assert server.lobby.rejected == 1


async def test_beyond_the_connections_of_the_server_the_status_is_503() -> None:
    async with front_door(connections_max=1) as server, server.connect():
        assert await status_of(server, upgrade()) == 503


async def test_a_closed_connection_makes_room() -> None:
    async with front_door(limits=Limits(connections_per_address=1)) as server:
        for _ in range(5):
            async with server.connect() as client:
                await client.send('{"type":"ping"}')
                await client.recv()
            while server.lobby.links:  # noqa: ASYNC110 - a lobby tells nobody that it is empty
                await asyncio.sleep(0.001)


async def test_a_stopping_server_says_3001_and_when_to_come_back() -> None:
    async with front_door() as server:
        client = await server.connect()
        server.server.should_exit = True
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await client.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 3001
    assert "reconnect after " in closed.value.rcvd.reason


async def test_two_protocols_meet_in_one_room() -> None:
    async with front_door() as server, server.connect("/") as classic, server.connect() as modern:
        await classic.send(json.dumps({"type": "login", "content": "Ada"}))
        assert json.loads(await classic.recv()) == {"type": "join", "username": "Ada"}
        assert json.loads(await classic.recv()) == {"type": "userlist", "users": ["Ada"]}
        await modern.send(json.dumps({"type": "subscribe", "id": 1, "channel": "chat/lobby"}))
        assert json.loads(await modern.recv())["id"] == 1
        await classic.send(json.dumps({"type": "message", "content": "hello"}))
        publication = json.loads(await modern.recv())
        assert publication["data"] == {"type": "message", "content": "hello", "username": "Ada"}
        assert publication["from"]["name"] == "Ada"


@pytest.mark.parametrize("cut", [1, 2, 3])
async def test_a_head_that_is_split_inside_its_end_is_no_longer_for_it(cut: int) -> None:
    async with front_door(head_bytes=1_000) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = b"POST /hello HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 30000\r\n\r\n"
        for _ in range(2):
            writer.write(head[:-cut])
            await writer.drain()
            await asyncio.sleep(0.05)
            writer.write(head[-cut:] + b"y" * 30_000)
            # No POST there: what counts is that the head was taken.
            assert await reader.readline() == b"HTTP/1.1 405 Method Not Allowed\r\n"
            answer = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(re.findall(rb"(?i)content-length: (\d+)", answer)[0]))
        writer.close()


async def test_a_crowded_upgrade_is_over_at_once() -> None:
    async with front_door(limits=Limits(connections_per_address=1)) as server, server.connect():
        began = time.monotonic()
        assert (await server.raw(upgrade(b"/ws"))).endswith(b"\x88\x12\x0d\xb0connection limit")
        assert time.monotonic() - began < 1


async def test_connections_that_ask_nothing_are_capped_for_each_address() -> None:
    async with front_door(limits=Limits(connections_per_address=5)) as server:
        idle = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(8)]
        await asyncio.sleep(0.1)
        assert len(server.server.server_state.connections) == 5
        assert server.lobby.besieged == 3
        for _, writer in idle:
            writer.close()
        await asyncio.sleep(0.1)
        async with server.connect("/echo") as client:
            await client.send("hello")
            assert await client.recv() == "hello"
            assert server.lobby.admission.others.taken == 0


async def test_who_comes_through_a_trusted_proxy_is_counted_by_its_own_address() -> None:
    limits, proxies = Limits(connections_per_address=1), Proxies(["127.0.0.0/8"])
    async with front_door(limits=limits, proxies=proxies) as server, contextlib.AsyncExitStack() as clients:
        for number in range(5):
            headers = {"X-Forwarded-For": f"192.0.2.{number}"}
            client = await clients.enter_async_context(server.connect("/echo", additional_headers=headers))
            await client.send("hello")
            assert await client.recv() == "hello"


async def test_pipelined_requests_are_all_answered_and_what_waits_stays_bytes() -> None:
    # uvicorn reads on behind each answer: who pipelined faster than it was answered made the hub grow without an end.
    request = b"GET /version HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    async with front_door() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request * 5_000)
        most = 0
        for _ in range(5_000):
            await reader.readuntil(b"HTTP/1.1 ")
            doors = [each for each in server.server.server_state.connections if isinstance(each, FrontDoor)]
            most = max([most, *(len(door.pipeline) for door in doors)])
        assert 0 < most <= 4_096 // len(request) + 1
        # The connection goes on as before: a body of several pieces.
        writer.write(b"POST /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 20000\r\n\r\n" + b"x" * 20_000)
        await reader.readuntil(b"HTTP/1.1 ")
        await reader.readuntil(b"\r\n\r\n")
        writer.close()


async def test_an_upgrade_in_the_second_piece_keeps_the_frames_behind_it() -> None:
    async with front_door() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        frames = masked(b"hello") * 2_000
        writer.write(upgrade(b"/echo", b"X-Long: " + b"a" * 6_000) + frames)
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(7 * 2_000) == b"\x81\x05hello" * 2_000
        writer.close()
