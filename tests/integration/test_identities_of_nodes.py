"""Tickets and revocations hold on all nodes of a hub: over Redis and Valkey, and between workers behind one port."""

import asyncio
import contextlib
import hashlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import httpx
import jwt
import pytest
import websockets

from chappe.app import Hub
from chappe.config import load
from chappe.serving import Server
from tests.brokers.redis.engines import PROGRAMS, engine
from tests.server.test_workers import Hub as Workers
from tests.transports.front_door_harness import close_code_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

SECRET: Final = "0123456789abcdef0123456789abcdef"
KEY: Final = "chappe_" + "k" * 32
#: Connections spread over the processes behind one port: so many find each of two.
TRIES: Final = 12


def token(user: str = "ada", **claims: Any) -> str:
    said = {"sub": user, "aud": "chappe", "exp": int(time.time()) + 600, **claims}
    return jwt.encode(said, SECRET, "HS256")


def configure(folder: Path) -> dict[str, Any]:
    (folder / "secret").write_text(SECRET)
    (folder / "keys").write_text(f"backend:{hashlib.sha256(KEY.encode()).hexdigest()}\n")
    return {
        "auth.hmac_secret_file": str(folder / "secret"),
        "auth.algorithms": ("HS256",),
        "api.keys_file": str(folder / "keys"),
        "namespaces.default.subscribe": "user",
        "namespaces.default.publish": "user",
    }


@contextlib.asynccontextmanager
async def two_hubs(url: str, folder: Path) -> AsyncIterator[list[int]]:
    """Serve two nodes that know each other; yield their ports."""
    flags = {**configure(folder), "broker.url": f"{url}?timeout=5"}
    servers = [Server(Hub(settings=load("/dev/null", {}, flags).settings), port=0) for _ in range(2)]
    for server in servers:
        await server.start()
    try:
        for server in servers:
            await acquainted(server.port, 1)
        yield [server.port for server in servers]
    finally:
        for server in servers:
            await server.stop()


@contextlib.asynccontextmanager
async def two_workers(folder: Path) -> AsyncIterator[list[int]]:
    """Run `chappe serve --workers 2`; yield their port, twice."""
    lines: dict[str, list[str]] = {}
    for name, value in configure(folder).items():
        table, _, key = name.rpartition(".")
        lines.setdefault(table, []).append(f"{key} = {json.dumps(value)}")
    text = "\n".join(f"[{table}]\n" + "\n".join(each) for table, each in lines.items())
    (folder / "chappe.toml").write_text(text)
    async with Workers("--config", str(folder / "chappe.toml"), "--workers", "2") as hub:
        port = await hub.port()
        await acquainted(port, 2)
        yield [port, port]


async def acquainted(port: int, wanted: int) -> None:
    """Wait until so many nodes behind a port know two."""
    knowing: set[str] = set()
    async with asyncio.timeout(20):
        while len(knowing) < wanted:
            info = await post(port, "info", {})
            if len(info["nodes"]) == 2:
                knowing.add(info["node"])
            else:
                await asyncio.sleep(0.05)


async def post(port: int, command: str, body: Any, credential: str = KEY) -> Any:
    """Ask over a connection of its own."""
    headers = {"Authorization": f"Bearer {credential}"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False) as http:
        answer = await http.post(f"/api/{command}", json=body, timeout=20)
        assert answer.status_code == 200, answer.text
        return answer.json()


async def user_of(port: int, query: str = "", credential: str | None = None) -> Any:
    """Return who a new connection is, or the code that closes it."""
    async with websockets.connect(f"ws://127.0.0.1:{port}/ws{query}", proxy=None) as client:
        await client.send(json.dumps({"type": "connect", "id": 1, **({"token": credential} if credential else {})}))
        answer = json.loads(await client.recv())
        return answer["user"] if answer["type"] == "reply" else await close_code_of(client)


async def tickets_hold(ports: list[int]) -> None:
    """See that a ticket of any node is good once on any node, however many show it at once."""
    for number in range(TRIES):
        given = ports[number % 2]
        query = f"?ticket={(await post(given, 'tickets', {'user': f'user{number}'}))['ticket']}"
        found = await asyncio.gather(*(user_of(port, query) for port in ports * 2))
        assert sorted(map(str, found)) == ["3500", "3500", "3500", f"user{number}"]


async def revocations_hold(ports: list[int]) -> None:
    """See that what is revoked at one node is refused at all."""
    first, last = ports
    now = int(time.time())
    used, unused = token(jti="used", iat=now), token(iat=now)
    named, kept = token("eve", jti="named"), token("eve", jti="kept")
    ticket = (await post(last, "tickets", {"user": "ada"}))["ticket"]
    async with websockets.connect(f"ws://127.0.0.1:{last}/ws", proxy=None) as client:
        await client.send(json.dumps({"type": "connect", "id": 1, "token": used}))
        assert json.loads(await client.recv())["user"] == "ada"
        assert await post(first, "revoke", {"user": "ada"}) == {"disconnected": 1}
        assert await close_code_of(client) == 3503
    await post(first, "revoke", {"token": "named"})
    for port in ports * (TRIES // 2):
        found = [await user_of(port, credential=each) for each in (used, unused, named, kept)]
        assert found == [3500, 3500, 3500, "eve"]
        assert await user_of(port, f"?ticket={ticket}") == 3500
    # A new one counts once its whole second, and what clocks may differ, are over.
    while await user_of(last, credential=token(iat=int(time.time()))) != "ada":  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("name", PROGRAMS)
async def test_tickets_and_revocations_hold_on_all_nodes(name: str, tmp_path: Path) -> None:
    with engine(name) as redis:
        async with two_hubs(redis.url, tmp_path) as ports:
            await tickets_hold(ports)
            await revocations_hold(ports)


async def test_tickets_and_revocations_hold_on_all_workers(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as ports:
        await tickets_hold(ports)
        await revocations_hold(ports)
