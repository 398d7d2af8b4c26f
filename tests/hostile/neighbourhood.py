"""A running hub with a healthy client on it, beside which hostile things happen that it must not notice."""

import asyncio
import concurrent.futures
import contextlib
import json
import os
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import psutil
import websockets

from chappe.app import Hub
from chappe.config import load
from chappe.serving import Server

#: How long a healthy client waits for what it is due; most of it is for a machine that does other things too.
PATIENCE_S: Final = 5.0
#: After so long without a byte the hub has nothing more to say to a hostile connection.
SILENCE_S: Final = 0.5
#: What a hostile input may make the hub and its sender hold for a moment: a message inflated as far as allowed, twice.
MOMENT_BYTES: Final = 16 * 1_048_576
CHANNEL: Final = "neighbour"


class Place:
    """A hub on a port, in a thread and an event loop of its own.

    Attributes:
        port: where it listens.
        unseen: what its event loop reported: exceptions that nobody caught.
    """

    def __init__(self, port: int, unseen: list[str]) -> None:
        self.port = port
        self.unseen = unseen

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a TCP connection."""
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def send(self, data: bytes, until: bytes | None = None, silence_s: float = SILENCE_S) -> bytes:
        """Send bytes on a connection of their own; return what came until the hub closed it, or fell silent.

        Args:
            data: PORT in it stands for the port.
            until: what ends the wait earlier, when it has come.
            silence_s: how long to wait for the next bytes.
        """
        reader, writer = await self.open()
        received = bytearray()
        try:
            writer.write(data.replace(b"PORT", str(self.port).encode()))
            with contextlib.suppress(TimeoutError, ConnectionError):
                while until is None or not received.endswith(until):
                    piece = await asyncio.wait_for(reader.read(65_536), silence_s)
                    if not piece:
                        break
                    received += piece
        finally:
            writer.close()
        return bytes(received)

    def connect(self, path: str = "/ws", **options: Any) -> websockets.connect:
        """Connect with the `websockets` library."""
        return websockets.connect(f"ws://127.0.0.1:{self.port}{path}", proxy=None, max_size=None, **options)


@contextlib.contextmanager
def served(**flags: Any) -> Iterator[Place]:
    """Serve a hub that is open to everybody, but for the settings given (`limits__frame_bytes=..`)."""
    dotted = {name.replace("__", "."): value for name, value in flags.items()}
    settings = load(os.devnull, flags={"server.dev": True, **dotted}).settings
    unseen: list[str] = []
    started: concurrent.futures.Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]]
    started = concurrent.futures.Future()

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: unseen.append(repr(context.get("exception", context["message"]))))
        server = Server(Hub(settings=settings), port=0)
        await server.start()
        enough = asyncio.Event()
        started.set_result((loop, enough, server.port))
        await enough.wait()
        await server.stop()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="hub")
    thread.start()
    loop, enough, port = started.result(PATIENCE_S)
    try:
        yield Place(port, unseen)
    finally:
        loop.call_soon_threadsafe(enough.set)
        thread.join()


@contextlib.asynccontextmanager
async def healthy_neighbour(place: Place, most_bytes: int = MOMENT_BYTES) -> AsyncIterator[None]:
    """Connect a client; when the block ends it must be well.

    Well means: everything published meanwhile came, once and in order, nothing else did, it is answered at once, and
    the hub's event loop saw no exception that nobody caught, and this process has not grown by more than `most_bytes`.
    """
    before_bytes = psutil.Process().memory_info().rss
    async with place.connect() as client, place.connect() as other:
        await tell(client, {"type": "subscribe", "id": 1, "channel": CHANNEL})
        assert (await hear(client))["type"] == "reply"
        await publish(other, "before")
        yield
        await publish(other, "after")
        await tell(client, {"type": "ping", "id": 2})
        heard = [await hear(client) for _ in range(3)]
        assert [message.get("data", message["type"]) for message in heard] == ["before", "after", "pong"]
    unseen, place.unseen[:] = place.unseen[:], []
    assert not unseen
    assert psutil.Process().memory_info().rss - before_bytes < most_bytes


async def publish(client: websockets.ClientConnection, data: str) -> None:
    """Publish to the neighbour and wait for the answer."""
    await tell(client, {"type": "publish", "id": 1, "channel": CHANNEL, "data": data})
    assert (await hear(client))["type"] == "reply"


async def tell(client: websockets.ClientConnection, message: Any) -> None:
    """Send JSON."""
    await client.send(json.dumps(message))


async def hear(client: websockets.ClientConnection) -> dict[str, Any]:
    """Receive a JSON object."""
    async with asyncio.timeout(PATIENCE_S):
        message: dict[str, Any] = json.loads(await client.recv())
    return message
