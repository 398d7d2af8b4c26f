"""Two hubs on Redis, Valkey or NATS are one to their users: names, presence, locks, handles, requests, and an end."""

import asyncio
import contextlib
import itertools
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import httpx
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as websocket

from chappe.app import Hub
from chappe.hub.cluster.nodes import BEAT_S, NODE_TTL_S
from chappe.serving import Server
from tests.brokers.jetstream.server import running
from tests.brokers.redis.engines import engine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

#: A hub of its own process, which can be killed.
ALONE: Final = """
import asyncio, sys
from chappe.app import Hub
from chappe.serving import Server

async def main():
    server = Server(Hub(dev=True, broker=sys.argv[1]), port=0)
    await server.start()
    print(server.port, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@contextlib.asynccontextmanager
async def broker(name: str) -> AsyncIterator[str]:
    """Run an engine; give its URL."""
    if name == "nats":
        async with running() as server:
            yield server.url
    else:
        with engine(name) as server:
            yield f"{server.url}?prefix=t{secrets.token_hex(4)}"


@contextlib.asynccontextmanager
async def hubs(url: str, count: int = 2) -> AsyncIterator[list[Server]]:
    """Run hubs on one engine until all know of each other."""
    servers = [Server(Hub(dev=True, broker=url), port=0) for _ in range(count)]
    for server in servers:
        await server.start()
    try:
        await until(lambda: all(others(server) == count - 1 for server in servers))
        yield servers
    finally:
        for server in servers:
            await server.stop()


def others(server: Server) -> int:
    cluster = server.hub.core.cluster
    return len(cluster.nodes.others) if cluster is not None else 0


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what nothing tells of; the test's own timeout ends it."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.02)


class Client:
    """A socket of chappe.v1 that keeps what is told beside answers."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.told: list[dict[str, Any]] = []
        self._numbers = itertools.count(1)

    async def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        number = next(self._numbers)
        await self.socket.send(json.dumps({"type": kind, "id": number, **fields}))
        while True:
            message: dict[str, Any] = json.loads(await self.socket.recv())
            if message.get("id") == number:
                return message
            self.told.append(message)

    async def hears(self, kind: str, name: str) -> None:
        """Wait until a member came (`join`) or went (`leave`)."""
        while not any(each["type"] == kind and each["member"]["name"] == name for each in self.told):
            self.told.append(json.loads(await self.socket.recv()))


@contextlib.asynccontextmanager
async def client(port: int) -> AsyncIterator[Client]:
    async with websocket(f"ws://127.0.0.1:{port}/ws") as socket:
        yield Client(socket)


@pytest.mark.parametrize("name", ["redis", "valkey", "nats"])
async def test_two_hubs_are_one_to_their_users(name: str) -> None:
    async with (
        broker(name) as url,
        hubs(url) as (a, b),
        client(a.port) as ada,
        client(b.port) as blaise,
        httpx.AsyncClient(timeout=20) as http,
    ):
        connected = await ada.ask("connect", name="Ada B")
        assert (await blaise.ask("connect", name="ADA b"))["code"] == 115
        await blaise.ask("connect", name="Blaise P")
        for each in (ada, blaise):
            await each.ask("subscribe", channel="chat/lobby", presence=True)
        await ada.hears("join", "Blaise P")
        members = (await blaise.ask("presence", channel="chat/lobby"))["members"]
        assert sorted(member["name"] for member in members) == ["Ada B", "Blaise P"]
        await locks(ada, blaise)
        await polls(http, a.url, b.url)
        async with client(b.port) as again:
            resumed = await again.ask("connect", name="Ada B", resume=connected["resume"])
            assert (resumed["resumed"], resumed["session"]) == (True, connected["session"])
            await blaise.hears("leave", "Ada B")
            ended = await http.post(f"{a.url}/api/disconnect", json={"session": resumed["session"]})
            assert ended.json() == {"disconnected": 1}
            await again.socket.wait_closed()
            assert again.socket.close_code == 3503
        for server in (a, b):
            metrics = (await http.get(f"{server.url}/metrics")).text
            assert "\nchappe_bus_malformed_total 0" in metrics


async def locks(holder: Client, waiter: Client) -> None:
    first = await holder.ask("lock", resource="doc", ttl=60)
    denied = await waiter.ask("lock", resource="doc")
    assert (denied["code"], denied["detail"]["owner"]) == (118, first["owner"])
    waiting = asyncio.create_task(waiter.ask("lock", resource="doc", ttl=0, wait=20))
    await holder.ask("ping")
    await holder.ask("unlock", resource="doc")
    assert (await waiting)["token"] > first["token"]
    await waiter.ask("unlock", resource="doc")


async def polls(http: httpx.AsyncClient, own: str, other: str) -> None:
    begun = (await http.get(f"{own}/poll")).json()
    session = {"session": begun["session"]}
    answered = await http.post(f"{other}/send", params=session, json={"type": "subscribe", "id": 1, "channel": "news"})
    assert answered.json()["messages"][0]["channel"] == "news"
    waiting = asyncio.create_task(http.get(f"{other}/poll", params={**session, "cursor": begun["cursor"]}))
    await http.post(f"{other}/api/publish", json={"channel": "news", "data": "hello"})
    assert [message["data"] for message in (await waiting).json()["messages"]] == ["hello"]


@pytest.mark.parametrize("name", ["redis", "valkey", "nats"])
async def test_what_a_killed_hub_had_is_free_after_its_time_but_for_leases(name: str) -> None:
    async with broker(name) as url, hubs(url, 1) as (a,), client(a.port) as ada:
        await ada.ask("connect", name="Ada B")
        await ada.ask("subscribe", channel="chat/lobby", presence=True)
        command = [sys.executable, "-c", ALONE, url]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=dict(os.environ))
        assert process.stdout is not None
        try:
            port = int(await process.stdout.readline())
            await until(lambda: others(a) == 1)
            async with client(port) as blaise:
                await blaise.ask("connect", name="Blaise P")
                await blaise.ask("subscribe", channel="chat/lobby", presence=True)
                await blaise.ask("lock", resource="held", ttl=0)
                await blaise.ask("lock", resource="leased", ttl=600)
                await ada.hears("join", "Blaise P")
                process.send_signal(signal.SIGKILL)
                killed_at = asyncio.get_running_loop().time()
                await ada.hears("leave", "Blaise P")
                assert asyncio.get_running_loop().time() - killed_at < NODE_TTL_S + 4 * BEAT_S
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        assert (await ada.ask("lock", resource="held"))["type"] == "reply"
        assert (await ada.ask("lock", resource="leased"))["code"] == 118
        async with client(a.port) as again:
            assert (await again.ask("connect", name="Blaise P"))["type"] == "reply"
