"""Every limit of the preset `strict`, crossed over real sockets: its code, and a healthy client that notices nothing.

Hostile clients come through a proxy that is believed, from addresses of their own.
"""

import asyncio
import itertools
import json
import re
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import jwt
import pytest
import websockets

from chappe.config.profiles import PRESETS
from tests.hostile.neighbourhood import Place, healthy_neighbour, hear, served, tell

STRICT: Final[dict[str, Any]] = {
    "server__dev": False,
    "server__preset": "strict",
    "server__trusted_proxies": ("127.0.0.1",),
    "api__insecure_open": True,
    "namespaces__default__level": "recoverable",
    "namespaces__default__subscribe": "anonymous",
    "namespaces__default__publish": "anonymous",
}
SECRET: Final = "s" * 48
_addresses = (f"198.51.{high}.{low}" for high, low in itertools.product(range(100, 200), range(1, 255)))

Cross = Callable[[Place, str], Awaitable[None]]


@pytest.fixture(scope="module")
def strict() -> Iterator[Place]:
    """Serve a strict hub that lets anonymous in."""
    with served(**STRICT, auth__anonymous=True) as place:
        yield place


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Serve a strict hub that asks for a token, but of the API."""
    path: Path = tmp_path_factory.mktemp("strict") / "secret"
    path.write_text(SECRET)
    with served(**STRICT, auth__hmac_secret_file=str(path), auth__algorithms=("HS256",)) as place:
        yield place


@pytest.fixture
def address() -> str:
    return next(_addresses)


def token(user: str) -> str:
    claims = {"sub": user, "aud": "chappe", "exp": time.time() + 600}
    return jwt.encode(claims, SECRET, algorithm="HS256")


def through_proxy(address: str) -> dict[str, str]:
    return {"X-Forwarded-For": address}


@asynccontextmanager
async def hostile(place: Place, address: str, **options: Any) -> AsyncIterator[websockets.ClientConnection]:
    async with place.connect(additional_headers=through_proxy(address), **options) as client:
        yield client


async def code_of(client: websockets.ClientConnection, **command: Any) -> int:
    """Send a command that is refused; return the code of its error, and see that the connection stays."""
    await tell(client, {"id": 9, **command})
    answer = await hear(client)
    await tell(client, {"type": "ping", "id": 10})
    assert (await hear(client))["type"] == "pong"
    return int(answer["code"])


async def close_code(client: websockets.ClientConnection) -> int:
    async with asyncio.timeout(15):
        await client.wait_closed()
    assert client.close_code is not None
    return client.close_code


async def get(place: Place, path: str, address: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{place.port}") as http:
        return await http.get(path, headers=through_proxy(address))


async def counted(place: Place, metric: str) -> float:
    """Return a counter as `/metrics` shows it."""
    lines = (await get(place, "/metrics", "127.0.0.1")).text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(metric))


# --- Messages ---------------------------------------------------------------------------------------------------------


async def a_message_of_more_than_ten_kilobytes(place: Place, address: str) -> None:
    async with hostile(place, address) as client:
        assert await code_of(client, type="publish", channel="a", data="x" * 10_240) == 113


async def a_frame_beyond_its_limit(place: Place, address: str) -> None:
    async with hostile(place, address) as client:
        await client.send("x" * 65_537)
        assert await close_code(client) == 1009


async def too_many_fragments(place: Place, address: str) -> None:
    async with hostile(place, address) as client:
        await client.send(["{"] + [" "] * 20)
        assert await close_code(client) == 1008


async def too_many_channels(place: Place, address: str) -> None:
    async with hostile(place, address) as client:
        await client.send(json.dumps([{"type": "subscribe", "id": n, "channel": f"c{n}"} for n in range(33)]))
        answers = [await hear(client) for _ in range(33)]
        assert [answer.get("code") for answer in answers] == [None] * 32 + [106]


async def too_many_messages(place: Place, address: str) -> None:
    async with hostile(place, address) as client:
        await client.send(json.dumps([{"type": "ping", "id": n} for n in range(60)]))
        answers = [await hear(client) for _ in range(60)]
        refused = [answer for answer in answers if answer["type"] == "error"]
        assert {answer["code"] for answer in refused} == {111}
        assert {answer["detail"]["limit"] for answer in refused} == {"messages_per_s"}
        assert 10 <= len(refused) <= 20


async def a_rate_that_reconnecting_does_not_lift(place: Place, address: str) -> None:
    limits = set()
    for _ in range(8):
        async with hostile(place, address) as client:
            await client.send(json.dumps([{"type": "ping", "id": n} for n in range(40)]))
            for _ in range(40):
                limits.add((await hear(client)).get("detail", {}).get("limit"))
    assert limits == {None, "address_messages_per_s"}


async def too_many_commands_in_a_batch(place: Place, address: str) -> None:
    async with hostile(place, address) as client:
        await client.send(json.dumps([{"type": "ping"}] * 101))
        assert (await hear(client))["code"] == 107


async def too_deep_json(place: Place, address: str) -> None:
    async with hostile(place, address) as client:
        deep: Any = 1
        for _ in range(17):
            deep = [deep]
        assert await code_of(client, type="publish", channel="a", data=deep) == 107


async def too_many_keys(place: Place, address: str) -> None:
    async with hostile(place, address) as client:
        wide = {str(number): 1 for number in range(201)}
        assert await code_of(client, type="publish", channel="a", data=wide) == 107


async def too_long_a_page_of_history(place: Place, address: str) -> None:
    async with hostile(place, address) as client:
        assert await code_of(client, type="history", channel="a", limit=101) == 107


async def a_reader_that_does_not_read(place: Place, address: str) -> None:
    """Fill its queue by the API; what waits for it beyond its cap ends it, and nobody else."""
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    reader.connect(("127.0.0.1", place.port))
    reader.setblocking(False)
    loop = asyncio.get_running_loop()
    upgrade = (
        f"GET /ws HTTP/1.1\r\nHost: localhost:{place.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"X-Forwarded-For: {address}\r\n\r\n"
    )
    await loop.sock_sendall(reader, upgrade.encode() + masked(b'{"type":"subscribe","id":1,"channel":"flood"}'))
    heard = b""
    while b'"reply"' not in heard:
        heard += await loop.sock_recv(reader, 4_096)
    dropped = await counted(place, "chappe_link_slow_consumers_total")
    command = {"type": "publish", "channel": "flood", "data": "x" * 10_000}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{place.port}", timeout=20) as http:
        async with asyncio.timeout(20):
            while await counted(place, "chappe_link_slow_consumers_total") == dropped:
                answer = await http.post("/api/batch", json={"commands": [command] * 20})
                assert answer.status_code == 200, answer.text
    reader.close()


def masked(text: bytes) -> bytes:
    """Return a text frame of a client whose mask changes nothing."""
    return bytes((0x81, 0x80 | len(text), 0, 0, 0, 0)) + text


# --- Connections ------------------------------------------------------------------------------------------------------


async def a_sixth_connection_of_an_address(place: Place, address: str) -> None:
    refused = await counted(place, 'chappe_connections_refused_total{reason="address"}')
    async with AsyncExitStack() as five:
        for _ in range(5):
            await five.enter_async_context(hostile(place, address))
        async with hostile(place, address) as sixth:
            assert await close_code(sixth) == 3504
        for path in ("/poll", "/events?channel=a"):
            answer = await get(place, path, address)
            assert (answer.status_code, answer.json()["code"]) == (429, 3504)
        other = next(_addresses)
        assert (await get(place, "/poll", other)).status_code == 200
    assert await counted(place, 'chappe_connections_refused_total{reason="address"}') == refused + 3


async def six_sessions_of_polls_and_of_neighbours_in_one_network(place: Place, address: str) -> None:
    network = f"2001:db8:{address.rpartition('.')[2]}:1::"
    for number in range(5):
        assert (await get(place, "/poll", f"{network}{number + 1}")).status_code == 200
    assert (await get(place, "/poll", f"{network}ffff")).status_code == 429
    async with hostile(place, f"{network}abcd") as sixth:
        assert await close_code(sixth) == 3504


async def a_head_that_is_too_long(place: Place, address: str) -> None:
    request = f"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: {'a' * 8_192}\r\n\r\n"
    assert b" 431 " in (await place.send(request.encode())).partition(b"\r\n")[0]


ANONYMOUS: Final[list[Cross]] = [
    a_message_of_more_than_ten_kilobytes,
    a_frame_beyond_its_limit,
    too_many_fragments,
    too_many_channels,
    too_many_messages,
    a_rate_that_reconnecting_does_not_lift,
    too_many_commands_in_a_batch,
    too_deep_json,
    too_many_keys,
    too_long_a_page_of_history,
    a_reader_that_does_not_read,
    a_sixth_connection_of_an_address,
    six_sessions_of_polls_and_of_neighbours_in_one_network,
    a_head_that_is_too_long,
]


@pytest.mark.slow
@pytest.mark.parametrize("cross", ANONYMOUS, ids=lambda cross: cross.__name__)
async def test_strict_refuses(strict: Place, address: str, cross: Cross) -> None:
    async with healthy_neighbour(strict):
        await cross(strict, address)


@pytest.mark.slow
async def test_strict_slows_an_avalanche_down(strict: Place) -> None:
    """New sessions of ever new addresses, faster than 100 a second: the late ones are told when to come."""
    came = [
        f"GET /poll HTTP/1.1\r\nHost: localhost:{strict.port}\r\nX-Forwarded-For: {next(_addresses)}\r\n\r\n"
        for _ in range(1_000)
    ]
    async with healthy_neighbour(strict):
        answers = (await strict.send("".join(came).encode())).split(b"HTTP/1.1 ")[1:]
        refused = [answer for answer in answers if answer.startswith(b"503")]
        assert 200 < len(answers) - len(refused) < len(answers) == 1_000
        assert all(re.search(rb"(?i)retry-after: [1-9]", answer) and b'"code":108' in answer for answer in refused)
        assert await counted(strict, 'chappe_connections_refused_total{reason="connects"}') > 0
        # The neighbour itself comes back at once when there is room again.
        await room_again(strict)


async def room_again(place: Place) -> None:
    async with asyncio.timeout(10):
        while (await get(place, "/poll", next(_addresses))).status_code != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@asynccontextmanager
async def healthy_user(place: Place) -> AsyncIterator[None]:
    """Be a user who is there before and after, and notices nothing."""
    async with place.connect() as client:
        await tell(client, {"type": "connect", "id": 1, "token": token("neighbour")})
        assert (await hear(client))["user"] == "neighbour"
        yield
        await tell(client, {"type": "ping", "id": 2})
        assert await hear(client) == {"type": "pong", "id": 2}
    assert not place.unseen


@pytest.mark.slow
async def test_strict_bounds_connections_that_do_not_say_who_they_are(closed: Place, address: str) -> None:
    async with healthy_user(closed), AsyncExitStack() as strangers:
        known = await strangers.enter_async_context(hostile(closed, address))
        await tell(known, {"type": "connect", "id": 1, "token": token("ada")})
        assert (await hear(known))["user"] == "ada"
        for _ in range(3):
            await strangers.enter_async_context(hostile(closed, address))
        with pytest.raises(websockets.InvalidStatus) as refused:
            await strangers.enter_async_context(hostile(closed, address))
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["Retry-After"] == "1"
        for path in ("/poll", "/events?channel=a"):
            assert (await get(closed, path, address)).status_code == 503
        assert await counted(closed, "chappe_unauthenticated ") == 3
        assert (await get(closed, "/poll", next(_addresses))).status_code == 200


@pytest.mark.slow
async def test_strict_gives_all_sessions_of_a_user_one_rate(closed: Place) -> None:
    limits = set()
    async with healthy_user(closed):
        for _ in range(5):
            # Each from another address.
            async with hostile(closed, next(_addresses)) as client:
                await tell(client, {"type": "connect", "id": 1, "token": token("ada")})
                await hear(client)
                await client.send(json.dumps([{"type": "ping", "id": n} for n in range(39)]))
                for _ in range(39):
                    limits.add((await hear(client)).get("detail", {}).get("limit"))
    assert limits == {None, "user_messages_per_s"}


@pytest.mark.slow
async def test_strict_waits_for_nobody(closed: Place, address: str) -> None:
    """What takes its time: a head, a first command, the end of a message."""

    async def silence() -> int:
        async with hostile(closed, address) as client:
            return await close_code(client)

    async def half_a_head() -> bytes:
        reader, writer = await closed.open()
        writer.write(b"GET / HTTP/1.1\r\nHost: loc")
        answer = await reader.read()
        writer.close()
        return answer

    async def half_a_message() -> int:
        async with hostile(closed, next(_addresses)) as client:
            await tell(client, {"type": "connect", "id": 1, "token": token("ada")})
            await hear(client)
            client.transport.write(bytes((0x01, 0x81, 0, 0, 0, 0)) + b"{")
            return await close_code(client)

    async with healthy_user(closed), asyncio.timeout(25):
        said, head, message = await asyncio.gather(silence(), half_a_head(), half_a_message())
    assert said == 3502
    assert b" 408 " in head
    assert message == 1008


def test_every_limit_of_the_preset_is_crossed_here_or_named() -> None:
    """A limit that the preset gains is crossed here, or this test says where."""
    elsewhere = {
        "limits.address_connects_burst",  # tests/transports/test_pacing.py
        "limits.address_connects_per_s",  # the same
        "limits.calls_in_flight",  # tests/hub/test_limits.py
        "limits.history_page_bytes",  # tests/hub/test_reading.py
        "limits.recovery_bytes",  # tests/hub/test_subscribing.py
        "limits.relay_bytes",  # tests/hub/test_limits.py
        "limits.unauthenticated_connections",  # tests/transports/test_admission.py
    }
    here = {
        "limits.address_messages_burst",
        "limits.address_messages_per_s",
        "limits.batch_commands",
        "limits.channels_per_client",
        "limits.connections_per_address",
        "limits.connects_per_s",
        "limits.frame_bytes",
        "limits.handshake_timeout_s",
        "limits.history_page",
        "limits.json_depth",
        "limits.json_keys",
        "limits.message_bytes",
        "limits.message_fragments",
        "limits.message_timeout_s",
        "limits.messages_burst",
        "limits.messages_per_s",
        "limits.send_queue_bytes",
        "limits.send_queue_messages",
        "limits.unauthenticated_per_address",
        "limits.user_messages_burst",
        "limits.user_messages_per_s",
        "server.head_bytes",
        "server.head_timeout_s",
    }
    assert set(PRESETS["strict"]) == here | elsewhere
