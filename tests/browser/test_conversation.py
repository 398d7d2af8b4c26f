"""The main job: five clients of five kinds in `chat/lobby`, seeing each other join, speak and leave."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import signal
import sys
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, expect

import chappe
from chappe.client.inbox import Join, Leave
from chappe.client.messages import Publication
from chappe.client.subscription import Subscription
from tests.browser.conftest import ROOT
from tests.browser.visiting import chromium, visitor

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]


class Terminal:
    """`chappe connect` (or any program) at a terminal of its own."""

    def __init__(self, process: asyncio.subprocess.Process, master: int) -> None:
        self.process = process
        self._master = master
        self._shown = ""
        self._more = asyncio.Event()
        asyncio.get_running_loop().add_reader(master, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._master, 65_536)
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._master)
        self._shown += data.decode(errors="replace")
        # A terminal is asked where its cursor is before a prompt is drawn.
        if b"\x1b[6n" in data:
            os.write(self._master, b"\x1b[1;1R")
        self._more.set()

    def type(self, line: str) -> None:
        os.write(self._master, line.encode() + b"\r")

    async def shows(self, text: str) -> None:
        """Wait until a text was shown."""
        try:
            async with asyncio.timeout(10):
                while text not in self._shown:
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            raise AssertionError(f"{text!r} was not shown, but: {self._shown[-2_000:]!r}") from None

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)


@contextlib.asynccontextmanager
async def terminal(*command: str) -> AsyncIterator[Terminal]:
    """Run a Python program at a terminal."""
    master, slave = pty.openpty()
    environment = {**os.environ, "LANG": "C.UTF-8", "TERM": "xterm", "COLUMNS": "200", "LINES": "50"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=ROOT, env=environment, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    window = Terminal(process, master)
    try:
        yield window
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        window.close()


async def listen(room: Subscription, heard: list[str]) -> None:
    """Write down who speaks, comes (+) and goes (-)."""
    async for item in room.items():
        if isinstance(item, Publication):
            sender = item.from_.name if item.from_ else ""
            heard.append(f"{sender}: {item.data['content']}")
        elif isinstance(item, Join):
            heard.append(f"+{item.member.name}")
        elif isinstance(item, Leave):
            heard.append(f"-{item.member.name}")


async def has_line(page: Page, text: str) -> None:
    await expect(page.locator(".messages, [role=log]").first).to_contain_text(text, timeout=10_000)


async def test_two_pages_a_terminal_the_python_client_and_a_classic_client_converse(hub_url: str) -> None:
    host = hub_url.removeprefix("http://")
    heard: list[str] = []
    async with contextlib.AsyncExitStack() as stack:
        browser = await stack.enter_async_context(chromium())
        ada, blaise = await visitor(browser), await visitor(browser, "fr")
        await ada.enter_chat(hub_url, "Ada", "lobby")
        await ada.page.wait_for_selector(".composer")
        await blaise.enter_chat(hub_url, "Blaise", "lobby")
        await blaise.page.wait_for_selector(".composer")
        connect = await stack.enter_async_context(
            terminal("-m", "chappe", "connect", f"ws://{host}/ws", "--name", "Claude")
        )
        python = await stack.enter_async_context(chappe.connect(f"ws://{host}/ws", name="Dorothy"))
        room = await stack.enter_async_context(python.subscribe("chat/lobby", presence=True))

        listening = asyncio.create_task(listen(room, heard))
        classic = await stack.enter_async_context(terminal("examples/classic_client.py", "Emile", f"ws://{host}/"))
        await classic.shows("join Emile")
        people = ("Ada", "Blaise", "Claude", "Dorothy", "Emile")
        for page in (ada.page, blaise.page):
            for name in people:
                await expect(page.locator(".people")).to_contain_text(name, timeout=10_000)
        await connect.shows("Emile")

        await ada.say("from a page")
        await blaise.say("d'une page française")
        connect.type("from a terminal")
        said = {"type": "message", "content": "from Python", "username": "Dorothy"}
        await python.publish("chat/lobby", said)
        classic.type("from thirty lines")
        lines = ("from a page", "d'une page française", "from a terminal", "from Python", "from thirty lines")
        for line in lines:
            for page in (ada.page, blaise.page):
                await has_line(page, line)
            await connect.shows(line)
            await classic.shows(line)
        await ada.screenshot("conversation-ada")
        await blaise.screenshot("conversation-blaise-fr")

        # A name in use, in other letters, is refused and the connection closed.
        refused = await stack.enter_async_context(terminal("examples/classic_client.py", "EMILE", f"ws://{host}/"))
        await refused.shows("name in use")
        async with asyncio.timeout(10):
            await refused.process.wait()

        # Who is killed leaves the list of everybody.
        classic.process.send_signal(signal.SIGKILL)
        for page in (ada.page, blaise.page):
            await expect(page.locator(".people")).not_to_contain_text("Emile", timeout=10_000)
        connect.type("/quit")
        async with asyncio.timeout(10):
            assert await connect.process.wait() == 0
        for page in (ada.page, blaise.page):
            await expect(page.locator(".people")).not_to_contain_text("Claude", timeout=10_000)
        async with asyncio.timeout(10):
            while "-Claude" not in heard:  # noqa: ASYNC110 - the list is what is looked at
                await asyncio.sleep(0.01)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        spoken = [f"{name}: {line}" for name, line in zip(people, lines, strict=True)]
        assert sorted(entry for entry in heard if ": " in entry) == spoken
        assert heard.count("+Emile") == 1
        assert [entry for entry in heard if entry[0] == "-"] == ["-Emile", "-Claude"]
        assert ada.faults == []
        assert blaise.faults == []


async def test_impersonation_is_dropped_and_logged(hub_url: str) -> None:
    host = hub_url.removeprefix("http://")
    async with (
        chappe.connect(f"ws://{host}/ws", name="Grace") as honest,
        chappe.connect(f"ws://{host}/ws", name="Mallory") as liar,
        honest.subscribe("chat/truth") as room,
    ):
        with pytest.raises(chappe.ChappeError) as refused:
            await liar.publish("chat/truth", {"type": "message", "content": "I am Grace", "username": "Grace"})
        assert refused.value.code == 103
        await liar.publish("chat/truth", {"type": "message", "content": "I am Mallory", "username": "Mallory"})
        publication = await anext(room)
        assert publication.data["content"] == "I am Mallory"
