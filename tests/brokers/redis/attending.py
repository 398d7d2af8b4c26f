"""Brokers that tests hold at both ends."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

from chappe.brokers.redis.address import parse
from chappe.brokers.redis.broker import RedisBroker
from chappe.hub.contracts import Append, Read
from chappe.hub.namespaces import Level, Namespace
from chappe.model.publication import Kind, Publication
from chappe.testing.broker_probe import Probe

KEPT = Namespace(name="kept", level=Level.RECOVERABLE, history_count=1_000, history_age_s=600.0)
LIVE = Namespace(name="live")
PATIENCE_S = 20.0


class AllTold(set[tuple[str, str, int]]):
    """For publications whose outcomes this probe does not see: another hub's, or those of a lost connection."""

    def __contains__(self, place: object) -> bool:
        return True


class Hub:
    """A broker and the probe that stands for its hub."""

    def __init__(self, broker: RedisBroker) -> None:
        self.broker = broker
        self.probe = Probe(broker, asyncio.sleep, PATIENCE_S)

    def fed(self, channel: str) -> list[bytes]:
        """Return the payloads fed so far for a channel."""
        return [each.payload for each in self.probe.feed if each.channel == channel]

    def publications(self, channel: str) -> list[Publication]:
        return [each for each in self.probe.feed if each.channel == channel]

    async def connected(self) -> None:
        """Wait until every server can be asked."""
        await self.probe.until(lambda: not self.broker.problems, "a connection")

    async def disconnected(self) -> None:
        """Wait until it is noticed that a server is gone."""
        await self.probe.until(lambda: self.broker.problems, "the loss of the connection")

    async def quiet(self) -> None:
        """Wait until what was published before is fed here: the answer to a read comes behind it."""
        await self.probe.read(read_of("barrier"))


@contextlib.asynccontextmanager
async def hubs(*urls: str) -> AsyncIterator[list[Hub]]:
    """Start a broker for each URL."""
    started: list[Hub] = []
    try:
        for url in urls:
            hub = Hub(RedisBroker(parse(url), os.urandom))
            if len(urls) > 1:
                hub.probe.told = AllTold()
            await hub.broker.start(hub.probe)
            started.append(hub)
        yield started
    finally:
        for hub in started:
            await hub.broker.stop()


def item(channel: str, payload: bytes = b"1", namespace: Namespace = KEPT, **more: object) -> Append:
    return Append(channel, payload, Kind.JSON, 0, namespace, **more)  # type: ignore[arg-type]


def items(channel: str, *numbers: int) -> list[Append]:
    return [item(channel, b"%d" % number) for number in numbers]


def read_of(channel: str, namespace: Namespace = KEPT, limit: int = 0) -> Read:
    return Read(channel, namespace, None, limit)
