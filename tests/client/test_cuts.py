"""F06 as the product states it: 100 cuts in a row under load lose and double nothing that was acknowledged."""

import asyncio
import itertools
import time
from typing import Any

import pytest

from chappe.app import Hub
from chappe.client.client import Client, connect
from chappe.client.connection import Transport
from chappe.client.inbox import Missed, Resubscribed
from chappe.client.messages import Encoding, Publication
from chappe.client.subscription import Subscription
from chappe.hub.namespaces import Access, Level, Namespace
from chappe.serving import Server
from chappe.testing.checker import payload_hash, verdict
from chappe.testing.checker.journal import Ack, Attempt, Dropped, Event, Place, Seen, Settled, Subscribed
from chappe.testing.fault_proxy import FaultProxy
from tests.client.recorder import Recorder

CHANNEL = "chat/load"
CUTS = 100
OPEN = Namespace(
    name="chat",
    level=Level.RECOVERABLE,
    history_count=100_000,
    history_age_s=3_600,
    subscribe=Access.ANONYMOUS,
    publish=Access.ANONYMOUS,
)
QUICK: Any = {"reconnect_interval_ms": 10, "reconnect_max_ms": 40, "heartbeat_interval_s": 0}


class Load:
    """Publishers and subscribers that write down what they do and see."""

    def __init__(self) -> None:
        self.journal: list[Event] = []
        self.acknowledged: list[str] = []
        self.seen: dict[str, list[str]] = {}
        self.over = False
        self._progress = asyncio.Event()

    async def publish(self, client: Client, name: str) -> None:
        """Publish one after the other until the load is over."""
        for number in itertools.count():
            if self.over:
                return
            data = f"{name} {number}"
            told: dict[str, Any] = {"publisher": name, "attempt": number, "channel": CHANNEL}
            self.journal.append(Attempt(hash=payload_hash(data.encode()), key=data, time=time.time(), **told))
            result = await client.publish(CHANNEL, data, key=data)
            self.journal.append(Ack(epoch=result.epoch, offset=result.offset, time=time.time(), **told))
            self.acknowledged.append(data)
            self._progress.set()

    async def subscribe(self, subscription: Subscription, name: str) -> None:
        """Take everything a subscription has until it ends."""
        seen = self.seen.setdefault(name, [])
        place = subscription.position
        assert place is not None
        self.journal.append(Subscribed(subscriber=name, channel=CHANNEL, epoch=place.epoch, offset=place.offset))
        async for item in subscription.items():
            if isinstance(item, Publication):
                assert item.epoch is not None
                assert item.offset is not None
                seen.append(item.data)
                read = payload_hash(item.payload)
                self.journal.append(
                    Seen(subscriber=name, channel=CHANNEL, epoch=item.epoch, offset=item.offset, hash=read)
                )
            elif isinstance(item, Resubscribed):
                assert item.position is not None
                since = Place(item.position.epoch, item.position.offset)
                self.journal.append(
                    Subscribed(
                        subscriber=name,
                        channel=CHANNEL,
                        epoch=since.epoch,
                        offset=since.offset,
                        since=since,
                        recovered=item.recovered,
                    )
                )
            elif isinstance(item, Missed):
                self.journal.append(Dropped(subscriber=name, channel=CHANNEL))
            self._progress.set()

    async def more(self, count: int) -> None:
        """Wait until so many more publications are acknowledged."""
        target = len(self.acknowledged) + count
        while len(self.acknowledged) < target:
            self._progress.clear()
            await self._progress.wait()

    async def settle(self) -> None:
        """Wait until every subscriber has seen all that was acknowledged."""
        while any(len(seen) < len(self.acknowledged) for seen in self.seen.values()):
            self._progress.clear()
            await self._progress.wait()
        self.journal += [Settled(subscriber=name, channel=CHANNEL, time=time.time()) for name in self.seen]


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("transport", "encoding"), [("websocket", "json"), ("websocket", "msgpack"), ("sse", "json"), ("polling", "json")]
)
async def test_f06_100_cuts_in_a_row_under_load_lose_and_double_nothing_acknowledged(
    transport: Transport, encoding: Encoding
) -> None:
    # All of the load is kept: what a hub forgot is told as a gap, and other tests show that.
    hub = Hub(dev=True, namespaces=[OPEN])
    server = Server(hub, port=0)
    await server.start()
    load = Load()
    try:
        async with FaultProxy("127.0.0.1", server.port) as proxy:
            url = f"ws://127.0.0.1:{proxy.port}/ws"
            options: Any = {"transports": (transport,), "encoding": encoding, **QUICK}
            async with (
                connect(url, **options) as publisher,
                connect(url, **options) as reader,
                connect(url, **options) as slow_reader,
                publisher.subscribe(CHANNEL) as own,
                reader.subscribe(CHANNEL) as quick,
                # So small that it overflows now and then: leaving and coming back loses nothing either.
                slow_reader.subscribe(CHANNEL, queue_size=2) as slow,
            ):
                events = [Recorder(client) for client in (publisher, reader, slow_reader)]
                tasks = [asyncio.create_task(load.publish(publisher, f"p{number}")) for number in range(8)]
                readers = [
                    asyncio.create_task(load.subscribe(subscription, name))
                    for name, subscription in (("own", own), ("quick", quick), ("slow", slow))
                ]
                for number in range(CUTS):
                    # Everybody is back, so that every cut hits everybody; the load never pauses. A poll that is cut
                    # is asked again, and its session goes on.
                    for recorder in events if transport != "polling" else ():
                        await recorder.wait("connected", number)
                    await load.more(5)
                    proxy.reset() if number % 2 else proxy.cut()
                load.over = True
                await asyncio.gather(*tasks)
                await load.settle()
                for subscription in (own, quick, slow):
                    await subscription.unsubscribe()
                await asyncio.gather(*readers)
    finally:
        await server.stop()
    for name, seen in load.seen.items():
        assert sorted(seen) == sorted(load.acknowledged), f"{name} missed or doubled something"
    judged = verdict(load.journal)
    assert judged.clean, str(judged)
    # The last disconnection of each is its own.
    if transport != "polling":
        assert judged.recovered > CUTS
        assert [len(recorder.of("disconnected")) for recorder in events] == [CUTS + 1] * 3
