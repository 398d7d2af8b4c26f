"""A broker on a file of its own, and what a killed process leaves of it."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from chappe.brokers.sqlite import SqliteBroker
from chappe.hub.contracts import Append
from chappe.hub.namespaces import Level, Namespace
from chappe.model.publication import Kind
from chappe.testing.broker_probe import Probe
from chappe.testing.fake_clock import FakeClock
from chappe.transports.event_loop import LoopClock

DURABLE = Namespace(name="durable", level=Level.DURABLE, history_count=100, history_age_s=3600.0)
KEPT = Namespace(name="kept", level=Level.RECOVERABLE, history_count=100, history_age_s=3600.0)
LIVE = Namespace(name="live")
#: Behind the name of the database.
PARTS = ("", "-wal", "-witness")


def content(path: Path, part: str = "") -> bytes:
    return Path(f"{path}{part}").read_bytes()


class SlowClock(FakeClock):
    """A fake clock that stands still while somebody waits for a thread, and is moved by longer pauses."""

    async def sleep(self, seconds: float) -> None:
        if seconds > 0.1:
            self.advance(seconds)
        await asyncio.sleep(min(seconds, 0.005))


class World:
    """A started broker and its probe."""

    def __init__(self, path: Path, clock: Any = None, **options: Any) -> None:
        self.path = path
        self.clock = clock or LoopClock()
        self.broker = SqliteBroker(self.clock, os.urandom, path, **options)
        # Threads take their time, whatever the clock says.
        self.probe = Probe(self.broker, asyncio.sleep, 10.0)

    def image(self, folder: Path) -> Path:
        """Copy what a process killed now would leave."""
        folder.mkdir(parents=True, exist_ok=True)
        for part in PARTS:
            source = Path(f"{self.path}{part}")
            if source.exists():
                shutil.copy(source, folder / source.name)
        return folder / self.path.name


@contextlib.asynccontextmanager
async def running(path: Path, clock: Any = None, **options: Any) -> AsyncIterator[World]:
    world = World(path, clock, **options)
    await world.broker.start(world.probe)
    try:
        yield world
    finally:
        await world.broker.stop()


def item(channel: str, payload: bytes = b"1", namespace: Namespace = DURABLE, **more: Any) -> Append:
    return Append(channel, payload, Kind.JSON, 0, namespace, **more)
