"""A dialogue holds one connection after the other and shows everything that happens."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chappe.cli.connect.dialogue import Dialogue
from chappe.cli.connect.happenings import Happening
from chappe.cli.connect.talk import ChannelTalk, RawTalk, Talk
from chappe.client.options import Settings


class Recorder:
    """A view that keeps what it was shown."""

    pretty = False

    def __init__(self) -> None:
        self.shown: list[Happening] = []
        self._changed = asyncio.Event()

    def show(self, happening: Happening) -> None:
        self.shown.append(happening)
        self._changed.set()

    async def wait_for(self, kind: str, text: str = "") -> Happening:
        """Return the next happening of a kind with a text in it, and forget what came before it."""
        while True:
            for index, happening in enumerate(self.shown):
                if happening.kind == kind and text in happening.text + happening.reason:
                    del self.shown[: index + 1]
                    return happening
            self._changed.clear()
            await self._changed.wait()


@asynccontextmanager
async def talking(url: str, talk: Talk | None = None, *, attempts: int = 0) -> AsyncIterator[tuple[Dialogue, Recorder]]:
    view = Recorder()
    settings = Settings(url=url, reconnect_interval_ms=1)
    dialogue = Dialogue(settings, talk or RawTalk(), view, attempts=attempts)
    assert await dialogue.open()
    try:
        yield dialogue, view
    finally:
        await dialogue.close()


async def test_what_is_typed_is_sent_and_what_comes_is_shown(echo_url: str) -> None:
    async with talking(echo_url) as (dialogue, view):
        assert await dialogue.typed("hello")
        assert await dialogue.typed("   ")
        assert await dialogue.typed("/binary 00 ff")
        assert (await view.wait_for("received")).text == "hello"
        assert (await view.wait_for("received")).data == b"\x00\xff"
        assert (dialogue.status.phase, dialogue.status.sent, dialogue.status.received) == ("online", 2, 2)
    assert dialogue.failure is None
    assert (await view.wait_for("disconnected")).code == 1000


async def test_a_file_goes_as_one_binary_frame(echo_url: str, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"\x00content")
    async with talking(echo_url) as (dialogue, view):
        await dialogue.typed(f"/file {tmp_path / 'a.bin'}")
        assert (await view.wait_for("received")).data == b"\x00content"
        await dialogue.typed("/file /nowhere")
        await view.wait_for("error", "/nowhere cannot be read")


async def test_a_file_that_fits_in_no_frame_is_not_sent(
    echo_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chappe.cli.connect.dialogue.FILE_BYTES", 3)
    (tmp_path / "a").write_bytes(b"1234")
    async with talking(echo_url) as (dialogue, view):
        await dialogue.typed(f"/file {tmp_path / 'a'}")
        await view.wait_for("error", "at most 3 bytes")
        assert dialogue.status.sent == 0


async def test_ping_tells_the_latency(echo_url: str) -> None:
    async with talking(echo_url) as (dialogue, view):
        await dialogue.typed("/ping")
        pong = await view.wait_for("pong")
        assert pong.latency_ms is not None
        assert dialogue.status.latency_ms is not None


async def test_help_and_mistakes_are_shown_and_quit_leaves(echo_url: str) -> None:
    async with talking(echo_url) as (dialogue, view):
        await dialogue.typed("/help")
        await view.wait_for("notice", "/quit")
        await dialogue.typed("/frob")
        await view.wait_for("error", "no command /frob")
        await dialogue.typed("/pretty")
        assert view.pretty
        await dialogue.typed("/open")
        await view.wait_for("error", "a connection already")
        assert not await dialogue.typed("/quit")


async def test_after_a_close_nothing_is_sent_until_it_is_opened_again(echo_url: str) -> None:
    async with talking(echo_url) as (dialogue, view):
        await dialogue.typed("/close 4001 see you")
        assert (await view.wait_for("disconnected", "see you")).code == 4001
        await dialogue.typed("lost?")
        await view.wait_for("error", "offline, not sent")
        await dialogue.typed("/ping")
        await view.wait_for("error", "offline")
        await dialogue.typed("/open")
        await view.wait_for("connected")
        await dialogue.typed("back")
        assert (await view.wait_for("received")).text == "back"


async def test_a_final_close_of_the_server_is_a_failure_with_its_reason(echo_url: str) -> None:
    async with talking(echo_url, attempts=5) as (dialogue, view):
        await dialogue.typed("bye")
        gone = await view.wait_for("disconnected")
        assert (gone.code, gone.reason) == (4500, "go away")
        await dialogue.over.wait()
        assert dialogue.failure is not None


async def test_a_normal_close_of_the_server_is_no_failure_and_the_end(echo_url: str) -> None:
    async with talking(echo_url, attempts=5) as (dialogue, view):
        await dialogue.typed("done")
        assert (await view.wait_for("disconnected")).reason == "done"
        await dialogue.over.wait()
        assert dialogue.failure is None


async def test_a_cut_is_followed_by_visible_reconnection(echo_url: str) -> None:
    async with talking(echo_url, attempts=5) as (dialogue, view):
        await dialogue.typed("cut")
        assert (await view.wait_for("disconnected")).code == 1006
        attempt = await view.wait_for("reconnecting")
        assert (attempt.n, attempt.of) == (1, 5)
        await view.wait_for("connected")
        assert dialogue.failure is None or dialogue.status.phase == "online"
        await dialogue.say("after", patient=True)
        assert (await view.wait_for("received")).text == "after"


async def test_without_attempts_a_cut_is_the_end(echo_url: str) -> None:
    async with talking(echo_url, attempts=0) as (dialogue, _):
        await dialogue.typed("cut")
        await dialogue.over.wait()
        assert dialogue.failure is not None


async def test_where_nobody_answers_opening_fails_and_says_why(free_port: int) -> None:
    view = Recorder()
    dialogue = Dialogue(Settings(url=f"ws://127.0.0.1:{free_port}/"), RawTalk(), view, attempts=3)
    assert not await dialogue.open()
    await view.wait_for("error", "cannot connect")
    assert dialogue.failure is not None
    await dialogue.close()


async def test_two_people_chat_in_a_channel_of_a_hub(hub_url: str) -> None:
    url = hub_url.replace("http", "ws") + "/ws"
    ada = ChannelTalk("chat/dialogue", "Ada")
    settings = Settings(url=url, subprotocols=("chappe.v1",))
    views = Recorder(), Recorder()
    first, second = (
        Dialogue(settings, talk, view, attempts=0)
        for talk, view in zip((ada, ChannelTalk("chat/dialogue", "Blaise")), views, strict=True)
    )
    assert await first.open()
    await views[0].wait_for("present")
    assert await second.open()
    assert (await views[0].wait_for("joined")).who in ("Ada", "Blaise")
    assert (await views[1].wait_for("present")).names == ("Ada", "Blaise")
    await second.typed("salut")
    said = await views[0].wait_for("said")
    assert (said.who, said.text) == ("Blaise", "salut")
    await second.close()
    assert (await views[0].wait_for("left")).who == "Blaise"
    await first.close()


async def test_silence_is_counted_from_the_last_frame(echo_url: str) -> None:
    async with talking(echo_url) as (dialogue, view):
        await dialogue.typed("x")
        await dialogue.quiet(0.05)
        assert [happening.kind for happening in view.shown][-1] == "received"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await dialogue.quiet(float("inf"))
