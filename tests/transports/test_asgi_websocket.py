"""WebSocket over ASGI messages, with an ASGI server of ten lines: queues in memory."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from chappe.brokers.memory import MemoryBroker
from chappe.hub.hub import HubCore, HubOptions
from chappe.hub.namespaces import Namespace, Namespaces
from chappe.model.limits import Limits
from chappe.transports.asgi_websocket import AsgiWebSockets
from chappe.transports.endpoints import Endpoints
from chappe.transports.event_loop import LoopClock, Tasks
from chappe.transports.upgrade import Gate
from tests.transports.front_door_harness import OPEN


class Connection:
    """The client's side of one `websocket` scope."""

    def __init__(self, app: AsgiWebSockets, scope: dict[str, Any]) -> None:
        self._to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.reading = asyncio.Event()
        self.reading.set()
        self._to_app.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.create_task(app(scope, self._to_app.get, self._deliver))

    async def _deliver(self, message: Any) -> None:
        await self.reading.wait()
        self._from_app.put_nowait(dict(message))

    def send(self, **command: Any) -> None:
        self._to_app.put_nowait({"type": "websocket.receive", "text": json.dumps(command)})

    def send_raw(self, **message: Any) -> None:
        self._to_app.put_nowait({"type": "websocket.receive", **message})

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(2):
            return await self._from_app.get()

    async def answer(self) -> dict[str, Any]:
        return json.loads((await self.receive())["text"])  # type: ignore[no-any-return]

    async def close(self) -> None:
        self._to_app.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await self.task


class Servers:
    """Opens connections to one hub."""

    def __init__(self, hub: HubCore, gate: Gate) -> None:
        self.hub = hub
        self._app = AsgiWebSockets(hub, Endpoints(hub, "classic", "en"), gate)

    def open(self, path: str, **scope: Any) -> Connection:
        base = {
            "type": "websocket",
            "path": path,
            "root_path": "",
            "query_string": b"",
            "headers": [(b"host", b"hub.example")],
            "client": ("127.0.0.1", 5),
            "scheme": "ws",
        }
        return Connection(self._app, {**base, **scope})


@contextlib.asynccontextmanager
async def hub_behind_asgi(limits: Limits | None = None, gate: Gate | None = None) -> AsyncIterator[Servers]:
    clock = LoopClock()
    broker = MemoryBroker(clock, os.urandom)
    options = HubOptions(
        broker=broker,
        clock=clock,
        random=os.urandom,
        spawn=Tasks().spawn,
        log=lambda level, message, *values: None,
        limits=limits or Limits(messages_per_s=0),
        namespaces=Namespaces([Namespace(name="default", **OPEN)]),
        anonymous=True,
    )
    hub = HubCore(options)
    await broker.start(hub.delivery)
    yield Servers(hub, gate or Gate())
    await broker.stop()


async def test_a_conversation_over_asgi_messages() -> None:
    async with hub_behind_asgi() as servers:
        client = servers.open(
            "/mount/ws", root_path="/mount", headers=[(b"host", b"a"), (b"sec-websocket-protocol", b"chappe.v1")]
        )
        assert await client.receive() == {"type": "websocket.accept", "subprotocol": "chappe.v1"}
        client.send(type="subscribe", id=1, channel="news")
        assert (await client.answer())["id"] == 1
        client.send(type="publish", id=2, channel="news", data=[1, 2])
        assert (await client.answer())["offset"] == 1
        assert (await client.answer())["data"] == [1, 2]
        await client.close()
        assert not servers.hub.sessions


async def test_binary_stays_binary() -> None:
    async with hub_behind_asgi() as servers:
        client = servers.open("/echo")
        await client.receive()
        client.send_raw(bytes=b"\x00\xff")
        assert await client.receive() == {"type": "websocket.send", "bytes": b"\x00\xff"}
        await client.close()


async def test_a_refused_upgrade_is_an_http_answer_where_the_server_can_give_one() -> None:
    gate = Gate(hosts=frozenset({"localhost"}))
    async with hub_behind_asgi(gate=gate) as servers:
        plain = servers.open("/ws")
        assert (await plain.receive())["type"] == "websocket.close"
        await plain.task
        able = servers.open("/ws", extensions={"websocket.http.response": {}})
        assert (await able.receive())["status"] == 421
        assert b"allowed_hosts" in (await able.receive())["body"]
        await able.task


async def test_the_hub_closes_with_its_code_behind_what_was_queued() -> None:
    async with hub_behind_asgi() as servers:
        client = servers.open("/ws")
        await client.receive()
        client.send(type="ping")
        assert await client.answer() == {"type": "pong"}
        (session,) = servers.hub.sessions.values()
        servers.hub.send_direct(session, "last")
        session.close(3001)
        assert (await client.answer())["data"] == "last"
        closed = await client.receive()
        assert (closed["type"], closed["code"]) == ("websocket.close", 3001)
        await client.task
        assert not servers.hub.sessions


async def test_a_slow_reader_is_closed_with_3008() -> None:
    async with hub_behind_asgi(Limits(messages_per_s=0, send_queue_bytes=10_000)) as servers:
        slow, publisher = servers.open("/ws"), servers.open("/ws")
        for client in (slow, publisher):
            await client.receive()
        slow.send(type="subscribe", id=1, channel="news")
        await slow.answer()
        slow.reading.clear()
        for number in range(10):
            publisher.send(type="publish", id=number, channel="news", data="x" * 2_000)
            await publisher.answer()
        slow.reading.set()
        async with asyncio.timeout(2):
            while (message := await slow.receive())["type"] != "websocket.close":
                pass
        assert message["code"] == 3008
        await slow.task
        await publisher.close()


async def test_a_message_over_the_limit_closes_with_1009() -> None:
    async with hub_behind_asgi(Limits(frame_bytes=1_000)) as servers:
        client = servers.open("/echo")
        await client.receive()
        client.send_raw(text="x" * 1_001)
        assert (await client.receive())["code"] == 1009
        await client.task


async def test_a_quiet_peer_keeps_its_name() -> None:
    # It was taken from it: nothing asked it for a sign of life, and its silence was taken for death.
    async with hub_behind_asgi(Limits(messages_per_s=0, name_probe_s=0.1)) as servers:
        holder, newcomer = servers.open("/ws"), servers.open("/ws")
        for client in (holder, newcomer):
            await client.receive()
        holder.send(type="connect", id=1, name="Ada")
        await holder.answer()
        newcomer.send(type="connect", id=1, name="ada")
        assert (await newcomer.answer())["code"] == 115
        await holder.close()
        newcomer.send(type="connect", id=2, name="ada")
        assert (await newcomer.answer())["name"] == "ada"
        await newcomer.close()


async def test_a_slow_reader_loses_its_session_when_it_is_over_its_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chappe.transports.asgi_link.CLOSE_TIMEOUT_S", 0.1)
    limits = Limits(messages_per_s=0, send_queue_bytes=10_000)
    async with hub_behind_asgi(limits) as servers:
        slow, publisher = servers.open("/ws"), servers.open("/ws")
        await slow.receive()
        await publisher.receive()
        slow.send(type="subscribe", id=1, channel="news")
        await slow.answer()
        slow.reading.clear()
        for number in range(10):
            publisher.send(type="publish", id=number, channel="news", data="x" * 5_000)
            assert (await publisher.answer())["type"] == "reply"
        assert len(servers.hub.sessions) == 1
        # Nor does its connection wait for a close message that it does not read.
        async with asyncio.timeout(2):
            await slow.task
        await publisher.close()


async def test_beyond_the_connections_of_an_address_the_close_code_is_3504() -> None:
    async with hub_behind_asgi(Limits(connections_per_address=1)) as servers:
        first, second = servers.open("/ws"), servers.open("/ws")
        assert (await first.receive())["type"] == "websocket.accept"
        assert (await second.receive())["type"] == "websocket.accept"
        assert (await second.receive())["code"] == 3504
        await second.task
        await first.close()
        third = servers.open("/ws")
        await third.receive()
        third.send(type="ping")
        assert await third.answer() == {"type": "pong"}
        await third.close()


async def test_an_impossible_close_code_is_one_the_peer_may_see() -> None:
    async with hub_behind_asgi() as servers:
        client = servers.open("/ws")
        await client.receive()
        (session,) = servers.hub.sessions.values()
        session.close(1006, "no")
        assert (await client.receive())["code"] == 3503
        await client.close()
