"""A service decides in namespaces that say `hook`: equal questions are one, and whatever is no answer is no."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import websockets

from chappe.app import Hub
from chappe.auth.authorize_webhook import AuthorizeWebhook, Question
from chappe.config import load
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.serving import Server

Reply = Callable[[dict[str, Any]], bytes]


def answer(status: str, body: bytes = b"", *fields: str) -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *fields, "", ""])
    return head.encode() + body


def allow(word: bool) -> bytes:
    return answer("200 OK", json.dumps({"allow": word}).encode())


class Service:
    """An HTTP service of an application."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.reply: Reply = lambda question: allow(question["user"] == "ada" or "open" in question["channel"])
        self.silent = False
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Who asks may give up before it has said what.
        with contextlib.suppress(asyncio.IncompleteReadError):
            await self._answer(reader, writer)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        question = json.loads(await reader.readexactly(length))
        self.asked.append(question)
        if self.silent:
            await reader.read()
        else:
            writer.write(self.reply(question))
            await writer.drain()


@asynccontextmanager
async def service() -> AsyncIterator[Service]:
    found = Service()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/may"
    try:
        yield found
    finally:
        server.close()


@asynccontextmanager
async def asking(found: Service, cache_s: float = 60.0, timeout_s: float = 5.0) -> AsyncIterator[AuthorizeWebhook]:
    webhook = AuthorizeWebhook(found.url, timeout_s, cache_s)
    try:
        yield webhook
    finally:
        await webhook.stop()


def question(user: str | None = "ada", channel: str = "jobs/a", action: str = "publish") -> Question:
    return Question(action, channel, user, None if user else "9f")


async def code_of(webhook: AuthorizeWebhook, asked: Question) -> int:
    try:
        await webhook.check(asked)
    except ChappeError as error:
        return int(error.code)
    return 0


async def test_its_word_is_kept_for_equal_questions_only() -> None:
    async with service() as found, asking(found) as webhook:
        for _ in range(3):
            assert await code_of(webhook, question()) == 0
            assert await code_of(webhook, question("eve")) == Code.PERMISSION_DENIED
        assert len(found.asked) == 2
        assert await code_of(webhook, question("a", "jobs/a")) == Code.PERMISSION_DENIED
        for other in (question(channel="jobs/b"), question(action="subscribe"), question(None)):
            await code_of(webhook, other)
        assert len(found.asked) == 6
        assert found.asked[-1] == {"action": "publish", "channel": "jobs/a", "user": None, "session": "9f"}


async def test_without_a_cache_it_is_asked_each_time() -> None:
    async with service() as found, asking(found, cache_s=0) as webhook:
        assert await code_of(webhook, question()) == 0
        found.reply = lambda _: allow(False)
        assert await code_of(webhook, question()) == Code.PERMISSION_DENIED


async def test_a_thousand_who_ask_the_same_at_once_cost_one_question() -> None:
    async with service() as found, asking(found) as webhook:
        codes = await asyncio.gather(*(code_of(webhook, question()) for _ in range(1_000)))
        assert set(codes) == {0}
        assert len(found.asked) == webhook.asked == 1


@pytest.mark.parametrize(
    "reply",
    [
        answer("500 Internal Server Error", b'{"allow": true}'),
        answer("302 Found", b"", "Location: http://169.254.169.254/"),
        answer("204 No Content"),
        answer("200 OK", b'{"allow": "yes"}'),
        answer("200 OK", b'{"allow": 1}'),
        answer("200 OK", b"true"),
        answer("200 OK", b"{}"),
        answer("200 OK", b'{"allow": true}' + b" " * 5_000),
        answer("200 OK", b'{"allow": true}\xff'),
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{",
        b"no HTTP at all\r\n\r\n",
        b"",
    ],
)
async def test_what_is_no_answer_is_no(reply: bytes) -> None:
    async with service() as found, asking(found) as webhook:
        found.reply = lambda _: reply
        assert await code_of(webhook, question()) == Code.NOT_AVAILABLE
        assert webhook.failures == 1
        # It is not remembered: when the service is well again, so is the answer.
        found.reply = lambda _: allow(True)
        assert await code_of(webhook, question()) == 0


async def test_403_is_a_plain_no() -> None:
    async with service() as found, asking(found) as webhook:
        found.reply = lambda _: answer("403 Forbidden")
        assert await code_of(webhook, question()) == Code.PERMISSION_DENIED
        assert webhook.failures == 0


async def test_a_silent_service_and_none_at_all_are_no() -> None:
    async with service() as found, asking(found, timeout_s=0.05) as webhook:
        found.silent = True
        assert await code_of(webhook, question()) == Code.NOT_AVAILABLE
    webhook = AuthorizeWebhook("http://127.0.0.1:1/", 1.0, 1.0)
    assert await code_of(webhook, question()) == Code.NOT_AVAILABLE
    await webhook.stop()


@pytest.mark.slow
async def test_a_hub_asks_for_namespaces_that_say_hook_and_for_no_others() -> None:
    async with service() as found:
        flags: dict[str, Any] = {"auth.anonymous": True, "auth.authorize_url": found.url}
        for name, access in (("jobs", "hook"), ("chat", "anonymous"), ("default", "hook")):
            flags |= {f"namespaces.{name}.{right}": access for right in ("subscribe", "publish")}
        server = Server(Hub(settings=load(os.devnull, {}, flags).settings), port=0)
        await server.start()
        async with websockets.connect(f"ws://127.0.0.1:{server.port}/ws", proxy=None) as client:

            async def ask(kind: str, channel: str, **more: Any) -> int:
                await client.send(json.dumps({"type": kind, "id": 1, "channel": channel, **more}))
                while True:
                    told = json.loads(await asyncio.wait_for(client.recv(), 5))
                    if told.get("id") == 1:
                        return int(told.get("code", 0))

            assert await ask("subscribe", "chat/a") == await ask("publish", "chat/a", data=1) == 0
            assert found.asked == []
            assert await ask("subscribe", "jobs/open") == await ask("publish", "jobs/open", data=1) == 0
            assert await ask("subscribe", "jobs/shut") == await ask("publish", "jobs/shut", data=1) == 103
            assert await ask("subscribe", "elsewhere") == 103
            assert await ask("history", "jobs/shut") == 103
            found.reply = lambda _: b""
            assert await ask("publish", "jobs/other", data=1) == Code.NOT_AVAILABLE
            assert await ask("publish", "chat/a", data=2) == 0
        await server.stop()
    channels = [each["channel"] for each in found.asked]
    assert channels == ["jobs/open"] * 2 + ["jobs/shut"] * 2 + ["elsewhere", "jobs/other"]
    assert all(each["user"] is None and each["session"] for each in found.asked)
