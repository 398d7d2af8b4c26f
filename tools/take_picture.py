"""Take the picture of the README: a conversation in the console's chat, of two browsers and a terminal's stand-in.

`python tools/take_picture.py` writes docs/images/chat.png. It runs a demo hub and Debian's Chromium by itself.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from playwright.async_api import Browser, Page  # noqa: E402

import chappe  # noqa: E402
from chappe.client import Client  # noqa: E402
from chappe.testing import running_hub  # noqa: E402
from tests.browser.visiting import chromium  # noqa: E402

PICTURE = ROOT / "docs/images/chat.png"
MAX_BYTES = 150_000
ROOM = "chat/lobby"
TALK = (
    ("Ada", "Hello! The new release is on staging."),
    ("Blaise", "I cut the network of the kitchen display three times, nothing was missed."),
    ("Ada", "And when the hub itself restarted?"),
    ("Blaise", "Then it says so: recovered is false, and the display loads its state again."),
    ("Zoe", "I am here from a terminal: chappe connect --name Zoe"),
    ("Ada", "Bonjour Zoe!"),
)


async def enter(browser: Browser, url: str, name: str) -> Page:
    """Open the chat and enter the room under a name."""
    context = await browser.new_context(
        viewport={"width": 1280, "height": 720}, color_scheme="light", locale="en-GB", reduced_motion="reduce"
    )
    page = await context.new_page()
    await page.goto(f"{url}/apps/chat?room=lobby")
    await page.fill("input[name=name]", name)
    await page.click("button[type=submit]")
    await page.wait_for_selector(".composer textarea")
    return page


async def converse(pages: dict[str, Page], terminal: Client) -> None:
    """Say everything, each line when the one before is there."""
    for who, text in TALK:
        if who in pages:
            await pages[who].fill(".composer textarea", text)
            await pages[who].keyboard.press("Enter")
        else:
            await terminal.publish(ROOM, {"type": "message", "content": text, "username": who})
        for page in pages.values():
            await page.get_by_text(text, exact=True).wait_for()


async def main() -> int:
    """Take it."""
    async with running_hub() as hub, chromium() as browser:
        pages = {name: await enter(browser, hub.url, name) for name in ("Ada", "Blaise")}
        async with chappe.connect(hub.ws_url, name="Zoe") as terminal, terminal.subscribe(ROOM):
            await converse(pages, terminal)
            PICTURE.parent.mkdir(exist_ok=True)
            await pages["Ada"].screenshot(path=PICTURE, animations="disabled")
    size = PICTURE.stat().st_size
    print(f"wrote {PICTURE.relative_to(ROOT)}, {size:,} bytes")
    if size > MAX_BYTES:
        print(f"expected at most {MAX_BYTES:,} bytes: make the conversation shorter")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
