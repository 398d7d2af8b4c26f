"""Measure how many publications a second each broker of this process stores, without a hub.

    python benchmarks/brokers.py                 a directory of the system for temporary files
    python benchmarks/brokers.py --folder /srv   where the disk is that counts

A window of appends waits for its outcomes at any time, as many publishers would keep it. 64 bytes each, 100 channels.
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from chappe.brokers.memory import MemoryBroker
from chappe.brokers.sqlite import SqliteBroker
from chappe.hub.contracts import Append, Broker, Outcome
from chappe.hub.namespaces import Level, Namespace
from chappe.model.publication import Kind, Publication
from chappe.transports.event_loop import LoopClock

CHANNELS = 100
WINDOWS = (1, 64, 1_000)


class Sink:
    """Takes the feed."""

    def published(self, batch: Sequence[Publication]) -> None:
        """Forget it."""

    def interrupted(self, channels: Sequence[str] | None) -> None:
        """Nothing is attached."""


async def measure(broker: Broker, level: Level, window: int, seconds: float) -> float:
    """Return publications a second."""
    namespace = Namespace(name="bench", level=level, history_count=100, history_age_s=600.0)
    items = [Append(f"bench/{number}", b'"' + b"x" * 62 + b'"', Kind.JSON, 0, namespace) for number in range(CHANNELS)]
    await broker.start(Sink())
    stored = 0
    end = time.perf_counter() + seconds
    idle = asyncio.Event()
    waiting = 0

    def done(outcomes: Sequence[Outcome]) -> None:
        nonlocal stored, waiting
        assert outcomes[0].error == 0
        stored += 1
        waiting -= 1
        idle.set()

    began = time.perf_counter()
    while time.perf_counter() < end:
        while waiting < window:
            waiting += 1
            broker.append((items[stored % CHANNELS],), done)
            if time.perf_counter() >= end:
                break
        idle.clear()
        if waiting:
            await idle.wait()
        else:
            await asyncio.sleep(0)
    while waiting:
        idle.clear()
        await idle.wait()
    elapsed = time.perf_counter() - began
    await broker.stop()
    return stored / elapsed


async def main(folder: Path, seconds: float) -> None:
    """Print a row for each broker and window."""
    clock = LoopClock()
    for window in WINDOWS:
        rows: list[tuple[str, Broker, Level]] = [
            ("memory", MemoryBroker(clock, os.urandom), Level.RECOVERABLE),
            ("sqlite, recoverable", SqliteBroker(clock, os.urandom, folder / f"{window}n.db"), Level.RECOVERABLE),
            ("sqlite, durable (fsync)", SqliteBroker(clock, os.urandom, folder / f"{window}d.db"), Level.DURABLE),
        ]
        for name, broker, level in rows:
            figure = await measure(broker, level, window, seconds)
            print(f"{name:<28}{window:>6} waiting{figure:>12,.0f} /s", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as place:
        asyncio.run(main(Path(place), arguments.seconds))
