"""Avalanche: a hub with thousands of clients is killed, and all of them come back to it at once, each behind.

The hub is on Redis. It is frozen, another one publishes to every channel, and then it is killed and started again as a
service manager would do it: each client has something to recover. Clients wait before they dial as the SDKs do by
default. The engine counts how often its history was read.
"""

import asyncio
import math
import os
import signal
import time
from dataclasses import dataclass
from typing import Final

import chappe
from chappe.client.reconnection import ReconnectionPolicy
from chappe.testing.checker import Verdict, verdict
from chappe.testing.checker.journal import Event, Settled, Subscribed
from chappe.testing.hub_process import HubProcess
from chappe.testing.load import Publisher
from tests.programmes.engines import RedisServer, hubs, shared_engine
from tests.programmes.light_client import LightClient
from tests.programmes.result import Result

MOST_S: Final = 30.0
MOST_P95_S: Final = 8.0
_AT_ONCE: Final = 100
_AS_SDK: Final = ReconnectionPolicy()
#: Source addresses, so that ports never run out.
_SOURCES: Final = 10
_CLIENTS_PER_CHANNEL: Final = 100


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of it.

    Attributes:
        start_s: from the kill to the first accepted connection.
        back_s: from the kill to the answer to its subscription, of each client that came back, sorted.
        clients, channels: how many there were.
        reads: how often the engine's history was read meanwhile.
        judged: what the checker says.
    """

    start_s: float
    back_s: list[float]
    clients: int
    channels: int
    reads: int
    judged: Verdict

    @property
    def p95_s(self) -> float:
        """Return by when 95 % of all were back; infinity if they never were."""
        number = math.ceil(self.clients * 0.95)
        return self.back_s[number - 1] if number <= len(self.back_s) else math.inf

    @property
    def whole(self) -> bool:
        """Whether everybody came back with all it had missed, and the engine was spared, however long it took."""
        # Each channel is read once, and again only for who was further behind than all that came before.
        spared = self.reads <= 2 * self.channels
        back = len(self.back_s) == self.clients == self.judged.recovered
        return back and self.judged.clean and spared

    @property
    def kept(self) -> bool:
        """Whether that is so, and was in time."""
        return self.whole and self.back_s[-1] <= MOST_S and self.p95_s <= MOST_P95_S


async def run(count: int, policy: ReconnectionPolicy = _AS_SDK, patience_s: float = 2 * MOST_S) -> Outcome:
    """Kill the hub of so many clients once, and wait so long for them; `policy` is what they wait before they dial."""
    journal: list[Event] = []
    channels = [f"load/{number}" for number in range(math.ceil(count / _CLIENTS_PER_CHANNEL))]
    async with (
        shared_engine("redis-memory") as engine,
        hubs("redis-memory", engine.url) as (other,),
        HubProcess(engine.url, program=("tests.programmes.serving",)) as hub,
        chappe.connect(other.ws_url) as speaker,
    ):
        assert isinstance(engine, RedisServer)
        publisher = Publisher(speaker, "publisher", journal)
        clients = [_client(number, hub.port, channels, journal, policy) for number in range(count)]
        try:
            for begin in range(0, count, _AT_ONCE):
                await asyncio.gather(*(client.start() for client in clients[begin : begin + _AT_ONCE]))
            await _publish(publisher, channels)
            await asyncio.to_thread(engine.engine.call, "CONFIG", "RESETSTAT")
            os.kill(hub.pid, signal.SIGSTOP)
            await _publish(publisher, channels)
            killed = time.time()
            await hub.kill()
            await hub.start()
            started = time.time()
            await _complete(clients, patience_s)
            reads = await asyncio.to_thread(_reads, engine)
            now = time.time()
            journal += [
                Settled(subscriber=f"light {number}", channel=channels[number % len(channels)], time=now)
                for number in range(count)
            ]
        finally:
            await asyncio.gather(*(client.stop() for client in clients))
    back: dict[str, float] = {}
    for event in journal:
        if isinstance(event, Subscribed) and event.time > killed:
            back.setdefault(event.subscriber, event.time - killed)
    return Outcome(
        start_s=started - killed,
        back_s=sorted(back.values()),
        clients=count,
        channels=len(channels),
        reads=reads,
        judged=verdict(journal),
    )


def _client(
    number: int, port: int, channels: list[str], journal: list[Event], policy: ReconnectionPolicy
) -> LightClient:
    channel = channels[number % len(channels)]
    source = f"127.0.0.{2 + number % _SOURCES}"
    return LightClient(port, channel, f"light {number}", journal, expected=2, policy=policy, source=source)


async def _publish(publisher: Publisher, channels: list[str]) -> None:
    for channel in channels:
        await publisher.publish(channel)


async def _complete(clients: list[LightClient], patience_s: float) -> None:
    waiting = [asyncio.create_task(client.complete.wait()) for client in clients]
    await asyncio.wait(waiting, timeout=patience_s)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


def _reads(engine: RedisServer) -> int:
    """Return how often a history was read since the statistics began: only that script asks for a list's length."""
    statistics: bytes = engine.engine.call("INFO", "commandstats")
    for line in statistics.decode().splitlines():
        name, _, figures = line.partition(":")
        if name == "cmdstat_llen":
            return int(figures.partition("calls=")[2].partition(",")[0])
    return 0


async def result(count: int) -> Result:
    """Return what an avalanche came to."""
    found = await run(count)
    said = (
        f"{len(found.back_s):,} back, p95 in {found.p95_s:.1f} s, the last in {found.back_s[-1]:.1f} s "
        f"(the hub served again after {found.start_s:.1f} s); "
        f"{found.reads:,} reads of the engine for {found.channels:,} channels; {found.judged}"
    )
    return Result(
        part="avalanche",
        done=f"SIGKILL of a hub with {count:,} clients, each behind when it comes back",
        times="1 restart",
        verdict=said,
        kept=found.kept,
    )
