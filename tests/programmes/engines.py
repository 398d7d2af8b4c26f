"""Engines for programmes: each can be killed and started, and each can lose what it keeps."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Protocol

from chappe.app import Hub
from chappe.brokers.nats.local import LocalNats
from chappe.hub.namespaces import Access, Level, Namespace
from chappe.testing.fault_proxy import FaultProxy
from chappe.testing.kill_programme import Victim
from chappe.testing.running import RunningHub, running_hub
from tests.brokers.redis.engines import Engine

#: How each is called, and whether it has on disk what it confirmed.
DISK = {"redis": True, "redis-memory": False, "valkey": True, "valkey-memory": False, "nats": True}
_WRITE_THROUGH = ("--appendonly", "yes", "--appendfsync", "always")


class Shared(Victim, Protocol):
    """An engine that hubs share."""

    port: int

    @property
    def url(self) -> str:
        """What hubs are configured with."""

    async def lose(self) -> None:
        """Forget everything, as an operator's slip would."""


class RedisServer:
    """Redis or Valkey."""

    def __init__(self, engine: Engine, *, durable: bool) -> None:
        self.engine = engine
        self._durable = durable
        self.port = engine.port

    @property
    def url(self) -> str:
        return f"{self.engine.url}?timeout=1" + ("&durable=1" if self._durable else "")

    async def kill(self) -> None:
        await asyncio.to_thread(self.engine.kill)

    async def start(self) -> None:
        await asyncio.to_thread(self.engine.start)

    async def lose(self) -> None:
        await asyncio.to_thread(self.engine.call, "FLUSHALL")


class NatsServer:
    """NATS with JetStream on files."""

    def __init__(self, local: LocalNats) -> None:
        self.local = local
        self.port = local.port

    @property
    def url(self) -> str:
        return f"{self.local.url}?timeout_s=1"

    async def kill(self) -> None:
        await self.local.kill()

    async def start(self) -> None:
        await self.local.start()

    async def lose(self) -> None:
        import nats

        client = await nats.connect(self.local.url)
        try:
            context = client.jetstream()
            for stream in await context.streams_info():
                assert stream.config.name
                await context.purge_stream(stream.config.name)
        finally:
            await client.close()


@contextlib.asynccontextmanager
async def shared_engine(name: str) -> AsyncIterator[Shared]:
    """Run an engine of `DISK` until the block ends."""
    if name == "nats":
        local = LocalNats()
        await local.start()
        try:
            yield NatsServer(local)
        finally:
            await local.stop()
    else:
        engine = await asyncio.to_thread(Engine, name.partition("-")[0], *(_WRITE_THROUGH if DISK[name] else ()))
        try:
            yield RedisServer(engine, durable=DISK[name])
        finally:
            await asyncio.to_thread(engine.end)


def namespaces(name: str) -> list[Namespace]:
    """Return the namespace of the load, as durable as the engine can be, and a live one."""
    kept = Namespace(
        name="load",
        level=Level.DURABLE if DISK[name] else Level.RECOVERABLE,
        history_count=1_000_000,
        history_age_s=3_600.0,
        subscribe=Access.ANONYMOUS,
        publish=Access.ANONYMOUS,
    )
    return [kept, Namespace(name="live", subscribe=Access.ANONYMOUS, publish=Access.ANONYMOUS)]


@contextlib.asynccontextmanager
async def hubs(name: str, *urls: str) -> AsyncIterator[list[RunningHub]]:
    """Run a hub on each of these URLs of an engine."""
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(running_hub(Hub(dev=True, namespaces=namespaces(name), broker=url)))
            for url in urls
        ]


@contextlib.asynccontextmanager
async def behind(engine: Shared) -> AsyncIterator[tuple[FaultProxy, str]]:
    """Put a proxy before an engine; gives the URL that leads through it."""
    async with FaultProxy("127.0.0.1", engine.port) as proxy:
        yield proxy, engine.url.replace(f":{engine.port}", f":{proxy.port}", 1)
