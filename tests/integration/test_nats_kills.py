"""The NATS server is killed under load again and again; the offline checker judges what publishers and readers saw.

Files survive a kill, so what is promised is: everything acknowledged is in the history afterwards, in order, once, and
feeds that missed something are told so. CHAPPE_NATS_KILLS sets how many kills; `make kills-nats` runs 100.
"""

import asyncio
import os
import random
import time

import pytest

from chappe.hub.contracts import Read
from chappe.hub.namespaces import Level, Namespace
from chappe.testing.checker import payload_hash, verdict
from chappe.testing.checker.journal import Ack, Attempt, Closed, Event, History, Seen, Settled, Subscribed
from tests.brokers.jetstream.server import Node, item, node, running

KILLS = int(os.environ.get("CHAPPE_NATS_KILLS", "3"))
CHANNELS = ("durable/a", "durable/b")
AT_ONCE = 20
#: Keeps all that a run can publish.
DURABLE = Namespace(name="durable", level=Level.DURABLE, history_count=1_000_000, history_age_s=3600.0)


class Publisher:
    """Publishes some at once, each with a key, and again what was not acknowledged."""

    def __init__(self, one: Node, name: str) -> None:
        self.log: list[Event] = []
        self._node = one
        self._name = name
        self._number = 0

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            for channel in CHANNELS:
                await self._publish(channel)
            await asyncio.sleep(0.02 if self._node.broker.is_connected else 0.05)

    async def _publish(self, channel: str) -> None:
        made = [self._attempt(channel) for _ in range(AT_ONCE)]
        pending = [
            self._node.probe.append_later(item(channel, attempt.key.encode(), DURABLE, key=attempt.key))
            for attempt in made
            if attempt.key
        ]
        await self._node.until(lambda: all(each.outcomes for each in pending), "the outcomes of a batch")
        for attempt, each in zip(made, pending, strict=True):
            assert each.outcomes
            outcome = each.outcomes[0]
            if outcome.error == 0:
                ack = Ack(
                    channel=channel,
                    time=time.time(),
                    publisher=self._name,
                    attempt=attempt.attempt,
                    epoch=outcome.position.epoch,
                    offset=outcome.position.offset,
                )
                self.log.append(ack)

    def _attempt(self, channel: str) -> Attempt:
        self._number += 1
        key = f"{self._name}-{self._number}"
        attempt = Attempt(
            channel=channel,
            time=time.time(),
            publisher=self._name,
            attempt=self._number,
            hash=payload_hash(key.encode()),
            key=key,
        )
        self.log.append(attempt)
        return attempt


async def subscribe(one: Node, name: str, log: list[Event]) -> None:
    """Begin to follow every channel from where it is, as a hub does after each interruption."""
    del one.probe.feed[:]
    for channel in CHANNELS:
        result = await one.probe.read(Read(channel, DURABLE))
        if result.error:
            continue
        after = result.position.offset
        log.append(
            Subscribed(channel=channel, time=time.time(), subscriber=name, epoch=result.position.epoch, offset=after)
        )


def places(log: list[Event]) -> dict[str, int]:
    """Return where the last subscriptions began."""
    return {each.channel: each.offset for each in log[-len(CHANNELS) :] if isinstance(each, Subscribed)}


async def read_all(one: Node, channel: str) -> History:
    result = await one.probe.read(Read(channel, DURABLE, limit=1_000_000))
    return History(
        channel=channel,
        time=time.time(),
        reader="auditor",
        epoch=result.position.epoch,
        since=0,
        offset=result.position.offset,
        publications=tuple((each.offset, payload_hash(each.payload)) for each in result.publications),
    )


def seen(one: Node, name: str, since: dict[str, int]) -> list[Event]:
    return [
        Seen(
            channel=each.channel,
            time=time.time(),
            subscriber=name,
            epoch=each.epoch,
            offset=each.offset,
            hash=payload_hash(each.payload),
        )
        for each in one.probe.feed
        if each.offset > since[each.channel]
    ]


@pytest.mark.slow
@pytest.mark.timeout(60 + KILLS * 10)
async def test_no_kill_of_the_server_loses_what_it_acknowledged() -> None:
    chance = random.Random(20261126)
    followed: list[Event] = []
    async with running() as server, node(server.url) as one, node(server.url) as other:
        nodes = (one, other)
        for each in nodes:
            each.hears_others()
            for channel in CHANNELS:
                each.broker.attach(channel)
        publishers = [Publisher(each, f"publisher-{index}") for index, each in enumerate(nodes)]
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            working = [group.create_task(each.run(stop)) for each in publishers]
            for turn in range(KILLS):
                name = f"follower-{turn}"
                await subscribe(other, name, followed)
                since = places(followed)
                await asyncio.sleep(chance.uniform(0.1, 0.6))
                for each in nodes:
                    each.probe.interruptions.clear()
                await server.kill()
                followed += seen(other, name, since)
                followed += [Closed(channel=channel, time=time.time(), subscriber=name) for channel in CHANNELS]
                await server.start()
                for each in nodes:
                    await each.until_up()
            stop.set()
            await asyncio.wait(working)
        name = "follower-at-the-end"
        await subscribe(other, name, followed)
        since = places(followed)
        for channel in CHANNELS:
            await one.probe.store(item(channel, b"the last", DURABLE))
        await other.until(lambda: {each.channel for each in other.probe.feed} == set(CHANNELS), "the last of each")
        followed += seen(other, name, since)
        followed += [Settled(channel=channel, time=time.time(), subscriber=name) for channel in CHANNELS]
        history: list[Event] = [await read_all(one, channel) for channel in CHANNELS]
    last = [
        Attempt(channel=channel, time=0, publisher="the end", attempt=number, hash=payload_hash(b"the last"))
        for number, channel in enumerate(CHANNELS)
    ]
    events = [*(event for each in publishers for event in each.log), *followed, *history, *last]
    result = verdict(events)
    assert result.clean, f"{result}\n" + "\n".join(map(str, result.findings[:10]))
    acknowledged = {(each.channel, each.offset) for each in events if isinstance(each, Ack)}
    stored = {
        (each.channel, offset) for each in history if isinstance(each, History) for offset, _ in each.publications
    }
    assert len(acknowledged) > 100
    assert acknowledged <= stored
