"""Brokers on a server of their own, for tests."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from chappe.brokers.nats.broker import NatsBroker
from chappe.brokers.nats.local import LocalNats
from chappe.hub.contracts import Append
from chappe.hub.namespaces import Level, Namespace
from chappe.model.publication import Kind
from chappe.testing.broker_probe import Probe
from chappe.transports.event_loop import LoopClock

KEPT = Namespace(name="kept", level=Level.RECOVERABLE, history_count=100, history_age_s=3600.0)
DURABLE = Namespace(name="durable", level=Level.DURABLE, history_count=10_000, history_age_s=3600.0)
LIVE = Namespace(name="live")


def item(channel: str, payload: bytes = b"1", namespace: Namespace = KEPT, **more: object) -> Append:
    return Append(channel, payload, Kind.JSON, 1_795_348_800_123, namespace, **more)  # type: ignore[arg-type]


def make(url: str, **options: object) -> NatsBroker:
    text = "&".join(f"{name}={value}" for name, value in options.items())
    return NatsBroker(f"{url}?{text}", LoopClock(), os.urandom)


@asynccontextmanager
async def running(directory: Path | None = None, **options: object) -> AsyncIterator[LocalNats]:
    server = LocalNats(directory, **options)  # type: ignore[arg-type]
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


class _Everything(set[tuple[str, str, int]]):
    def __contains__(self, _: object) -> bool:
        return True


class Node:
    """A broker and what its hub would see."""

    def __init__(self, url: str, **options: object) -> None:
        self.broker = make(url, **{"timeout_s": 2, **options})
        self.probe = Probe(self.broker, asyncio.sleep, 10.0)

    def hears_others(self) -> None:
        """Let the feed bring what another node was told of, or will be."""
        self.probe.told = _Everything()

    @property
    def told(self) -> bool:
        """Whether the loss of anything was told."""
        return bool(self.probe.interruptions)

    async def until(self, condition: Callable[[], object], what: str) -> None:
        await self.probe.until(condition, what)

    async def until_up(self) -> None:
        await self.until(lambda: self.broker.is_connected and self.told, "a new connection, and what it cost")

    def payloads(self, channel: str) -> list[bytes]:
        return [publication.payload for publication in self.probe.feed if publication.channel == channel]


@asynccontextmanager
async def node(url: str, **options: object) -> AsyncIterator[Node]:
    each = Node(url, **options)
    await each.broker.start(each.probe)
    try:
        yield each
    finally:
        await each.broker.stop()
