"""Links over real sockets: order, slow readers, deadlines, and their end."""

import asyncio
import contextlib
import json
import random
import re
import socket

import pytest
import websockets

from chappe.model.frame import SlowConsumer
from chappe.model.limits import Limits
from tests.transports.front_door_harness import FrontDoorServer, close_code_of, front_door


async def subscribe(client: websockets.ClientConnection, channel: str = "news") -> None:
    await client.send(json.dumps({"type": "subscribe", "id": 1, "channel": channel}))
    reply = json.loads(await client.recv())
    assert reply["type"] == "reply", reply


async def slow_reader(server: FrontDoorServer) -> socket.socket:
    """Return a socket that is subscribed to `news` and reads nothing more; its kernel buffer is small."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", server.port))
    request = (
        b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    command = b'{"type":"subscribe","id":1,"channel":"news"}'
    await loop.sock_sendall(sock, request + bytes((0x81, 0x80 | len(command))) + bytes(4) + command)
    while b'"reply"' not in await loop.sock_recv(sock, 4_096):
        pass
    return sock


async def publish(client: websockets.ClientConnection, count: int, size: int) -> None:
    for number in range(count):
        data = {"number": number, "pad": "x" * size}
        await client.send(json.dumps({"type": "publish", "id": number, "channel": "news", "data": data}))
        assert json.loads(await client.recv())["type"] == "reply"


async def test_a_slow_reader_is_closed_at_its_cap_and_nobody_else_notices() -> None:
    limits = Limits(send_queue_bytes=100_000, messages_per_s=0)
    async with front_door(limits=limits) as server, server.connect() as publisher, server.connect() as reader:
        await subscribe(reader)
        slow = await slow_reader(server)
        received: list[int] = []

        async def read() -> None:
            async for frame in reader:
                received.append(json.loads(frame)["data"]["number"])
                if len(received) == 200:
                    return

        reading = asyncio.create_task(read())
        await publish(publisher, 200, 60_000)
        await reading
        assert received == list(range(200))
        assert server.lobby.counters.slow_consumers == 1
        assert len(server.hub.sessions) == 2
        slow.close()


@pytest.mark.parametrize("policy", [SlowConsumer.DROP_OLDEST, SlowConsumer.LATEST])
async def test_a_slow_reader_that_may_miss_some_is_told_how_many(policy: SlowConsumer) -> None:
    limits = Limits(send_queue_bytes=100_000, messages_per_s=0)
    async with front_door(limits=limits, slow_consumer=policy) as server, server.connect() as publisher:
        slow = await slow_reader(server)
        await publish(publisher, 300, 30_000)
        loop = asyncio.get_running_loop()
        seen = b""
        delivered = missed = 0
        async with asyncio.timeout(10):
            while delivered + missed < 300:
                seen += await loop.sock_recv(slow, 1_048_576)
                text = seen.decode("latin-1")
                delivered = text.count('"type":"publication"')
                # Told again each time the reader has caught up.
                missed = sum(map(int, re.findall(r'"type":"missed","channel":"news","count":(\d+)}', text)))
        assert delivered + missed == 300
        assert '"number": 299' in text
        assert server.hub.counters.dropped == missed > 0
        slow.close()


async def test_a_frozen_peer_is_gone_within_ping_and_pong_timeout() -> None:
    limits = Limits(ping_interval_s=1.0, pong_timeout_s=1.0)
    async with front_door(limits=limits) as server:
        frozen = await slow_reader(server)
        async with asyncio.timeout(5):
            while server.hub.sessions:  # noqa: ASYNC110 - the hub tells nobody that it is empty
                await asyncio.sleep(0.01)
        assert server.lobby.counters.pong_timeouts == 1
        frozen.close()


async def test_a_peer_that_answers_pings_stays() -> None:
    limits = Limits(ping_interval_s=1.0, pong_timeout_s=1.0)
    async with front_door(limits=limits) as server, server.connect() as client:
        await asyncio.sleep(3.5)
        await client.send('{"type":"ping"}')
        assert await client.recv() == '{"type":"pong"}'
        assert server.lobby.counters.pong_timeouts == 0


async def test_who_does_not_identify_in_time_is_closed_with_3502() -> None:
    async with front_door(limits=Limits(handshake_timeout_s=1.0), anonymous=False) as server:
        client = await server.connect()
        assert await close_code_of(client) == 3502


async def test_a_message_over_the_frame_limit_closes_with_1009() -> None:
    async with front_door() as server, server.connect("/echo", max_size=None) as client:
        await client.send("x" * 1_048_576)
        assert len(await client.recv()) == 1_048_576
        await client.send("x" * 1_048_577)
        assert await close_code_of(client) == 1009


async def test_a_flood_of_pings_is_cut_with_1008() -> None:
    async with front_door() as server, server.connect("/echo") as client:
        with contextlib.suppress(websockets.ConnectionClosed):
            for _ in range(200):
                await client.ping()
        assert await close_code_of(client) == 1008


async def test_a_peer_that_vanishes_leaves_the_room_at_once() -> None:
    async with front_door() as server, server.connect("/") as stays, server.connect("/") as goes:
        await stays.send('{"type":"login","content":"Ada"}')
        await goes.send('{"type":"login","content":"Blaise"}')
        await goes.recv()
        goes.transport.abort()
        async with asyncio.timeout(2):
            while json.loads(await stays.recv()) != {"type": "leave", "username": "Blaise"}:
                pass


async def test_a_relayed_file_passes_whole_to_everybody_else() -> None:
    # Compressible, as files are, but not a hundred times: that would be refused as a bomb.
    content = random.Random(1).randbytes(4_096) * 64 + random.Random(2).randbytes(3_932_160)
    async with front_door() as server, server.connect("/") as sender, server.connect("/", max_size=None) as reader:
        for client, name in ((sender, "Ada"), (reader, "Blaise")):
            await client.send(json.dumps({"type": "login", "content": name}))
            while json.loads(await client.recv()).get("username") != name:
                pass
        await sender.send(content)
        await sender.send('{"type":"message","content":"sent"}')
        async with asyncio.timeout(10):
            frame: str | bytes = ""
            while not isinstance(frame, bytes):
                frame = await reader.recv()
            assert frame == content
            while json.loads(await sender.recv()).get("content") != "sent":
                pass


def masked(opcode: int, payload: bytes) -> bytes:
    """Return a client's frame of fewer than 126 bytes, with a mask of zeros."""
    return bytes((0x80 | opcode, 0x80 | len(payload))) + bytes(4) + payload


async def fill_window(server: FrontDoorServer) -> None:
    """Publish to `news` until a reader that reads nothing has frames waiting."""
    async with server.connect() as publisher:
        while not any(link.queued_bytes > 300_000 for link in server.lobby.links):
            await publish(publisher, 1, 60_000)


async def until_empty(server: FrontDoorServer) -> None:
    """Wait until no session and no link is left."""
    async with asyncio.timeout(5):
        while server.lobby.links or server.hub.sessions:  # noqa: ASYNC110 - the hub tells nobody that it is empty
            await asyncio.sleep(0.01)


GOODBYES = {"a goodbye": masked(8, b"\x03\xe8"), "a broken frame": b"\xff\xff", "the end of its stream": b""}


@pytest.mark.loops("asyncio", "uvloop")
@pytest.mark.parametrize("goodbye", GOODBYES.values(), ids=GOODBYES)
async def test_who_goes_while_its_window_is_full_is_gone(goodbye: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chappe.transports.portable.CLOSE_TIMEOUT_S", 0.3)
    async with front_door(limits=Limits(messages_per_s=0, send_queue_bytes=10_000_000)) as server:
        slow = await slow_reader(server)
        await fill_window(server)
        if goodbye:
            await asyncio.get_running_loop().sock_sendall(slow, goodbye)
        else:
            slow.shutdown(socket.SHUT_WR)
        await until_empty(server)
        slow.close()


@pytest.mark.parametrize("code", [6_000, 1_006, 999, 0])
async def test_an_impossible_close_code_is_one_the_peer_may_see(code: int) -> None:
    async with front_door() as server, server.connect() as client:
        await client.send('{"type":"ping"}')
        await client.recv()
        (session,) = server.hub.sessions.values()
        session.close(code, "no")
        assert await close_code_of(client) == 3503
        await until_empty(server)


async def test_a_message_that_drips_is_cut_after_its_time() -> None:
    limits = Limits(message_timeout_s=1.0, ping_interval_s=1.0)
    async with front_door(limits=limits) as server:
        slow = await slow_reader(server)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(slow, bytes((0x81, 0xFF)) + (1_000_000).to_bytes(8) + bytes(4))
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(5):
                while server.lobby.links:
                    await loop.sock_sendall(slow, b"x")
                    await asyncio.sleep(0.1)
        await until_empty(server)
        assert server.lobby.counters.message_timeouts == 1
        assert b"\x03\xf0" in await loop.sock_recv(slow, 4_096)
        slow.close()


async def test_messages_that_follow_each_other_in_pieces_are_no_drip() -> None:
    limits = Limits(message_timeout_s=1.0, ping_interval_s=1.0)
    async with front_door(limits=limits) as server:
        slow = await slow_reader(server)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(slow, b"\x81")
        for _ in range(15):
            # The rest of one message and the beginning of the next, so that there is always an unfinished one.
            await loop.sock_sendall(slow, b"\x8f" + bytes(4) + b'{"type":"ping"}' + b"\x81")
            await asyncio.sleep(0.2)
        assert len(server.lobby.links) == 1
        slow.close()
