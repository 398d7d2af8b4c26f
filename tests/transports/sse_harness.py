"""A hub that is served as `Server` serves it, and a reader of its streams on a plain socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import httptools

import chappe
from chappe.config import load
from chappe.hub.contracts import Claims
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.server.listening import listen
from chappe.server.server import HubServer, ServerOptions
from chappe.transports.lobby import Lobby
from chappe.transports.upgrade import Gate
from tests.protocols.sse.reader import EventReader, Said

#: Namespaces that are open to all, closed, or want a user.
FLAGS: Mapping[str, Any] = {
    "auth.anonymous": True,
    "namespaces.default.level": "recoverable",
    "namespaces.default.patterns": True,
    "namespaces.default.presence": True,
    "namespaces.default.subscribe": "anonymous",
    "namespaces.default.publish": "anonymous",
    "namespaces.live.subscribe": "anonymous",
    "namespaces.dropping.subscribe": "anonymous",
    "namespaces.dropping.level": "recoverable",
    "namespaces.dropping.slow_consumer": "drop_oldest",
    "namespaces.closed.subscribe": "nobody",
    "namespaces.members.subscribe": "user",
    "limits.messages_per_s": 0.0,
}


class Tokens:
    """Knows tokens by heart: the name of a user; `expired` has expired, what begins with `?` is none."""

    def authenticate(self, token: str, wall_s: float) -> Claims:
        """Verify a token."""
        if token == "expired":
            raise ChappeError(Code.TOKEN_EXPIRED)
        if token.startswith("?"):
            raise ChappeError(Code.UNAUTHORIZED)
        return Claims(user=token)


class Reader:
    """One request on a socket of its own, and what is answered.

    Attributes:
        status, headers: of the answer, once `open` returned.
        parts: the body as it came, chunk by chunk.
        complete: the body ended as it should.
        ended: the connection ended.
        last_id: what a browser that was told so many events would send as `Last-Event-ID`.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._parser = httptools.HttpResponseParser(self)
        self._events = EventReader()
        self._said: list[Said] = []
        self.reader: asyncio.StreamReader = asyncio.StreamReader()
        self.writer: asyncio.StreamWriter
        self.status = 0
        self.last_id = ""
        self.headers: dict[str, str] = {}
        self.parts: list[bytes] = []
        self.complete = False
        self.ended = False

    async def open(self, path: str, *, method: str = "GET", version: str = "1.1", **headers: str) -> Reader:
        """Ask, and wait for the head of the answer."""
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._port)
        fields = {"Host": "127.0.0.1", **{name.replace("_", "-"): value for name, value in headers.items()}}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.writer.write(f"{method} {path} HTTP/{version}\r\n{head}\r\n".encode())
        async with asyncio.timeout(5):
            while not self.status:
                await self._read()
        return self

    async def event(self) -> Said:
        """Return the next event."""
        async with asyncio.timeout(5):
            while not self._said:
                assert not self.ended, "the stream ended"
                await self._read()
        said = self._said.pop(0)
        self.last_id = said.id
        return said

    async def data(self) -> Any:
        """Return what the next publication says."""
        said = await self.event()
        assert said.name == "message", said
        return json.loads(said.data)["data"]

    async def comments(self, count: int) -> None:
        """Wait until so many comments came."""
        async with asyncio.timeout(10):
            while self._events.comments < count:
                await self._read()

    async def end(self) -> None:
        """Read to the end of the connection."""
        async with asyncio.timeout(10):
            while not self.ended:
                await self._read()

    def close(self) -> None:
        """Leave."""
        self.writer.close()

    @property
    def retry_ms(self) -> int | None:
        """When a browser would come back."""
        return self._events.retry_ms

    @property
    def body(self) -> bytes:
        """All of the body so far."""
        return b"".join(self.parts)

    async def _read(self) -> None:
        try:
            data = await self.reader.read(65_536)
        except ConnectionError:
            data = b""
        self.ended = not data
        if data:
            self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a field; one that comes twice is told."""
        key = name.decode().lower()
        assert key not in self.headers, f"two {key}"
        self.headers[key] = value.decode()

    def on_headers_complete(self) -> None:
        """Keep the status."""
        self.status = self._parser.get_status_code()

    def on_body(self, part: bytes) -> None:
        """Keep a part."""
        self.parts.append(part)
        self._said += self._events.feed(part)

    def on_message_complete(self) -> None:
        """Note the end."""
        self.complete = True


class Served:
    """A running hub."""

    def __init__(self, hub: chappe.Hub, lobby: Lobby, server: HubServer, port: int) -> None:
        self.hub = hub
        self.lobby = lobby
        self.server = server
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._readers: list[Reader] = []

    async def read(self, path: str, **options: Any) -> Reader:
        """Open a stream, or whatever the path answers."""
        reader = Reader(self.port)
        self._readers.append(reader)
        return await reader.open(path, **options)

    async def close(self) -> None:
        """Close what the test left open."""
        for reader in self._readers:
            if not hasattr(reader, "writer"):
                continue  # its connection was refused
            reader.close()
            with contextlib.suppress(OSError):
                await reader.writer.wait_closed()

    async def stream(self, path: str, **options: Any) -> tuple[Reader, Any]:
        """Open a stream; return what its first event tells too."""
        reader = await self.read(path, **options)
        assert reader.status == 200, reader.body
        said = await reader.event()
        assert said.name == "subscribed"
        return reader, json.loads(said.data)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what the hub tells nobody."""
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def served(
    *,
    wrap: Callable[[Any], Any] = lambda app: app,
    gate: Gate | None = None,
    tokens: bool = False,
    cert: tuple[str, str] = ("", ""),
    prepare: Callable[[chappe.Hub], object] = lambda hub: None,
    drain_timeout_s: float = 1.0,
    native: bool = True,
    **flags: Any,
) -> AsyncIterator[Served]:
    """Run a hub for the length of a block; `wrap` puts middleware around its app; not `native`: with portable links."""
    changes = {name.replace("__", "."): value for name, value in flags.items()}
    hub = chappe.Hub(settings=load(os.devnull, {}, {**FLAGS, **changes}).settings)
    if tokens:
        hub.core.authenticator = Tokens()
    prepare(hub)
    gate = gate or Gate()
    lobby = hub.open_lobby(gate)
    lobby.data_plane = "native" if native and not cert[0] else "portable"
    listener = listen("127.0.0.1", 0)
    options = ServerOptions(drain_timeout_s=drain_timeout_s, handle_signals=False, cert=cert[0], key=cert[1])
    started = asyncio.Event()
    server = HubServer(wrap(hub.make_app(gate)), lobby, options, lambda: listener, started.set)
    await hub.start()
    serving = asyncio.create_task(server.serve())
    await started.wait()
    running = Served(hub, lobby, server, listener.getsockname()[1])
    try:
        yield running
    finally:
        await running.close()
        server.should_exit = True
        await serving
        await hub.close_lobby(lobby, True, 1.0)
