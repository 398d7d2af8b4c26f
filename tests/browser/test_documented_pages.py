"""The pages that the docs tell readers to save, served and opened as the docs say."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from chappe.testing.fault_proxy import FaultProxy
from tests.browser.visiting import chromium
from tests.docs.test_examples import EXAMPLES, copied, line_with, serving, started

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


@contextlib.asynccontextmanager
async def site(folder: Path) -> AsyncIterator[str]:
    """Serve a folder as `python -m http.server` does; yield its origin."""
    async with started(sys.executable, "-m", "http.server", "0", "--bind", "127.0.0.1", cwd=folder) as server:
        assert server.stdout is not None
        origin = (await line_with(server.stdout, "http://")).split("(")[1].split("/)")[0]
        reading = asyncio.create_task(server.stdout.read())
        yield origin
        server.terminate()
        await reading


@contextlib.asynccontextmanager
async def hub_for(origin: str, folder: Path, *arguments: str) -> AsyncIterator[str]:
    """Run a hub that lets pages of an origin connect, with the configuration the folder has."""
    config = folder / "chappe.toml"
    config.write_text(config.read_text(encoding="utf-8").replace("http://127.0.0.1:8000", origin), "utf-8")
    async with serving(*arguments, cwd=folder) as where:
        yield where


async def test_the_page_of_the_readme_shows_what_is_published(tmp_path: Path) -> None:
    (tmp_path / "chappe.toml").write_text((EXAMPLES / "tutorial" / "dev.toml").read_text(encoding="utf-8"), "utf-8")
    async with site(tmp_path) as origin, hub_for(origin, tmp_path, "--dev") as where, chromium() as browser:
        page = await browser.new_page()
        await page.goto(f"{origin}/{copied('quickstart/hello.html', where, tmp_path).name}")
        shell = copied("quickstart/hello.sh", where, tmp_path)
        async with started("bash", str(shell), cwd=tmp_path) as curl:
            await curl.wait()
        await page.get_by_text('{"hello":"curl"}').wait_for()


async def test_the_chat_of_the_tutorial_survives_a_reload_and_tells_who_is_there(tmp_path: Path) -> None:
    (tmp_path / "chappe.toml").write_text((EXAMPLES / "tutorial" / "dev.toml").read_text(encoding="utf-8"), "utf-8")
    async with site(tmp_path) as origin, hub_for(origin, tmp_path, "--dev") as where, chromium() as browser:
        for name in ("first.html", "chat.html"):
            copied(f"tutorial/{name}", where, tmp_path)
        first, blaise, zoe = [await browser.new_page() for _ in range(3)]
        await first.goto(f"{origin}/first.html")
        await blaise.goto(f"{origin}/chat.html?name=Blaise")
        await zoe.goto(f"{origin}/chat.html?name=Zoe")
        await blaise.get_by_text("Blaise, Zoe").wait_for()
        await first.fill("#text", "bonjour")
        await first.keyboard.press("Enter")
        await blaise.get_by_text("somebody: bonjour").wait_for()
        await zoe.fill("#text", "hello")
        await zoe.keyboard.press("Enter")
        await first.get_by_text("Zoe: hello").wait_for()
        await blaise.reload()
        await blaise.get_by_text("Zoe: hello").wait_for()
        other = await browser.new_page()
        await other.goto(f"{origin}/chat.html?name=zoe")
        await other.get_by_text("in use").wait_for()


async def test_the_rules_of_the_tutorial_reach_the_page(tmp_path: Path) -> None:
    for name in ("chappe.toml", "hub.py"):
        (tmp_path / name).write_text((EXAMPLES / "tutorial" / name).read_text(encoding="utf-8"), "utf-8")
    async with site(tmp_path) as origin, hub_for(origin, tmp_path, "hub:hub") as where, chromium() as browser:
        copied("tutorial/chat.html", where, tmp_path)
        page = await browser.new_page()
        await page.goto(f"{origin}/chat.html")
        await page.get_by_text("live", exact=True).wait_for()
        await page.fill("#text", "who am I")
        await page.keyboard.press("Enter")
        await page.get_by_text("choose a name first").wait_for()
        assert await page.input_value("#text") == "who am I"


async def test_a_page_of_another_origin_works_where_no_websocket_opens(tmp_path: Path) -> None:
    (tmp_path / "chappe.toml").write_text((EXAMPLES / "tutorial" / "dev.toml").read_text(encoding="utf-8"), "utf-8")
    async with site(tmp_path) as origin, hub_for(origin, tmp_path, "--dev") as where, chromium() as browser:
        host, port = where.split(":")
        async with FaultProxy(host, int(port)) as proxy:
            proxy.refuse_upgrade = 403
            page = await browser.new_page()
            await page.goto(f"{origin}/{copied('transports.html', f'{host}:{proxy.port}', tmp_path).name}")
            await page.get_by_text("carried by sse").wait_for()
            await page.get_by_text("three").wait_for()
            assert await page.locator("li").all_inner_texts() == ["one", "two", "three"]
            proxy.refuse_upgrade = None
            await page.evaluate("window.dispatchEvent(new Event('online')); undefined")
            await page.get_by_text("carried by websocket").wait_for()


async def test_a_page_reads_events_from_another_origin_and_misses_nothing_when_it_is_cut(tmp_path: Path) -> None:
    (tmp_path / "chappe.toml").write_text((EXAMPLES / "tutorial" / "dev.toml").read_text(encoding="utf-8"), "utf-8")
    async with (
        site(tmp_path) as origin,
        hub_for(origin, tmp_path, "--dev") as where,
        chromium() as browser,
        httpx.AsyncClient(base_url=f"http://{where}", trust_env=False) as backend,
    ):

        async def publish(channel: str, data: object) -> None:
            (await backend.post("/api/publish", json={"channel": channel, "data": data})).raise_for_status()

        await publish("news", "before")
        page = await browser.new_page()
        await page.goto(f"{origin}/{copied('events.html', where, tmp_path).name}")
        await page.get_by_text("from here on").wait_for()
        await page.get_by_text('news: "before"').wait_for()
        await publish("weather", {"text": "l'été\n\r\n"})
        await page.get_by_text('weather: {"text":"l\'été\\n\\r\\n"}').wait_for()
        (connection,) = (await backend.get("/api/connections")).json()["connections"]
        (await backend.post("/api/disconnect", json={"session": connection["session"]})).raise_for_status()
        await publish("news", "meanwhile")
        await page.get_by_text("back, nothing was missed").wait_for(timeout=15_000)
        await page.get_by_text('news: "meanwhile"').wait_for()
        assert await page.locator("li").count() == 3


async def test_an_event_source_of_the_browser_that_is_cut_misses_and_doubles_nothing(tmp_path: Path) -> None:
    (tmp_path / "chappe.toml").write_text((EXAMPLES / "tutorial" / "dev.toml").read_text(encoding="utf-8"), "utf-8")
    async with (
        site(tmp_path) as origin,
        hub_for(origin, tmp_path, "--dev") as where,
        FaultProxy("127.0.0.1", int(where.rpartition(":")[2])) as proxy,
        chromium() as browser,
        httpx.AsyncClient(base_url=f"http://{where}", trust_env=False) as backend,
    ):
        page = await browser.new_page()
        through = f"127.0.0.1:{proxy.port}"
        await page.goto(f"{origin}/{copied('events.html', through, tmp_path).name}")
        await page.get_by_text("from here on").wait_for()
        for number in range(4):
            if number % 2:
                proxy.cut() if number == 1 else proxy.reset()
            published = await backend.post("/api/publish", json={"channel": "news", "data": f"number {number}"})
            published.raise_for_status()
            await page.get_by_text(f'news: "number {number}"').wait_for(timeout=15_000)
        assert await page.locator("li").count() == 4
