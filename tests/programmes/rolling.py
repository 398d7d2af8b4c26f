"""Rolling restarts: two nodes behind one port are replaced one after the other, while a fleet publishes and follows."""

import asyncio
import os
import signal
import tempfile
from pathlib import Path
from typing import Final

import psutil

from chappe.testing.checker import Verdict
from chappe.testing.checker.journal import Event, Subscribed
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


async def roll(name: str, restarts: int, *, followers: int = 4, publishers: int = 3) -> tuple[Verdict, list[Event]]:
    """Restart two nodes on an engine so often under a fleet; return the verdict and what everybody saw."""
    with tempfile.TemporaryDirectory() as folder:
        async with shared_engine(name) as engine:
            settings, token = configured(Path(folder), engine.url, "durable")
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


async def result(name: str, restarts: int) -> Result:
    """Return what rolling restarts came to."""
    judged, events = await roll(name, restarts, followers=20, publishers=10)
    again, recovered = came_back(events)
    lost = missed(events)
    said = f"{judged}; {again} subscriptions made again, {recovered} recovered, {lost} publications missed"
    return Result(
        part=f"rolling-{name}",
        done=f"rolling restart of two nodes on {name} under a fleet of 30 clients",
        times=f"{restarts} restarts of both",
        verdict=said,
        kept=judged.clean and not lost and again == recovered,
    )
