"""Connections taken from uvicorn: when, when not, and what is left. The contract with uvicorn's insides is here."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from chappe.transports import takeover
from tests.server.certificate import Certificate
from tests.transports.sse_harness import Reader, Served, served

PAGE = "https://app.example"
both_links = pytest.mark.parametrize("native", [True, False], ids=["native", "portable"])


async def works(server: Served, reader: Reader, taken: bool) -> None:
    """See that a stream brings what is published, and whether its connection was taken over."""
    assert len(server.lobby.links) == taken
    assert len(server.lobby.streams) == (not taken)
    assert server.lobby.admission.websockets.taken == 1
    if taken:
        # Of uvicorn nothing is left: no task, no connection.
        await server.until(lambda: not server.server.server_state.tasks)
        assert not server.server.server_state.connections
    for number in range(3):
        await server.hub.publish("a", number)
    assert [await reader.data() for _ in range(3)] == [0, 1, 2]


async def leaves_nothing(server: Served) -> None:
    await server.until(lambda: not server.hub.core.sessions)
    await server.until(lambda: not server.lobby.links and not server.lobby.streams)
    await server.until(lambda: not server.server.server_state.tasks)
    assert server.lobby.admission.websockets.taken == 0
    assert not len(server.hub.core.channels)


# --- Taken ------------------------------------------------------------------------------------------------------------


@both_links
@pytest.mark.loops("asyncio", "uvloop")
async def test_a_plain_request_is_taken_over(native: bool) -> None:
    async with served(native=native) as server:
        reader, _ = await server.stream("/events?channel=a")
        await works(server, reader, taken=True)
        (link,) = server.lobby.links
        assert (type(link).__name__ == "NativeLink") == native
        await server.until(lambda: server.lobby.admission.others.taken == 0)
        reader.close()
        await leaves_nothing(server)


@both_links
@pytest.mark.parametrize("channels", ["channel=a", "channel=a&channel=b"])
async def test_both_kinds_of_links_send_the_same_bytes(native: bool, channels: str) -> None:
    async with served(native=native) as server:
        reader, _ = await server.stream(f"/events?{channels}")
        await server.hub.publish("a", 1)
        await reader.data()
        assert reader.body.count(b"\n\n") == 2
        assert [reader.status, reader.headers["transfer-encoding"]] == [200, "chunked"]


async def test_a_keep_alive_connection_is_taken_over_with_its_second_request() -> None:
    async with served() as server:
        reader = Reader(server.port)
        reader.reader, reader.writer = await asyncio.open_connection("127.0.0.1", server.port)
        reader.writer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.reader.readuntil(b'"ok"}')
        reader.writer.write(b"GET /events?channel=a HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"text/event-stream" in await reader.reader.readuntil(b"\r\n\r\n")
        await server.until(lambda: len(server.lobby.links) == 1)
        # The timer of keep-alive is uvicorn's: it may not end the stream.
        reader.writer.close()
        await leaves_nothing(server)


async def test_a_request_that_asks_to_close_is_taken_over_too() -> None:
    async with served() as server:
        reader, _ = await server.stream("/events?channel=a", Connection="close")
        assert reader.headers["connection"] == "close"
        await works(server, reader, taken=True)


# --- Middleware -------------------------------------------------------------------------------------------------------


class Timing(BaseHTTPMiddleware):
    """Adds a header, as half of all applications do."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["x-time"] = "1"
        return response


class OneBehind:
    """Sends each part of a body when it has the next one."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        held: list[Any] = []

        async def hold(message: Any) -> None:
            held.append(message)
            while len(held) > (message["type"] == "http.response.body" and message.get("more_body", False)):
                await send(held.pop(0))

        await self._app(scope, receive, hold)


class Shouting:
    """Changes the body, as a compressor does, and says so nowhere."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def shout(message: Any) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": message["body"].replace(b":\n", b": hello\n")}
            await send(message)

        await self._app(scope, receive, shout)


def cors(app: Any) -> Any:
    return CORSMiddleware(app, allow_origins=[PAGE], allow_credentials=True)


@both_links
@pytest.mark.parametrize(
    ("wrap", "taken"),
    [
        (cors, True),
        (Timing, True),
        (lambda app: Timing(Timing(cors(app))), True),
        (lambda app: GZipMiddleware(app, minimum_size=1), True),
        (Shouting, False),
    ],
    ids=["cors", "base", "several", "gzip", "changing"],
)
async def test_middleware_has_its_say_and_what_changes_the_body_keeps_the_stream(
    native: bool, wrap: Callable[[Any], Any], taken: bool
) -> None:
    from chappe.transports.upgrade import Gate

    async with served(wrap=wrap, native=native, gate=Gate(origins=frozenset({PAGE}))) as server:
        reader, _ = await server.stream("/events?channel=a", Origin=PAGE, Accept_Encoding="gzip")
        assert reader.headers["access-control-allow-origin"] == PAGE
        if taken and native and wrap is Timing:
            assert reader.headers["x-time"] == "1"
        await server.until(lambda: bool(server.lobby.links or server.lobby.streams))
        await works(server, reader, taken)
        reader.close()
        await leaves_nothing(server)


async def test_middleware_that_holds_the_answer_back_for_too_long_keeps_the_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(takeover, "_BEGINNING_S", 0.05)
    async with served(wrap=OneBehind) as server:
        reader = await server.read("/events?channel=a")
        await server.until(lambda: bool(server.lobby.streams))
        for number in range(2):
            await server.hub.publish("a", number)
        assert (await reader.event()).name == "subscribed"
        assert await reader.data() == 0
        assert not server.lobby.links
        reader.close()
        await leaves_nothing(server)


# --- Declined ---------------------------------------------------------------------------------------------------------


async def test_http_1_0_has_no_chunks_and_streams_to_the_end_of_the_connection() -> None:
    async with served() as server:
        reader = await server.read("/events?channel=a", version="1.0")
        assert "transfer-encoding" not in reader.headers or reader.headers["transfer-encoding"] == "chunked"
        assert reader.status == 200
        await server.until(lambda: bool(server.lobby.streams))
        assert not server.lobby.links
        reader.close()
        await leaves_nothing(server)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /events?channel=a HTTP/1.1\r\nHost: a\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /events?channel=a HTTP/1.1\r\nHost: a\r\n\r\nGET /heal",
        b"GET /events?channel=a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab",
    ],
    ids=["pipelined", "half-pipelined", "body-to-come"],
)
async def test_a_request_with_more_behind_it_is_not_taken_over(request_bytes: bytes) -> None:
    async with served() as server:
        stream_reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request_bytes)
        assert b"200 OK" in await stream_reader.readuntil(b"\r\n\r\n")
        await stream_reader.readuntil(b"subscribed")
        assert not server.lobby.links
        assert len(server.lobby.streams) == 1
        await server.hub.publish("a", "here")
        await stream_reader.readuntil(b'"here"')
        writer.close()
        await leaves_nothing(server)


async def test_a_stream_over_tls_goes_on_with_asgi(tmp_path: Path) -> None:
    certificate = Certificate(tmp_path)
    async with served(cert=(certificate.cert, certificate.key)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=certificate.client())
        writer.write(b"GET /events?channel=a HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(b"subscribed")
        assert not server.lobby.links
        await server.hub.publish("a", "here")
        await reader.readuntil(b'"here"')
        writer.close()
        await leaves_nothing(server)


async def test_without_a_descriptor_to_spare_the_stream_goes_on_with_asgi(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(door: Any) -> Any:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(takeover, "stream_link", full)
    async with served() as server:
        reader, _ = await server.stream("/events?channel=a")
        await works(server, reader, taken=False)


async def test_other_requests_are_offered_nothing() -> None:
    offered: list[Any] = []

    def wrap(app: Any) -> Any:
        async def look(scope: Any, receive: Any, send: Any) -> None:
            offered.append(scope.get("extensions"))
            await app(scope, receive, send)

        return look

    async with served(wrap=wrap) as server:
        await server.read("/healthz")
        await server.read("/events?channel=a", method="HEAD")
        await server.read("/events?channel=a")
    assert offered[:2] == [None, None]
    assert list(offered[2]) == [takeover.EXTENSION]


# --- The end ----------------------------------------------------------------------------------------------------------


@both_links
@pytest.mark.parametrize("wrap", [lambda app: app, Shouting], ids=["taken", "asgi"])
async def test_a_drain_ends_every_stream_whole_and_at_once(native: bool, wrap: Callable[[Any], Any]) -> None:
    async with served(native=native, wrap=wrap, drain_timeout_s=20.0) as server:
        readers = [(await server.stream("/events?channel=a&channel=b"))[0] for _ in range(10)]
        server.server.should_exit = True
        async with asyncio.timeout(3):
            for reader in readers:
                await reader.end()
        assert all(reader.complete for reader in readers)
        assert len({reader.retry_ms for reader in readers}) > 3, "all would come back at the same moment"
        await server.until(lambda: not server.hub.core.sessions)
        with contextlib.suppress(OSError):
            assert (await server.read("/events?channel=a")).status == 503


async def test_a_hub_that_drains_opens_no_stream() -> None:
    async with served() as server:
        server.lobby.draining = True
        reader = await server.read("/events?channel=a")
        assert reader.status == 503
        assert json.loads(reader.body)["code"] == 108


async def test_a_client_that_goes_while_its_stream_opens_leaves_nothing() -> None:
    gate = asyncio.Event()

    def prepare(hub: Any) -> None:
        async def wait(session: Any) -> None:
            await gate.wait()

        hub.on_connect(wait)

    async with served(prepare=prepare) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /events?channel=a HTTP/1.1\r\nHost: a\r\n\r\n")
        await server.until(lambda: bool(server.hub.core.sessions))
        writer.transport.abort()
        gate.set()
        await leaves_nothing(server)


# --- uvicorn ----------------------------------------------------------------------------------------------------------


def test_uvicorn_has_the_insides_that_a_takeover_uses() -> None:
    assert uvicorn.__version__.startswith("0.54."), "read takeover.py and front_door.py against the new version"
    source = inspect.getsource(RequestResponseCycle)
    for name in ("disconnected", "response_complete", "chunked_encoding", "more_body", "message_event"):
        assert f"self.{name}" in source, name
    # After a takeover the app returns, and middleware may send on: both must be silent.
    assert "if self.disconnected:\n            return" in inspect.getsource(RequestResponseCycle.send)
    assert "self.send\n" in inspect.getsource(RequestResponseCycle.run_asgi), "`send` is looked up when the task begins"
    assert "elif not self.response_complete and not self.disconnected" in inspect.getsource(
        RequestResponseCycle.run_asgi
    )
    protocol = inspect.getsource(HttpToolsProtocol)
    for name in ("pipeline", "flow", "connections", "cycle", "scheme", "transport"):
        assert f"self.{name}" in protocol, name
    assert {"drain", "pause_writing"} <= set(dir(FlowControl))
