"""The JavaScript SDK against a hub, over each transport, and in a page behind a proxy that knows no WebSocket."""

from __future__ import annotations

import asyncio
import os
import shutil

import pytest
from playwright.async_api import Page, expect

from chappe.testing.fault_proxy import FaultProxy
from chappe.testing.running import running_hub
from tests.browser.conftest import ROOT
from tests.browser.visiting import chromium

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

PAGE = """<!doctype html><meta charset="utf-8"><p id="state"></p><p id="transport"></p><ul></ul>
<script src="/chappe.js"></script>
<script>
const show = (id, text) => document.getElementById(id).textContent = text;
const client = chappe.connect("/ws", { reconnectIntervalMs: 50 });
client.on("state", (state) => show("state", state));
client.on("transport", (name) => show("transport", name));
const news = client.subscribe("news");
news.on("publication", ({ data }) => document.querySelector("ul").append(Object.assign(
  document.createElement("li"), { textContent: data })));
</script>"""


@pytest.mark.parametrize("transport", ["websocket", "sse", "polling"])
async def test_the_whole_suite_passes_against_a_hub(transport: str) -> None:
    node = shutil.which("node")
    assert node, "the SDK is tested with Node"
    async with running_hub() as running:
        environment = {**os.environ, "CHAPPE_URL": running.ws_url, "CHAPPE_TRANSPORT": transport}
        process = await asyncio.create_subprocess_exec(
            node,
            "tools/test.mjs",
            cwd=ROOT / "clients" / "js",
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


async def visit(page: Page, port: int) -> None:
    """Open the page where the proxy is: it must come from there, or the browser lets it connect nowhere."""
    await page.goto(f"http://127.0.0.1:{port}/version")
    await page.set_content(PAGE)


async def test_a_page_behind_a_proxy_without_websockets_works_and_goes_back_up_without_a_loss() -> None:
    async with (
        running_hub() as running,
        FaultProxy("127.0.0.1", running.port) as proxy,
        chromium() as browser,
    ):
        proxy.refuse_upgrade = 403
        page = await browser.new_page()
        await visit(page, proxy.port)
        await expect(page.locator("#transport")).to_have_text("sse")
        await expect(page.locator("#state")).to_have_text("live")
        await page.evaluate("client.publish('news', 'over a stream')")
        await expect(page.locator("li")).to_have_text(["over a stream"])
        session = await page.evaluate("client.session")

        # A reload would not try in vain again.
        assert (await page.evaluate("Object.values(localStorage)[0]"))[0] == "1"

        proxy.refuse_upgrade = None
        await page.evaluate("window.dispatchEvent(new Event('online')); undefined")
        await expect(page.locator("#transport")).to_have_text("websocket")
        assert await page.evaluate("client.session") == session
        await page.evaluate("client.publish('news', 'over a socket')")
        await expect(page.locator("li")).to_have_text(["over a stream", "over a socket"])
        assert await page.evaluate("[client.transport, client.state, news.recovered]") == ["websocket", "live", True]
        assert (await page.evaluate("Object.values(localStorage)[0]"))[0] == "0"


async def test_a_page_behind_a_proxy_that_holds_streams_back_polls() -> None:
    async with (
        running_hub() as running,
        FaultProxy("127.0.0.1", running.port) as proxy,
        chromium() as browser,
    ):
        proxy.refuse_upgrade = 502
        proxy.buffering = True
        page = await browser.new_page()
        await visit(page, proxy.port)
        await expect(page.locator("#transport")).to_have_text("polling", timeout=30_000)
        await page.evaluate("client.publish('news', 'by poll')")
        await expect(page.locator("li")).to_have_text(["by poll"])
