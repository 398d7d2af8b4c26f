"""A front door on a real port, over a hub in memory, without the API and the console."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from typing import Any

import websockets
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from chappe.brokers.memory import MemoryBroker
from chappe.hub.contracts import Authenticator
from chappe.hub.hub import HubCore, HubOptions
from chappe.hub.namespaces import Access, Level, Namespace, Namespaces
from chappe.model.frame import SlowConsumer
from chappe.model.limits import Limits
from chappe.server.listening import listen
from chappe.server.server import HubServer, ServerOptions
from chappe.transports.endpoints import Endpoints
from chappe.transports.event_loop import LoopClock, Tasks
from chappe.transports.lobby import Lobby
from chappe.transports.upgrade import Gate
from tests.server.certificate import Certificate

#: The rates have tests of their own.
UNHURRIED = Limits(messages_per_s=0.0, address_connects_per_s=0.0)
OPEN: dict[str, Any] = {
    "level": Level.RECOVERABLE,
    "history_count": 100,
    "history_age_s": 600.0,
    "presence": True,
    "patterns": True,
    "subscribe": Access.ANONYMOUS,
    "publish": Access.ANONYMOUS,
}


class FrontDoorServer:
    """A running server."""

    def __init__(
        self, hub: HubCore, lobby: Lobby, server: HubServer, port: int, certificate: Certificate | None = None
    ) -> None:
        self.hub = hub
        self.lobby = lobby
        self.server = server
        self.port = port
        self.tls = certificate.client() if certificate is not None else None

    @property
    def url(self) -> str:
        """Where HTTP is served."""
        return f"{'http' if self.tls is None else 'https'}://127.0.0.1:{self.port}"

    def connect(self, path: str = "/ws", **options: Any) -> websockets.connect:
        """Connect with the `websockets` library."""
        if self.tls is not None:
            options["ssl"] = self.tls
        return websockets.connect(f"ws{self.url.removeprefix('http')}{path}", proxy=None, **options)

    async def raw(self, request: bytes) -> bytes:
        """Send bytes and return everything up to the end of the connection, or what came in two seconds."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            with contextlib.suppress(ConnectionError):
                async with asyncio.timeout(2):
                    return await reader.read()
            return b""
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def front_door(
    *,
    limits: Limits | None = None,
    gate: Gate | None = None,
    anonymous: bool = True,
    authenticator: Authenticator | None = None,
    slow_consumer: SlowConsumer = SlowConsumer.DISCONNECT,
    certificate: Certificate | None = None,
    **lobby_options: Any,
) -> AsyncIterator[FrontDoorServer]:
    """Run a server for the length of a block."""
    tasks, clock = Tasks(), LoopClock()
    broker = MemoryBroker(clock, os.urandom)
    namespaces = Namespaces(
        [
            Namespace(name="default", slow_consumer=slow_consumer, **OPEN),
            Namespace(name="chat", room=True, **OPEN),
        ]
    )
    hub = HubCore(
        HubOptions(
            broker=broker,
            clock=clock,
            random=os.urandom,
            spawn=tasks.spawn,
            log=lambda level, message, *values: None,
            limits=limits or UNHURRIED,
            namespaces=namespaces,
            anonymous=anonymous,
            authenticator=authenticator,
        )
    )
    await broker.start(hub.delivery)
    lobby = Lobby(hub, Endpoints(hub, "classic", "en"), gate or Gate(), **lobby_options)
    app = Starlette(routes=[Route("/hello", lambda request: PlainTextResponse("hello")), Route("/count", _count)])
    started = asyncio.Event()
    listener = listen("127.0.0.1", 0)
    tls = {"cert": certificate.cert, "key": certificate.key} if certificate is not None else {}
    options = ServerOptions(drain_timeout_s=1.0, handle_signals=False, **tls)  # type: ignore[arg-type]
    server = HubServer(app, lobby, options, lambda: listener, started.set)
    serving = asyncio.create_task(server.serve())
    await started.wait()
    try:
        yield FrontDoorServer(hub, lobby, server, listener.getsockname()[1], certificate)
    finally:
        server.should_exit = True
        await serving
        await broker.stop()


async def _count(request: Request) -> StreamingResponse:
    """Stream as SSE does, larger than any buffer on the way."""

    async def events() -> AsyncIterator[bytes]:
        for number in range(2_000):
            yield b"data: %01000d\n\n" % number

    return StreamingResponse(events(), media_type="text/event-stream")


async def close_code_of(client: websockets.ClientConnection) -> int:
    """Read until the server closes; return its code."""
    try:
        async with asyncio.timeout(5):
            while True:
                await client.recv()
    except websockets.ConnectionClosed as closed:
        return int(closed.rcvd.code) if closed.rcvd is not None else 1006
