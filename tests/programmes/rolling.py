"""Rolling restarts: two nodes behind one port are replaced one after the other, while a fleet publishes and follows.

The fleet is a user's, or nobody's: anonymous clients are known by the handles that their nodes leave to one another.
"""

import asyncio
import os
import signal
import tempfile
from pathlib import Path
from typing import Final

import psutil

from chappe.testing.checker import Verdict
from chappe.testing.checker.journal import Event, Failed, Subscribed
from chappe.testing.hub_process import HubProcess
from chappe.testing.load import Load
from tests.programmes.engines import shared_engine
from tests.programmes.kills import configured, missed
from tests.programmes.result import Result

NODES: Final = 2
_PATIENCE_S: Final = 60.0
_LOOK_S: Final = 0.05


def nodes(hub: HubProcess) -> set[int]:
    """Return the processes that serve."""
    return {child.pid for child in psutil.Process(hub.pid).children()}


async def restart(hub: HubProcess) -> None:
    """Ask for a rolling restart and wait until every node is another process.

    Raises:
        TimeoutError: they are not after a minute.
    """
    before = nodes(hub)
    os.kill(hub.pid, signal.SIGHUP)
    async with asyncio.timeout(_PATIENCE_S):
        while (now := nodes(hub)) & before or len(now) != NODES:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(_LOOK_S)


async def roll(
    name: str, restarts: int, *, followers: int = 4, publishers: int = 3, anonymous: bool = False
) -> tuple[Verdict, list[Event]]:
    """Restart two nodes on an engine so often under a fleet; return the verdict and what everybody saw."""
    with tempfile.TemporaryDirectory() as folder:
        async with shared_engine(name) as engine:
            settings, a_token = configured(Path(folder), engine.url, "durable", anonymous=anonymous)
            token = None if anonymous else a_token
            options = ("--config", str(settings), "--workers", str(NODES))
            async with HubProcess(*options) as hub, asyncio.timeout(_PATIENCE_S * (restarts + 1)):
                while len(nodes(hub)) != NODES:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(_LOOK_S)
                fleet = Load([hub.url], followers=followers, publishers=publishers, token=token, pause_s=0.005)
                async with fleet as load:
                    for _ in range(restarts):
                        await load.goes_on()
                        await restart(hub)
                    await load.goes_on()
                    judged = await load.finish()
                await hub.stop()
                return judged, load.events


def came_back(events: list[Event]) -> tuple[int, int]:
    """Return how many subscriptions were made again, and how many of them recovered everything."""
    again = [event for event in events if isinstance(event, Subscribed) and event.since is not None]
    return len(again), sum(event.recovered for event in again)


def unconfirmed(events: list[Event]) -> int:
    """Return how many publications failed, or were of unknown fate to who made them."""
    return sum(isinstance(event, Failed) for event in events)


async def result(name: str, restarts: int) -> Result:
    """Return what rolling restarts came to, half of them under anonymous clients."""
    said: list[str] = []
    kept = True
    for who, anonymous, times in (("users", False, restarts - restarts // 2), ("anonymous", True, restarts // 2)):
        if not times:
            continue
        judged, events = await roll(name, times, followers=20, publishers=10, anonymous=anonymous)
        again, recovered = came_back(events)
        lost, unknown = missed(events), unconfirmed(events)
        kept = kept and judged.clean and not lost and not unknown and again == recovered
        said.append(
            f"{who}: {judged}; {again} subscriptions made again, {recovered} recovered, {lost} publications missed, "
            f"{unknown} unconfirmed"
        )
    return Result(
        part=f"rolling-{name}",
        done=f"rolling restart of two nodes on {name} under a fleet of 30 clients, half of the time anonymous ones",
        times=f"{restarts} restarts of both",
        verdict="; ".join(said),
        kept=kept,
    )
