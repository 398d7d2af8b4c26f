"""A client of `/poll` and `/send` in the fewest words: what a page without WebSocket would write."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx

from tests.transports.sse_harness import Served


class PollClient:
    """One session by requests.

    Attributes:
        session, cursor: as told; empty before `begin`.
        http: the HTTP client, for requests that are not usual.
    """

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.session = ""
        self.cursor = ""
        self._next = 0

    async def begin(self, **parameters: Any) -> PollClient:
        """Begin a session."""
        answer = await self.http.get("/poll", params=parameters)
        assert answer.status_code == 200, answer.text
        told = answer.json()
        self.session, self.cursor = told["session"], told["cursor"]
        assert told["messages"] == []
        return self

    async def ask(self, cursor: str | None = None, **parameters: Any) -> httpx.Response:
        """Poll once, with the last cursor or another, and acknowledge nothing yet."""
        asked = {"session": self.session, "cursor": self.cursor if cursor is None else cursor, **parameters}
        return await self.http.get("/poll", params=asked)

    async def poll(self, **parameters: Any) -> list[Any]:
        """Poll once; return the messages, which the next poll acknowledges."""
        answer = await self.ask(**parameters)
        if answer.status_code == 204:
            assert answer.content == b""
            return []
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert told["session"] == self.session
        self.cursor = told["cursor"]
        return list(told["messages"])

    async def until(self, count: int) -> list[Any]:
        """Poll until so many messages came."""
        messages: list[Any] = []
        async with asyncio.timeout(10):
            while len(messages) < count:
                messages += await self.poll()
        return messages

    async def post(self, body: Any, **parameters: Any) -> httpx.Response:
        """Send one frame."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.http.post("/send", params={"session": self.session, **parameters}, content=content)

    async def send(self, *commands: dict[str, Any], **parameters: Any) -> list[Any]:
        """Send commands; return their answers."""
        answer = await self.post([{"id": number, **each} for number, each in enumerate(commands, 1)], **parameters)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["messages"])

    async def subscribe(self, *channels: str) -> None:
        """Subscribe to channels."""
        answers = await self.send(*({"type": "subscribe", "channel": channel} for channel in channels))
        assert all(answer["type"] == "reply" for answer in answers), answers


def client(server: Served, **options: Any) -> httpx.AsyncClient:
    """Return an HTTP client of a hub; close it."""
    return httpx.AsyncClient(base_url=server.url, timeout=90, trust_env=False, **options)


def data(messages: list[Any]) -> list[Any]:
    """Return what the publications among messages say."""
    return [message["data"] for message in messages if message["type"] == "publication"]


def problem(answer: httpx.Response) -> tuple[int, int]:
    """Return the status and the code with which a request was refused."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    return answer.status_code, answer.json()["code"]
