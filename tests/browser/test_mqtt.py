"""mqtt.js in Chromium, over WebSocket: QoS 0, 1 and 2, retained messages, wills, sessions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Protocol

import pytest
from playwright.async_api import Browser, Page

from chappe.testing.running import RunningHub, running_hub
from tests.browser.conftest import ROOT
from tests.browser.visiting import chromium

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

LIBRARY = ROOT / "clients" / "js" / "node_modules" / "mqtt" / "dist" / "mqtt.min.js"
PATIENCE_S = 30.0
VERSIONS = pytest.mark.parametrize("version", [4, 5])

CONNECT = """async ([url, options]) => {
  window.client = mqtt.connect(url, { reconnectPeriod: 0, ...options });
  client.on("message", (topic, payload, { qos, retain }) => came([topic, payload.toString(), qos, retain]));
  return await new Promise((resolve, reject) => {
    client.once("connect", ({ sessionPresent }) => resolve(sessionPresent));
    client.once("error", reject);
  });
}"""
SUBSCRIBE = "async ([filter, qos]) => (await client.subscribeAsync(filter, { qos }))[0].qos"
PUBLISH = "async ([topic, payload, options]) => { await client.publishAsync(topic, payload, options); }"

Message = tuple[str, str, int, bool]


class Tab:
    """A page with one client.

    Attributes:
        present: whether the hub had its session.
    """

    def __init__(self, page: Page, running: RunningHub, version: int) -> None:
        self._page = page
        self._running = running
        self._version = version
        self._came: asyncio.Queue[Message] = asyncio.Queue()
        self.present = False

    async def connect(self, client_id: str, *, keep: bool = False, will: str = "") -> None:
        """Open the page where the hub is, and connect; with `keep` to a session that stays, `will` is its topic."""
        options: dict[str, Any] = {"clientId": client_id, "clean": not keep, "protocolVersion": self._version}
        if self._version == 5 and keep:
            options["properties"] = {"sessionExpiryInterval": 600}
        if will:
            options["will"] = {"topic": will, "payload": "gone", "qos": 1}
        await self._page.expose_function("came", lambda found: self._came.put_nowait(tuple(found)))
        await self._page.goto(f"{self._running.url}/version")
        await self._page.add_script_tag(path=LIBRARY)
        url = f"{self._running.url.replace('http', 'ws', 1)}/mqtt"
        self.present = await self._page.evaluate(CONNECT, [url, options])

    async def subscribe(self, name: str, qos: int) -> int:
        """Subscribe; return the QoS that was granted."""
        return int(await self._page.evaluate(SUBSCRIBE, [name, qos]))

    async def publish(self, topic: str, payload: str, qos: int, *, retain: bool = False) -> None:
        """Publish, and wait for what acknowledges it."""
        await self._page.evaluate(PUBLISH, [topic, payload, {"qos": qos, "retain": retain}])

    async def next(self) -> Message:
        """Return the next message."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._came.get()

    async def close(self) -> None:
        """Close the tab: the socket ends without a DISCONNECT."""
        await self._page.close()


class Make(Protocol):
    """Opens a tab and connects."""

    async def __call__(self, client_id: str, *, keep: bool = False, will: str = "") -> Tab: ...


@asynccontextmanager
async def tabs(version: int) -> AsyncIterator[tuple[RunningHub, Make]]:
    """Serve a hub for tabs of a browser, each with a client of its own."""
    async with running_hub() as running, chromium() as browser, AsyncExitStack() as ends:

        async def make(client_id: str, *, keep: bool = False, will: str = "") -> Tab:
            page = await new_page(browser, ends)
            tab = Tab(page, running, version)
            await tab.connect(client_id, keep=keep, will=will)
            return tab

        yield running, make


async def new_page(browser: Browser, ends: AsyncExitStack) -> Page:
    """Open a page that is closed at the end."""
    page = await browser.new_page()
    ends.push_async_callback(page.close)
    return page


@VERSIONS
async def test_messages_arrive_with_their_qos(version: int) -> None:
    async with tabs(version) as (running, make):
        reader, writer = await make("reader"), await make("writer")
        for qos in range(3):
            assert await reader.subscribe(f"house/{qos}/+", qos) == qos
            for text in ("on", "é€𝄞"):
                await writer.publish(f"house/{qos}/lamp", text, qos)
            found = [await reader.next() for _ in range(2)]
            assert found == [(f"house/{qos}/lamp", text, qos, False) for text in ("on", "é€𝄞")]
        # What a browser says by MQTT is in the channel for everybody.
        kept = await running.hub.history("house/2/lamp")
        assert [publication.payload.decode() for publication in kept] == ["on", "é€𝄞"]


@VERSIONS
async def test_a_retained_message_waits_for_who_subscribes(version: int) -> None:
    async with tabs(version) as (_, make):
        writer = await make("writer")
        await writer.publish("state/lamp", "on", 1, retain=True)
        reader = await make("reader")
        await reader.subscribe("state/#", 1)
        assert await reader.next() == ("state/lamp", "on", 1, True)


@VERSIONS
async def test_a_will_is_said_when_a_tab_is_closed(version: int) -> None:
    async with tabs(version) as (_, make):
        reader = await make("reader")
        await reader.subscribe("wills/#", 1)
        goner = await make("goner", will="wills/goner")
        await goner.close()
        assert await reader.next() == ("wills/goner", "gone", 1, False)


@VERSIONS
@pytest.mark.parametrize("qos", [1, 2])
async def test_a_session_brings_what_a_closed_tab_missed(qos: int, version: int) -> None:
    async with tabs(version) as (running, make):
        reader = await make("reader", keep=True)
        assert not reader.present
        await reader.subscribe("news/#", qos)
        await reader.close()
        async with asyncio.timeout(PATIENCE_S):
            while not running.hub.mqtt.sessions.away:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        writer = await make("writer")
        for text in ("one", "two"):
            await writer.publish("news/today", text, qos)
        again = await make("reader", keep=True)
        assert again.present
        found = [await again.next() for _ in range(2)]
        assert found == [("news/today", text, qos, False) for text in ("one", "two")]


@VERSIONS
async def test_of_a_shared_subscription_each_message_comes_once(version: int) -> None:
    async with tabs(version) as (_, make):
        members = [await make(f"member{number}") for number in range(2)]
        for member in members:
            await member.subscribe("$share/crew/jobs/#", 1)
        writer = await make("writer")
        for number in range(6):
            await writer.publish("jobs/x", str(number), 1)
        found = [(await member.next())[1] for member in members for _ in range(3)]
        assert sorted(found) == [str(number) for number in range(6)]
