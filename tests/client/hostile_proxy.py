"""An HTTP proxy as one meets it in hotels and offices: it refuses upgrades, buffers streams, and loses answers."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal

import chappe

Treatment = Literal["pass", "refuse", "swallow", "cut", "swallow_frames"]


class HostileProxy:
    """One request for each connection, so that each is looked at.

    `treatment` says by path (`/ws`, `/poll`, `/send`, `/events`) what happens to a request: it passes, is answered 403,
    is never answered, is reset, or (an upgrade) is answered and nothing comes behind. `losing` counts by path the
    answers that are lost: the hub carries the request out and the client sees its connection cut.
    """

    def __init__(self, port: int) -> None:
        self.port = 0
        self.treatment: dict[str, Treatment] = {}
        self.losing: Counter[str] = Counter()
        self.requests: list[str] = []
        self._hub_port = port
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(OSError, RuntimeError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._serve(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def stop(self) -> None:
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.decode().split(" ", 2)
        path = target.partition("?")[0]
        self.requests.append(f"{method} {path}")
        match self.treatment.get(path, "pass"):
            case "refuse":
                writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return await writer.drain()
            case "swallow":
                await reader.read(-1)
                return None
            case "cut":
                writer.transport.abort()
                return None
            case treatment:
                return await self._forward(head, path, reader, writer, swallows=treatment == "swallow_frames")

    async def _forward(
        self,
        head: bytes,
        path: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        swallows: bool,
    ) -> None:
        hub_reader, hub_writer = await asyncio.open_connection("127.0.0.1", self._hub_port)
        up = asyncio.create_task(pipe(reader, hub_writer))
        try:
            hub_writer.write(head.replace(b"keep-alive", b"close"))
            if self.losing[path] > 0:
                self.losing[path] -= 1
                await hub_reader.read(-1)
                writer.transport.abort()
            elif swallows:
                writer.write(await hub_reader.readuntil(b"\r\n\r\n"))
                await reader.read(-1) if up.done() else await up
            else:
                await pipe(hub_reader, writer)
        finally:
            up.cancel()
            hub_writer.close()


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # uvloop says RuntimeError where the other side is gone.
    with suppress(OSError, RuntimeError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def hostile_proxy(port: int) -> AsyncIterator[HostileProxy]:
    proxy = HostileProxy(port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.stop()
        await server.wait_closed()


@asynccontextmanager
async def running(port: int = 0) -> AsyncIterator[chappe.Server]:
    hub = chappe.Hub(dev=True)

    @hub.rpc("add")
    async def add(session: chappe.Session, a: int, b: int) -> int:
        return a + b

    @hub.rpc("whisper")
    async def whisper(session: chappe.Session) -> None:
        await session.send({"only": "you"})

    server = chappe.Server(hub, port=port)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def behind_a_proxy(**treatment: Treatment) -> AsyncIterator[tuple[HostileProxy, str, chappe.Server]]:
    async with running() as server, hostile_proxy(server.port) as proxy:
        proxy.treatment = {f"/{path}": how for path, how in treatment.items()}
        yield proxy, f"ws://127.0.0.1:{proxy.port}/ws", server
