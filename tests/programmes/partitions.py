"""Partitions between one of two hubs and their engine, losses of what an engine keeps, and failovers, under load.

While a hub cannot reach its engine it must say so: publishing at it fails, `/readyz` answers 503, and nothing it
acknowledged may be missing afterwards. Clients stay connected all the time.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Final

import httpx

import chappe
from chappe.model.errors import ChappeError
from chappe.testing.checker import Verdict
from chappe.testing.checker.journal import Ack, Attempt, Event, Failed
from chappe.testing.load import Load
from chappe.testing.partition_programme import Partition, PartitionProgramme
from tests.brokers.redis.test_topology import replicates, sentinel_knows_a_replica, until, watched_pair
from tests.programmes.engines import behind, hubs, shared_engine
from tests.programmes.result import Result

_PATIENCE_S: Final = 30.0
_LOOK_S: Final = 0.05
#: The publisher of the hub that is cut off: clients are spread over the two hubs in turn, and three of them follow.
CUT_OFF: Final = "publisher 0"
#: So many refusals at the hub that is cut off are waited for.
_REFUSALS: Final = 3


class Window:
    """What the hub that is cut off answered while it knew that it was."""

    def __init__(self) -> None:
        self.acks = 0
        self.refusals = 0

    def count(self, events: Sequence[Event]) -> None:
        """Count the answers to what was attempted in this part of a journal."""
        asked = {event.attempt for event in events if isinstance(event, Attempt) and event.publisher == CUT_OFF}
        for event in events:
            if isinstance(event, Ack | Failed) and event.publisher == CUT_OFF and event.attempt in asked:
                self.acks += isinstance(event, Ack)
                self.refusals += isinstance(event, Failed)


async def readiness(client: httpx.AsyncClient, url: str, wanted: bool) -> None:
    """Wait until a hub says that it is ready, or that it is not.

    Raises:
        TimeoutError: it did not in 30 s.
    """
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            # A connection that was idle for long may be closed at this very moment.
            with contextlib.suppress(httpx.TransportError):
                if ((await client.get(f"{url}/readyz")).status_code == 200) is wanted:
                    return
            await asyncio.sleep(_LOOK_S)


@contextlib.asynccontextmanager
async def ready(client: httpx.AsyncClient, urls: Sequence[str]) -> AsyncIterator[None]:
    """Begin only when all these hubs reach their engine."""
    for url in urls:
        await readiness(client, url, True)
    yield


async def refused(load: Load, since: int, count: int) -> None:
    """Wait until the hub that is cut off has refused so often."""
    window = Window()
    async with asyncio.timeout(_PATIENCE_S):
        while window.refusals < count:
            await asyncio.sleep(_LOOK_S)
            window = Window()
            window.count(load.events[since:])


async def part_hub_and_engine(
    name: str, rounds: int, kinds: Sequence[Partition] = tuple(Partition)
) -> tuple[Verdict, Window]:
    """Cut one of two hubs off from their engine, in each of these ways so often."""
    window = Window()
    async with (
        shared_engine(name) as engine,
        behind(engine) as (proxy, way),
        hubs(name, engine.url, way) as running,
        httpx.AsyncClient(timeout=_PATIENCE_S) as client,
        ready(client, [hub.url for hub in running]),
        Load([hub.ws_url for hub in running]) as load,
        chappe.connect(running[1].ws_url) as speaker,
    ):
        cut_off = running[1].url

        async def during(kind: Partition) -> None:
            if not kind.is_total:
                await load.goes_on()
                return
            await readiness(client, cut_off, False)
            since = len(load.events)
            await refused(load, since, _REFUSALS)
            window.count(load.events[since:])
            with contextlib.suppress(ChappeError):
                await speaker.publish("live/a", "nowhere")
                window.acks += 1
            await readiness(client, running[0].url, True)

        async def after(_: Partition) -> None:
            await readiness(client, cut_off, True)
            await load.goes_on()

        await PartitionProgramme(proxy, rounds, kinds=kinds).run(during, after)
        return await load.finish(), window


async def lose_everything(name: str, times: int) -> Verdict:
    """Let an engine forget all that it keeps, so often: FLUSHALL, or a purge of every stream."""
    async with (
        shared_engine(name) as engine,
        hubs(name, engine.url, engine.url) as running,
        Load([hub.ws_url for hub in running]) as load,
    ):
        for _ in range(times):
            await load.goes_on()
            await engine.lose()
        await load.goes_on()
        return await load.finish()


async def partition_result(name: str, rounds: int) -> Result:
    """Return what partitions came to."""
    judged, window = await part_hub_and_engine(name, rounds)
    said = f"{judged}; while it was not ready the hub refused {window.refusals} and acknowledged {window.acks}"
    return Result(
        part=f"partitions-{name}",
        done=f"a hub is cut off from {name} under load: {', '.join(Partition)}",
        times=f"{rounds * len(Partition)} partitions",
        verdict=said,
        kept=judged.clean and not window.acks and window.refusals > 0,
    )


async def loss_result(name: str, times: int) -> Result:
    """Return what losses of everything came to."""
    judged = await lose_everything(name, times)
    how = "every stream purged" if name == "nats" else "FLUSHALL"
    return Result(
        part=f"loss-{name}",
        done=f"{how} on {name.partition('-')[0]} under load",
        times=f"{times} times",
        verdict=str(judged),
        kept=judged.clean,
    )


async def fail_over(times: int) -> list[Verdict]:
    """Kill the master of a pair that a sentinel watches, under two hubs; its replica goes on. Each time a new pair."""
    return [await _fail_over_once() for _ in range(times)]


async def _fail_over_once() -> Verdict:
    with watched_pair() as (master, replica, sentinel):
        await until(lambda: replicates(replica) and sentinel_knows_a_replica(sentinel))
        url = f"redis+sentinel://127.0.0.1:{sentinel.port}/hubs?timeout=1"
        async with hubs("redis-memory", url, url) as running, Load([hub.ws_url for hub in running]) as load:
            await load.goes_on()
            await asyncio.to_thread(master.kill)
            await until(lambda: b"role:master" in replica.call("INFO", "replication"))
            await load.goes_on()
            return await load.finish()


async def failover_result(times: int) -> Result:
    """Return what failovers came to."""
    verdicts = await fail_over(times)
    bad = [str(each) for each in verdicts if not each.clean]
    acknowledged = sum(each.acknowledged for each in verdicts)
    return Result(
        part="failover",
        done="SIGKILL of the master of a Redis pair with a sentinel, under two hubs and load",
        times=f"{times} failovers",
        verdict="; ".join(bad) or f"clean each time: {acknowledged} acknowledged in all",
        kept=not bad,
    )
