"""Streams under other servers, over ASGI messages."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

import chappe
from chappe.config import load
from chappe.model.frame import Frame
from chappe.model.limits import Limits
from chappe.transports.asgi_stream import AsgiStreamLink, stream_body
from tests.protocols.sse.reader import EventReader, Said
from tests.transports.sse_harness import FLAGS


class Request:
    """The client's side of one GET at an ASGI app, and its server."""

    def __init__(self, app: Any, query: str, **headers: str) -> None:
        self._from_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._gone = asyncio.Event()
        self._events = EventReader()
        self._said: list[Said] = []
        self.taking = asyncio.Event()
        self.taking.set()
        self.ended = False
        fields = {"host": "hub.example", **{name.replace("_", "-").lower(): value for name, value in headers.items()}}
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/mounted/events",
            "root_path": "/mounted",
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in fields.items()],
            "client": ("192.0.2.1", 5),
            "scheme": "http",
            "http_version": "1.1",
        }
        self.task = asyncio.create_task(app(scope, self._receive, self._deliver))

    async def _receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _deliver(self, message: Any) -> None:
        await self.taking.wait()
        self._from_app.put_nowait(dict(message))

    async def start(self) -> dict[str, Any]:
        async with asyncio.timeout(2):
            return await self._from_app.get()

    async def event(self) -> Said:
        async with asyncio.timeout(5):
            while not self._said:
                message = await self._from_app.get()
                self.ended = not message.get("more_body", False)
                assert not self.ended
                self._said += self._events.feed(message["body"])
        return self._said.pop(0)

    async def leave(self) -> None:
        self._gone.set()
        await self.task


@contextlib.asynccontextmanager
async def hub_behind_asgi(**flags: Any) -> AsyncIterator[chappe.Hub]:
    changes = {name.replace("__", "."): value for name, value in flags.items()}
    hub = chappe.Hub(settings=load(os.devnull, {}, {**FLAGS, **changes}).settings)
    async with hub.lifespan():
        yield hub


async def test_a_stream_of_a_mounted_hub_recovers_and_leaves_nothing() -> None:
    async with hub_behind_asgi() as hub:
        app = hub.asgi()
        first = Request(app, "channel=a&channel=b")
        assert (await first.start())["status"] == 200
        assert (await first.event()).name == "subscribed"
        await hub.publish("a", 1)
        said = await first.event()
        await first.leave()
        assert not hub.sessions
        await hub.publish("a", 2)
        second = Request(app, "channel=a&channel=b", Last_Event_ID=said.id)
        await second.start()
        assert '"recovered":true' in (await second.event()).data
        assert '"data":2' in (await second.event()).data
        await second.leave()


async def test_a_session_that_ends_ends_the_body() -> None:
    async with hub_behind_asgi() as hub:
        request = Request(hub.asgi(), "channel=a")
        await request.start()
        await request.event()
        hub.core.shutdown(tuple(hub.core.sessions.values()))
        await request.task
        assert not hub.sessions


async def test_a_reader_that_takes_nothing_is_ended_at_its_cap_and_gives_its_seat_back() -> None:
    async with hub_behind_asgi(limits__send_queue_bytes=10_000) as hub:
        app = hub.asgi()
        request = Request(app, "channel=a")
        await request.start()
        await request.event()
        request.taking.clear()
        for _ in range(30):
            await hub.publish("a", "x" * 1_000)
        async with asyncio.timeout(2):
            while hub.sessions:  # noqa: ASYNC110 - the hub tells nobody that it is empty
                await asyncio.sleep(0.01)
        await request.leave()
        again = Request(app, "channel=a")
        assert (await again.start())["status"] == 200
        await again.leave()


@pytest.mark.parametrize("seconds", [0.02, 0.0])
async def test_a_silent_stream_has_heartbeats_if_they_are_wanted(seconds: float) -> None:
    link = AsgiStreamLink(Limits(sse_heartbeat_s=seconds))
    sent: list[bytes] = []
    gone = asyncio.Event()

    async def send(message: Any) -> None:
        sent.append(message["body"])

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    streaming = asyncio.create_task(stream_body(link, receive, send))
    link.send(Frame(b"data: 1\n\n", True))
    await asyncio.sleep(0.2)
    gone.set()
    await streaming
    assert sent[0] == b"data: 1\n\n"
    assert (sent[1:4] == [b":\n"] * 3) == (seconds > 0)
    assert link.closing
