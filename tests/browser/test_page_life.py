"""What happens to a page on a phone or in one of many tabs: no network, hidden, frozen, reloaded, closed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, Error, Page, Route, WebSocket, expect

import chappe
from chappe.client.inbox import Leave
from chappe.testing.fault_proxy import FaultProxy
from tests.browser.conftest import ROOT
from tests.browser.visiting import Visitor, chromium, untouched_chromium

SDK = ROOT / "clients" / "js"
PAGE = ROOT / "examples" / "phones_and_tabs.html"

# Writes down in `seen` what the page says about its state.
NOTE_STATES = """
    globalThis.seen = [];
    const state = document.getElementById("state");
    new MutationObserver(() => seen.push(state.textContent)).observe(state, { childList: true });
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]


async def notes_at(context: BrowserContext, hub_url: str) -> None:
    """Serve the example and the SDK beside the hub, also to a browser that is offline."""

    async def page(route: Route) -> None:
        await route.fulfill(path=PAGE)

    async def module(route: Route) -> None:
        await route.fulfill(path=SDK / "dist" / "esm" / route.request.url.rpartition("/")[2])

    await context.route("**/notes?*", page)
    await context.route("**/sdk/*", module)
    # A page that Playwright serves counts as one from the internet.
    await context.grant_permissions(["local-network-access"], origin=hub_url)


class Tab(Visitor):
    """One tab with the notes of somebody.

    Attributes:
        sockets: every WebSocket the page ever opened.
    """

    def __init__(self, page: Page) -> None:
        super().__init__(page)
        self.sockets: list[WebSocket] = []
        page.on("websocket", lambda socket: self.sockets.append(socket))

    async def state_is(self, state: str) -> None:
        """Wait until the page shows a state."""
        await expect(self.page.locator("#state")).to_have_text(state, timeout=20_000)

    async def notes_are(self, *notes: str) -> None:
        """Wait until the page shows exactly these notes."""
        await expect(self.page.locator("li")).to_have_text(list(notes), timeout=20_000)

    async def write(self, note: str) -> None:
        """Write a note and send it."""
        await self.page.fill("input", note)
        await self.page.keyboard.press("Enter")

    async def waiting_is(self, text: str) -> None:
        """Wait until the page shows what is not sent yet."""
        await expect(self.page.locator("#waiting")).to_have_text(text)


async def tab(context: BrowserContext, hub_url: str, name: str) -> Tab:
    """Open the notes of somebody in another tab."""
    opened = Tab(await context.new_page())
    await opened.page.goto(f"{hub_url}/notes?name={name}")
    return opened


async def run(*command: str | Path) -> None:
    """Run a program in the folder of the SDK; fail when it fails."""
    process = await asyncio.create_subprocess_exec(*command, cwd=SDK)
    assert await process.wait() == 0, command


@asynccontextmanager
async def browsing(hub_url: str) -> AsyncIterator[BrowserContext]:
    """Start a browser with a fresh profile, in which the notes can be opened."""
    async with chromium() as browser:
        context = await browser.new_context()
        await notes_at(context, hub_url)
        yield context


async def test_notes_written_offline_survive_a_reload_and_are_sent_once(hub_url: str) -> None:
    async with browsing(hub_url) as context:
        ada = await tab(context, hub_url, "offline")
        await ada.state_is("live")
        await ada.write("one")
        await ada.notes_are("one")
        await context.set_offline(True)
        await ada.state_is("offline, no_network")
        for note in ("two", "three"):
            await ada.write(note)
        await ada.waiting_is("2 not sent yet")
        await ada.screenshot("notes-offline")
        await ada.page.reload()
        await ada.waiting_is("2 not sent yet")
        await context.set_offline(False)
        await ada.state_is("live")
        await ada.notes_are("one", "two", "three")
        await ada.waiting_is("")
        await ada.screenshot("notes-online")


async def test_a_crashed_tab_leaves_its_notes_to_the_next_one(hub_url: str) -> None:
    async with browsing(hub_url) as context:
        ada = await tab(context, hub_url, "crash")
        await ada.state_is("live")
        await context.set_offline(True)
        await ada.state_is("offline, no_network")
        await ada.write("last words")
        await ada.waiting_is("1 not sent yet")
        heir = await tab(context, hub_url, "crash")
        session = await context.new_cdp_session(ada.page)
        async with ada.page.expect_event("crash"):
            crash = asyncio.create_task(session.send("Page.crash"))
        await ada.page.close()
        with contextlib.suppress(Error):
            await crash
        await context.set_offline(False)
        await heir.state_is("live")
        await heir.notes_are("last words")
        async with chappe.connect(f"{hub_url.replace('http', 'ws')}/ws") as client:
            history = await client.history("notes/crash")
        assert [publication.data for publication in history.publications] == ["last words"]


async def test_two_tabs_share_one_connection_and_the_closed_leader_is_replaced_without_loss(hub_url: str) -> None:
    async with browsing(hub_url) as context, chappe.connect(f"{hub_url.replace('http', 'ws')}/ws") as client:
        first = await tab(context, hub_url, "shared")
        await first.state_is("live")
        second, third = [await tab(context, hub_url, "shared") for _ in range(2)]
        for other in (second, third):
            await other.state_is("live")
        assert [len(each.sockets) for each in (first, second, third)] == [1, 0, 0]
        await second.write("from the second")
        for each in (first, second, third):
            await each.notes_are("from the second")
        closing = asyncio.create_task(first.page.close())
        for n in range(20):
            await client.publish("notes/shared", f"note {n}")
        await closing
        everything = ["from the second", *(f"note {n}" for n in range(20))]
        for other in (second, third):
            await other.notes_are(*everything)
            await other.state_is("live")
        assert sorted(len(each.sockets) for each in (second, third)) == [0, 1]
        await third.write("from the third")
        await second.notes_are(*everything, "from the third")
        assert not second.faults + third.faults


async def test_tabs_fall_back_together_and_share_the_stream(hub_url: str) -> None:
    async with FaultProxy("127.0.0.1", int(hub_url.rpartition(":")[2])) as proxy:
        proxy.refuse_upgrade = 403
        through = f"http://127.0.0.1:{proxy.port}"
        async with browsing(through) as context:
            streams: list[str] = []
            context.on("request", lambda request: streams.append(request.url) if "/events" in request.url else None)
            first = await tab(context, through, "walled")
            await first.state_is("live")
            second = await tab(context, through, "walled")
            await second.state_is("live")
            await second.write("over the stream")
            for each in (first, second):
                await each.notes_are("over the stream")
            assert len(streams) == 1
            await first.page.close()
            await second.write("and over its own")
            await second.notes_are("over the stream", "and over its own")
            assert not second.faults


async def test_a_hidden_page_that_is_frozen_lets_go_and_is_back_when_it_is_looked_at(
    hub_url: str, tmp_path: Path
) -> None:
    async with untouched_chromium(tmp_path) as browser:
        context = browser.contexts[0]
        await notes_at(context, hub_url)
        ada = await tab(context, hub_url, "frozen")
        await ada.state_is("live")
        other = await context.new_page()
        await other.bring_to_front()
        await expect_visibility(ada.page, "hidden")
        assert await ada.page.inner_text("#state") == "live"
        await ada.page.evaluate(NOTE_STATES)
        session = await context.new_cdp_session(ada.page)
        async with chappe.connect(f"{hub_url.replace('http', 'ws')}/ws") as client:
            async with client.subscribe("notes/frozen", presence=True) as notes:
                await session.send("Page.setWebLifecycleState", {"state": "frozen"})
                async for item in notes.items():
                    if isinstance(item, Leave) and item.member.name == "frozen":
                        break
            await client.publish("notes/frozen", "while you slept")
        await session.send("Page.setWebLifecycleState", {"state": "active"})
        await ada.page.bring_to_front()
        await ada.state_is("live")
        await ada.notes_are("while you slept")
        seen = await ada.page.evaluate("seen")
        assert seen[0] == "offline, background"
        assert seen[-1] == "live"


async def expect_visibility(page: Page, visibility: str) -> None:
    """Wait until a page is hidden or visible."""
    await page.wait_for_function(f"document.visibilityState === '{visibility}'", polling=50)


async def test_the_suite_of_the_sdk_passes_in_chromium(tmp_path: Path) -> None:
    script = tmp_path / "suite.js"
    await run("node", "tools/page_test.mjs", script)
    async with chromium() as browser:
        page = await browser.new_page()
        await page.add_script_tag(path=script)
        await page.wait_for_function("chappeReport.done", timeout=60_000)
        report = await page.evaluate("chappeReport")
    assert report["failures"] == {}
    assert report["passed"] > 250


@pytest.mark.timeout(180)
async def test_the_packed_package_works_in_every_kind_of_project_and_in_a_page(hub_url: str, tmp_path: Path) -> None:
    await run("npm", "run", "--silent", "pack-check", "--", tmp_path)
    async with browsing(hub_url) as context:
        for script, connect in {"chappe.js": "chappe.connect", "bundled.js": "bundled"}.items():
            page = await context.new_page()
            await page.goto(f"{hub_url}/notes?name=script")
            await page.add_script_tag(path=tmp_path / script)
            state = await page.evaluate(
                f"(async () => {{ const c = {connect}('/ws'); await c.connected(); return c.state; }})()"
            )
            assert state == "live"
