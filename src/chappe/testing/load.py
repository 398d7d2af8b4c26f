"""Clients that publish and follow while things go wrong, and the journals of what they saw."""

import asyncio
import itertools
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from chappe.client.client import Client, connect
from chappe.client.inbox import Missed, Resubscribed
from chappe.client.messages import Publication
from chappe.client.subscription import Subscription
from chappe.model.errors import ChappeError
from chappe.testing.checker.journal import (
    Ack,
    Attempt,
    Closed,
    Dropped,
    Event,
    Failed,
    Place,
    Seen,
    Settled,
    Subscribed,
    payload_hash,
)
from chappe.testing.checker.judge import Verdict, verdict

_QUICK: Final = {"reconnect_interval_ms": 20, "reconnect_max_ms": 200}
#: What a refused publisher waits before it goes on.
_REFUSED_S: Final = 0.02
_LOOK_S: Final = 0.01
#: So long everybody gets for one mark of the end before the next is published.
_MARK_S: Final = 2.0


class Follower:
    """Follows a channel with the SDK over every cut, and writes down what the application sees.

    Attributes:
        seen: hashes of the publications that came.
        count: how many that were.
    """

    def __init__(self, client: Client, name: str, channel: str, journal: list[Event]) -> None:
        self.name = name
        self.channel = channel
        self.seen: set[str] = set()
        self.count = 0
        self._client = client
        self._journal = journal
        self._place = Place("", 0)
        self._following: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()

    async def start(self) -> None:
        """Subscribe, and return once that is confirmed."""
        subscription = await self._client.subscribe(self.channel)
        position = subscription.position
        assert position is not None, "a pattern has no position to be judged by"
        self._place = Place(position.epoch, position.offset)
        self._subscribed(None, recovered=False)
        self._following = asyncio.create_task(self._follow(subscription))

    async def stop(self) -> None:
        """Follow no longer; the subscription ends with its client."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)

    async def has_seen(self, hashes: set[str]) -> None:
        """Wait until one of these has come."""
        while self.seen.isdisjoint(hashes):
            self._moved.clear()
            await self._moved.wait()

    async def has_counted(self, count: int) -> None:
        """Wait until so many have come."""
        while self.count < count:
            self._moved.clear()
            await self._moved.wait()

    def settle(self) -> None:
        """Write down that everything acknowledged so far had time to arrive."""
        self._journal.append(Settled(channel=self.channel, time=time.time(), subscriber=self.name))

    async def _follow(self, subscription: Subscription) -> None:
        async for item in subscription.items():
            now = time.time()
            if isinstance(item, Publication):
                assert item.epoch is not None
                assert item.offset is not None
                self._place = Place(item.epoch, item.offset)
                seen = Seen(
                    channel=self.channel,
                    time=now,
                    subscriber=self.name,
                    epoch=item.epoch,
                    offset=item.offset,
                    hash=payload_hash(item.payload),
                )
                self._journal.append(seen)
                self.seen.add(seen.hash)
                self.count += 1
                self._moved.set()
            elif isinstance(item, Resubscribed):
                assert item.position is not None
                since = self._place
                self._place = Place(item.position.epoch, item.position.offset)
                self._journal.append(Closed(channel=self.channel, time=now, subscriber=self.name))
                self._subscribed(since, recovered=item.recovered)
            elif isinstance(item, Missed):
                self._journal.append(Dropped(channel=self.channel, time=now, subscriber=self.name))

    def _subscribed(self, since: Place | None, *, recovered: bool) -> None:
        self._journal.append(
            Subscribed(
                channel=self.channel,
                time=time.time(),
                subscriber=self.name,
                epoch=self._place.epoch,
                offset=self._place.offset,
                since=since,
                recovered=recovered,
            )
        )


class Publisher:
    """Publishes one after the other, each with a key; writes down each attempt before it is made, and its answer.

    Attributes:
        acknowledged: how many were.
    """

    def __init__(self, client: Client, name: str, journal: list[Event]) -> None:
        self.acknowledged = 0
        self._client = client
        self._name = name
        self._journal = journal
        self._numbers = itertools.count(1)

    async def run(self, channels: Sequence[str], stop: asyncio.Event, pause_s: float) -> None:
        """Publish in turn to these channels until told to stop."""
        for channel in itertools.cycle(channels):
            if stop.is_set():
                return
            _, stored = await self.publish(channel)
            await asyncio.sleep(pause_s if stored else _REFUSED_S)

    async def publish(self, channel: str) -> tuple[str, bool]:
        """Publish once; return its hash and whether it was acknowledged."""
        number = next(self._numbers)
        text = f"{self._name} {number}"
        hashed = payload_hash(text.encode())
        where = {"channel": channel, "publisher": self._name, "attempt": number}
        self._journal.append(Attempt(time=time.time(), hash=hashed, key=text, **where))  # type: ignore[arg-type]
        try:
            result = await self._client.publish(channel, text, key=text)
        except ChappeError:
            # Without a code, since the SDK may have repeated it: the fate of an earlier attempt is unknown.
            self._journal.append(Failed(time=time.time(), **where))  # type: ignore[arg-type]
            return hashed, False
        self.acknowledged += 1
        self._journal.append(
            Ack(time=time.time(), epoch=result.epoch, offset=result.offset, **where)  # type: ignore[arg-type]
        )
        return hashed, True


class Load:
    """Publishers and followers on some hubs, from the beginning of the block to its end.

    Clients are spread over the hubs in turn. Break something within the block, then call `finish`.

    Attributes:
        events: the journals of all, as the offline checker reads them.
        followers: one for each following client and channel.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        channels: Sequence[str] = ("load/a", "load/b"),
        followers: int = 3,
        publishers: int = 2,
        token: str | None = None,
        pause_s: float = 0.0,
    ) -> None:
        """Take what the load shall be like.

        Args:
            urls: of the hubs, `ws://HOST:PORT/ws`.
            channels: kept ones, to which everybody may publish and subscribe.
            followers: clients that follow every channel.
            publishers: clients that publish to every channel, with keys; these are a user's: without a token a key ends
                with its session.
            token: of all clients.
            pause_s: what a publisher waits after each acknowledgement.
        """
        self.events: list[Event] = []
        self.followers: list[Follower] = []
        self._channels = channels
        self._pause_s = pause_s
        hubs = itertools.cycle(urls)
        self._clients = [connect(next(hubs), token=token, retry_first=True, **_QUICK) for _ in range(followers)]  # type: ignore[arg-type]
        self._speakers = [connect(next(hubs), token=token, retry_first=True, **_QUICK) for _ in range(publishers)]  # type: ignore[arg-type]
        self._stop = asyncio.Event()
        self._publishers: list[Publisher] = []
        self._publishing: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        for client in (*self._clients, *self._speakers):
            await client
        for number, client in enumerate(self._clients):
            for channel in self._channels:
                self.followers.append(Follower(client, f"follower {number}", channel, self.events))
                await self.followers[-1].start()
        for number, client in enumerate(self._speakers):
            self._publishers.append(Publisher(client, f"publisher {number}", self.events))
            work = self._publishers[-1].run(self._channels, self._stop, self._pause_s)
            self._publishing.append(asyncio.create_task(work))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._publishing:
            task.cancel()
        await asyncio.gather(*self._publishing, return_exceptions=True)
        for follower in self.followers:
            await follower.stop()
        for client in (*self._clients, *self._speakers):
            await client.close()

    @property
    def acknowledged(self) -> int:
        """How many publications were acknowledged so far."""
        return sum(publisher.acknowledged for publisher in self._publishers)

    async def goes_on(self, count: int = 5) -> None:
        """Wait until so many more publications are acknowledged and every follower has seen one attempted from now on.

        What was on its way before does not count: it may have come over a connection that is being cut.
        """
        acknowledged = self.acknowledged + count
        looked_at = len(self.events)
        attempted: dict[str, set[str]] = {channel: set() for channel in self._channels}
        behind = list(self.followers)
        while behind or self.acknowledged < acknowledged:
            self._look()
            await asyncio.sleep(_LOOK_S)
            for event in self.events[looked_at:]:
                if isinstance(event, Attempt):
                    attempted[event.channel].add(event.hash)
            looked_at = len(self.events)
            behind = [follower for follower in behind if follower.seen.isdisjoint(attempted[follower.channel])]

    async def finish(self, patience_s: float = 30.0) -> Verdict:
        """End the load, wait until everybody has seen a last publication, and judge.

        Who has not seen it after `patience_s` has lost it; the verdict says so.
        """
        self._look()
        self._stop.set()
        await asyncio.wait(self._publishing)
        last = Publisher(self._speakers[0], "the end", self.events)
        marks: dict[str, set[str]] = {channel: set() for channel in self._channels}
        deadline = time.monotonic() + patience_s
        waiting = True
        while waiting and time.monotonic() < deadline:
            for channel, hashes in marks.items():
                hashed, stored = await last.publish(channel)
                if stored:
                    hashes.add(hashed)
            waiting = not await self._all_have_seen(marks)
        for follower in self.followers:
            follower.settle()
        return verdict(self.events)

    async def _all_have_seen(self, marks: dict[str, set[str]]) -> bool:
        waits = [follower.has_seen(marks[follower.channel]) for follower in self.followers]
        try:
            async with asyncio.timeout(_MARK_S):
                await asyncio.gather(*waits)
        except TimeoutError:
            return False
        return True

    def _look(self) -> None:
        """Raise what ended a publisher, if anything did: no more load is no load."""
        for task in self._publishing:
            if task.done():
                task.result()
