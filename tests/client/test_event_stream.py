"""A connection that a stream of events carries."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from chappe.client import event_stream
from chappe.client.errors import ConnectionLost
from chappe.client.event_stream import StreamConnection, dial
from chappe.client.options import Settings
from tests.client.scripted_http import ScriptedHttp, ok, scripted_http, status

EVENTS = "text/event-stream"
NAMED = b'event: subscribed\ndata: {"session":"s1","channels":{}}\n\n'


@asynccontextmanager
async def closing(connection: StreamConnection) -> AsyncIterator[StreamConnection]:
    try:
        yield connection
    finally:
        await connection.close()


def settings(http: ScriptedHttp) -> Settings:
    return Settings(url=http.url, reconnect_interval_ms=1, max_message_bytes=10_000)


async def test_events_are_messages_and_close_has_the_code() -> None:
    async with scripted_http() as http:
        http.answers["/events"] = [
            ok(
                b": heartbeat\n\n" + NAMED + b'data: {"type":"publication"}\n\n'
                b'event: reply\ndata: {"type":"reply"}\n\nevent: close\ndata: {"code":3503,"reason":"go away"}\n\n',
                EVENTS,
            )
        ]
        connection = await dial(settings(http), 5)
        assert [await connection.receive() for _ in range(2)] == ['{"type":"publication"}', '{"type":"reply"}']
        for _ in range(2):
            with pytest.raises(ConnectionLost, match="go away") as caught:
                await connection.receive()
            assert (caught.value.close_code, caught.value.final) == (3503, True)
        await connection.close()


async def test_one_request_begins_the_session_and_reads_it() -> None:
    async with scripted_http() as http:
        http.answers = {"/events": [ok(NAMED, EVENTS)], "/send": [ok(b'{"messages":[]}')]}
        http.holding.add("/events")
        connection = await dial(replace(settings(http), url=f"{http.url}?lang=fr"), 5)
        await connection.send("[1]")
        await connection.close()
        assert [target for target, _ in http.requests] == [
            "GET /events?lang=fr&session=",
            "POST /send?session=s1&seq=0&replies=push",
            "DELETE /poll?session=s1",
        ]


async def test_a_stream_whose_first_event_is_held_back_is_left_in_time() -> None:
    async with scripted_http() as http:
        http.answers["/events"] = [ok(b"", EVENTS)]
        http.holding.add("/events")
        with pytest.raises(ConnectionLost, match="does not answer within") as caught:
            await dial(settings(http), 0.1)
        assert caught.value.other_way


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (status(403), "HTTP 403"),
        (status(404), "no events"),
        (ok(b'event: close\ndata: {"code":3001,"reason":"going away"}\n\n', EVENTS), "going away"),
        (ok(b"event: subscribed\ndata: {}\n\n", EVENTS), "does not name its session"),
        (ok(b"data: {}\n\n", EVENTS), "ended"),
        (status(200, b"hello"), "no events"),
        (ok(b"{}"), "application/json, no events"),
    ],
)
async def test_a_stream_that_does_not_open_says_why(answer: bytes, told: str) -> None:
    async with scripted_http() as http:
        http.answers["/events"] = [answer]
        with pytest.raises(ConnectionLost, match=told):
            await dial(settings(http), 5)


@pytest.mark.parametrize(
    ("stream", "told", "final"),
    [
        (b"data: unfinished", "ended", False),
        (b"event: close\ndata: nonsense\n\n", "ended the session", False),
        (b"data: " + b"x" * 20_000, "more than 10000 bytes", True),
    ],
)
async def test_a_stream_that_ends_ends_the_connection(stream: bytes, told: str, final: bool) -> None:
    async with scripted_http() as http:
        http.answers["/events"] = [ok(NAMED + stream, EVENTS)]
        with pytest.raises(ConnectionLost, match=told) as caught:
            async with closing(await dial(settings(http), 5)) as connection:
                await connection.receive()
        assert caught.value.final is final


async def test_a_stream_without_heartbeats_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "_SILENCE_S", 0.1)
    async with scripted_http() as http:
        # More is announced than comes.
        silent = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 1000\r\n\r\n"
        http.answers["/events"] = [silent + NAMED]
        http.holding.add("/events")
        connection = await dial(settings(http), 5)
        with pytest.raises(ConnectionLost, match="silent"):
            await connection.receive()
        await connection.close()
