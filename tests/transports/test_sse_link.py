"""Streams over real sockets, native and portable alike: slow readers, talkative ones, heartbeats, and their end."""

from __future__ import annotations

import asyncio
import re
import socket
from typing import Any

import pytest

from chappe.model.frame import Bundle, Frame
from chappe.transports import asgi_link, portable, sse_link
from chappe.transports.sse_link import encode_frame
from tests.transports.sse_harness import Served, served

both_links = pytest.mark.parametrize("native", [True, False], ids=["native", "portable"])


async def slow_reader(server: Served, path: str, version: str = "1.1") -> socket.socket:
    """Return a socket that opened a stream and reads nothing more; its kernel buffer is small."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", server.port))
    await loop.sock_sendall(sock, f"GET {path} HTTP/{version}\r\nHost: a\r\n\r\n".encode())
    while b'"session"' not in await loop.sock_recv(sock, 4_096):
        pass
    return sock


@both_links
@pytest.mark.parametrize("channels", ["channel=a", "channel=a&channel=b"])
async def test_a_slow_reader_is_closed_at_its_cap_and_nobody_else_notices(native: bool, channels: str) -> None:
    async with served(native=native, limits__send_queue_bytes=100_000) as server:
        healthy, _ = await server.stream(f"/events?{channels}")
        slow = await slow_reader(server, f"/events?{channels}")
        for number in range(200):
            await server.hub.publish("a", {"number": number, "pad": "x" * 60_000})
            assert (await healthy.data())["number"] == number
        assert server.lobby.counters.slow_consumers == 1
        await server.until(lambda: len(server.hub.core.sessions) == 1)
        slow.close()


@both_links
@pytest.mark.slow
async def test_a_slow_reader_that_may_miss_some_is_told_how_many(native: bool) -> None:
    async with served(native=native, limits__send_queue_bytes=100_000) as server:
        slow = await slow_reader(server, "/events?channel=dropping")
        for number in range(300):
            await server.hub.publish("dropping", {"number": number, "pad": "x" * 30_000})
            if number % 10 == 0:
                await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        seen = b""
        delivered = missed = 0
        async with asyncio.timeout(10):
            while delivered + missed < 300:
                seen += await loop.sock_recv(slow, 1_048_576)
                delivered = seen.count(b'"type":"publication"')
                missed = sum(map(int, re.findall(rb'event: missed\ndata: {"type":"missed".*?"count":(\d+)}', seen)))
        assert delivered + missed == 300
        assert server.hub.core.counters.dropped == missed > 0
        slow.close()


@both_links
async def test_what_a_reader_says_is_passed_over_and_too_much_of_it_cuts_it(native: bool) -> None:
    async with served(native=native) as server:
        reader, _ = await server.stream("/events?channel=a")
        reader.writer.write(b'{"type":"publish","id":1,"channel":"a","data":1}\r\nPOST / HTTP/1.1\r\n\r\n')
        await reader.writer.drain()
        await server.hub.publish("a", "still here")
        assert await reader.data() == "still here"
        reader.writer.write(b"x" * (2 * sse_link.MAX_SAID_BYTES))
        await reader.end()
        await server.until(lambda: not server.hub.core.sessions)


@both_links
@pytest.mark.parametrize("how", ["half-close", "close", "reset"])
async def test_a_reader_that_goes_leaves_nothing(native: bool, how: str) -> None:
    async with served(native=native) as server:
        reader, _ = await server.stream("/events?channel=a&channel=b")
        if how == "half-close":
            reader.writer.write_eof()
            await reader.end()
        elif how == "close":
            reader.close()
        else:
            reader.writer.transport.abort()
        await server.until(lambda: not server.hub.core.sessions and not server.lobby.links)
        assert server.lobby.admission.websockets.taken == 0
        assert not len(server.hub.core.channels)


@both_links
@pytest.mark.slow
async def test_a_silent_stream_has_heartbeats_which_are_no_events_and_need_no_answer(native: bool) -> None:
    flags: dict[str, Any] = {f"limits__{name}": 1.0 for name in ("sse_heartbeat_s", "pong_timeout_s", "idle_timeout_s")}
    async with served(native=native, **flags) as server:
        reader, _ = await server.stream("/events?channel=a")
        await reader.comments(3)
        # No blank line: some readers take it for the end of an empty event.
        assert reader.body.endswith(b"\n\n:\n:\n")
        await server.hub.publish("a", 1)
        assert await reader.data() == 1
        assert len(server.hub.core.sessions) == 1


@both_links
async def test_a_session_that_is_ended_ends_the_body_and_the_connection(native: bool) -> None:
    async with served(native=native) as server:
        reader, _ = await server.stream("/events?channel=a")
        await server.hub.publish("a", 1)
        (session,) = server.hub.core.sessions.values()
        session.close(3503)
        assert await reader.data() == 1
        await reader.end()
        assert reader.complete
        await server.until(lambda: not server.lobby.links)


@pytest.mark.slow
async def test_a_reader_that_does_not_take_the_end_is_cut_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portable, "CLOSE_TIMEOUT_S", 0.2)
    async with served(native=False, limits__send_queue_bytes=50_000_000) as server:
        slow = await slow_reader(server, "/events?channel=a")
        for _ in range(200):
            await server.hub.publish("a", "x" * 60_000)
        (session,) = server.hub.core.sessions.values()
        assert session.link.queued_bytes > 1_000_000
        session.close(3503)
        await server.until(lambda: not server.lobby.links)
        slow.close()


@both_links
async def test_control_characters_in_a_payload_break_no_event(native: bool) -> None:
    async with served(native=native) as server:
        reader, _ = await server.stream("/events?channel=a")
        raw = await server.read("/events?channel=a&raw=1")
        await server.until(lambda: len(server.hub.core.sessions) == 2)
        text = "a\r\nid: 9\r\revent: b\n\n\x00\x01\x1f\x7f\x85\u2028\ufeff" + "é" * 3
        await server.hub.publish("a", text)
        assert await reader.data() == text
        said = await raw.event()
        assert said.data == text.replace("\r\n", "\n").replace("\r", "\n")
        assert said.id == reader.last_id


@pytest.mark.slow
async def test_a_reader_that_cannot_be_taken_over_and_does_not_take_the_end_is_cut_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Its session had ended, but uvicorn waited for ever until what it had written was read, and logged an error.
    monkeypatch.setattr(asgi_link, "CLOSE_TIMEOUT_S", 0.2)
    async with served(limits__send_queue_bytes=100_000) as server:
        slow = await slow_reader(server, "/events?channel=a", "1.0")
        assert server.lobby.streams
        for _ in range(200):
            await server.hub.publish("a", "x" * 60_000)
            await asyncio.sleep(0)
        await server.until(lambda: not server.lobby.admission.others.taken)
        assert not server.lobby.streams
        assert not server.hub.core.sessions
        assert "without completing" not in caplog.text
        slow.close()


@both_links
async def test_a_gap_comes_in_order_before_what_is_live(native: bool) -> None:
    async with served(native=native, namespaces__default__history_count=1_000) as server:
        reader, _ = await server.stream("/events?channel=a")
        for number in range(500):
            await server.hub.publish("a", {"number": number, "pad": "x" * 1_000})
        again, told = await server.stream("/events?channel=a", Last_Event_ID=reader.last_id)
        await server.hub.publish("a", {"number": 500})
        assert told["channels"]["a"]["recovered"]
        assert [(await again.data())["number"] for _ in range(501)] == list(range(501))


def test_a_bundle_is_one_chunk() -> None:
    frames = [Frame(b"data: 1\n\n", True), Frame(b"data: 2\n\n", True)]
    assert encode_frame(Bundle.of(frames)) == b"12\r\ndata: 1\n\ndata: 2\n\n\r\n"
    assert encode_frame(frames[0]) == b"9\r\ndata: 1\n\n\r\n"


async def test_a_stream_does_not_answer_probes_and_counts_as_alive() -> None:
    async with served(native=False) as server:
        await server.stream("/events?channel=a")
        (link,) = server.lobby.links
        answers: list[bool] = []
        link.probe(1.0, answers.append)
        await server.until(lambda: answers == [True])
        link.abort()
        await server.until(lambda: not server.lobby.links)
        link.probe(1.0, answers.append)
        link.send(Frame(b"data: 1\n\n", True))
        link.close(3001)
        await server.until(lambda: answers == [True, False])


@both_links
async def test_the_gaps_of_all_channels_may_be_more_than_may_wait_for_a_slow_reader(native: bool) -> None:
    # They come before there is a connection. The second one ended the stream at its first byte, and the reader came
    # back with the same cursor to the same end, for ever.
    async with served(native=native, limits__send_queue_bytes=50_000) as server:
        channels = "channel=a&channel=b&channel=c&channel=d"
        reader, _ = await server.stream(f"/events?{channels}")
        cursor = reader.last_id
        reader.close()
        for number in range(12):
            await server.hub.publish("abcd"[number % 4], "x" * 30_000)
        again, told = await server.stream(f"/events?{channels}", last_event_id=cursor)
        assert all(channel["recovered"] for channel in told["channels"].values())
        for _ in range(12):
            assert await again.data() == "x" * 30_000


@both_links
async def test_a_gap_is_not_held_against_a_slow_reader_while_it_is_being_written(native: bool) -> None:
    # The portable link cut who recovered more than its cap at the next publication, a WebSocket it did not.
    async with served(native=native) as server:
        reader, _ = await server.stream("/events?channel=a")
        cursor = reader.last_id
        reader.close()
        for _ in range(90):
            await server.hub.publish("a", "x" * 65_000)
        slow = await slow_reader(server, f"/events?channel=a&last_event_id={cursor}")
        (session,) = server.hub.core.sessions.values()
        assert session.link.queued_bytes > server.hub.core.limits.send_queue_bytes
        await server.hub.publish("a", "live")
        seen = b""
        async with asyncio.timeout(10):
            while b'"live"' not in seen[-2_000:]:
                seen += await asyncio.get_running_loop().sock_recv(slow, 1_048_576)
        assert server.lobby.counters.slow_consumers == 0
        slow.close()
