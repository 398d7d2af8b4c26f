"""A connection that a stream of events carries."""

import pytest

from chappe.client import event_stream
from chappe.client.errors import ConnectionLost
from chappe.client.event_stream import dial
from chappe.client.options import Settings
from tests.client.scripted_http import BEGUN, ScriptedHttp, ok, scripted_http, status

EVENTS = "text/event-stream"


def settings(http: ScriptedHttp) -> Settings:
    return Settings(url=http.url, reconnect_interval_ms=1, max_message_bytes=10_000)


async def test_events_are_messages_and_close_has_the_code() -> None:
    async with scripted_http() as http:
        http.answers["/events"] = [
            ok(
                b': heartbeat\n\nevent: subscribed\ndata: {"session":"s1"}\n\ndata: {"type":"publication"}\n\n'
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


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (status(403), "HTTP 403"),
        (status(404, b'{"code":117}'), "does not know the session"),
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
        http.answers["/events"] = [ok(stream, EVENTS)]
        connection = await dial(settings(http), 5)
        with pytest.raises(ConnectionLost, match=told) as caught:
            await connection.receive()
        assert caught.value.final is final
        await connection.close()


async def test_a_stream_without_heartbeats_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "_SILENCE_S", 0.1)
    async with scripted_http() as http:
        # More is announced than comes.
        silent = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 1000\r\n\r\n: here\n\n"
        http.answers = {"/poll": [ok(BEGUN)], "/events": [silent]}
        http.holding.add("/events")
        connection = await dial(settings(http), 5)
        with pytest.raises(ConnectionLost, match="silent"):
            await connection.receive()
        await connection.close()
