"""Chromium and its visitors: each has a browser profile of its own and may not leave an error behind."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright

ARTIFACTS = Path(__file__).resolve().parent / "artifacts"

# The browser is Debian's: Playwright is never asked to download one.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Start Debian's Chromium; close it at the end."""
    executable = shutil.which("chromium")
    assert executable, "the browser tests need chromium on PATH: `make chromium`"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def untouched_chromium(folder: Path) -> AsyncIterator[Browser]:
    """Start Debian's Chromium as people do: a tab behind another one is hidden. Playwright keeps all in front."""
    executable = shutil.which("chromium")
    assert executable, "the browser tests need chromium on PATH: `make chromium`"
    arguments = (f"--user-data-dir={folder}", "--remote-debugging-port=0", *FLAGS, "about:blank")
    process = await asyncio.create_subprocess_exec(executable, *arguments, stderr=asyncio.subprocess.PIPE)
    assert process.stderr is not None
    talking: asyncio.Task[bytes] | None = None
    try:
        async with async_playwright() as playwright:
            while b"ws://" not in (line := await process.stderr.readline()):
                assert line, "chromium ended before it listened"
            address = line.decode().split()[-1]
            talking = asyncio.create_task(process.stderr.read())
            yield await playwright.chromium.connect_over_cdp(address, no_defaults=True)
    finally:
        process.terminate()
        await process.wait()
        if talking is not None:
            await talking


class Visitor:
    """One person at one page.

    Attributes:
        page: Playwright's.
        faults: JavaScript errors and what the browser complained about, reports of the content security policy
            among them.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.faults: list[str] = []
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", self._heard)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.faults.append(f"{message.text} {message.location.get('url', '')}")

    async def enter_chat(self, hub_url: str, name: str, room: str) -> None:
        """Open the chat and ask to be let into a room."""
        await self.page.goto(f"{hub_url}/apps/chat?room={room}")
        await self.page.fill("input[name=name]", name)
        await self.page.click("button[type=submit]")

    async def say(self, text: str) -> None:
        """Write a line in the chat and send it with Enter."""
        await self.page.fill(".composer textarea", text)
        await self.page.keyboard.press("Enter")

    async def screenshot(self, name: str) -> None:
        """Keep a picture for people to look at."""
        ARTIFACTS.mkdir(exist_ok=True)
        await self.page.screenshot(path=ARTIFACTS / f"{name}.png")


async def visitor(
    browser: Browser, language: str = "en", width: int = 1280, height: int = 800, dark: bool = False
) -> Visitor:
    """Let somebody new in, with a language and a window of their own."""
    context = await browser.new_context(
        locale=language, viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
    )
    return Visitor(await context.new_page())
