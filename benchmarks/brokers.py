"""Measure how many publications a second each broker stores, without a hub.

    python benchmarks/brokers.py                 a directory of the system for temporary files
    python benchmarks/brokers.py --folder /srv   where the disk is that counts

Redis and NATS run on this machine and share its cores; `durable` on NATS is `sync_interval: always`.

A window of appends waits for its outcomes at any time, as many publishers would keep it. 64 bytes each, 100 channels.
"""

import argparse
import asyncio
import contextlib
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from chappe.brokers.memory import MemoryBroker
from chappe.brokers.nats.local import LocalNats
from chappe.brokers.sqlite import SqliteBroker
from chappe.config import make_broker
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


def own(folder: Path, window: int) -> Iterator[tuple[str, Broker, Level]]:
    """Yield the brokers of this process; files are in a folder, which is empty."""
    clock = LoopClock()
    yield "memory", MemoryBroker(clock, os.urandom), Level.RECOVERABLE
    yield "sqlite, recoverable", SqliteBroker(clock, os.urandom, folder / f"{window}n.db"), Level.RECOVERABLE
    yield "sqlite, durable (fsync)", SqliteBroker(clock, os.urandom, folder / f"{window}d.db"), Level.DURABLE


@contextlib.contextmanager
def redis() -> Iterator[str]:
    """Run a Redis of one's own; yield its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            while process.poll() is None:
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                time.sleep(0.01)
            yield f"redis://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


async def table(folder: Path, seconds: float, windows: Sequence[int] = WINDOWS) -> list[list[str]]:
    """Measure each broker with each window; return a row for each, and print it."""
    clock = LoopClock()
    rows: list[list[str]] = []

    async def add(name: str, broker: Broker, level: Level, window: int) -> None:
        figure = await measure(broker, level, window, seconds)
        rows.append([name, f"{window:,}", f"{figure:,.0f}"])
        print(f"{name:<34}{window:>6} waiting{figure:>12,.0f} /s", flush=True)

    for window in windows:
        for name, broker, level in own(folder, window):
            await add(name, broker, level, window)
        with redis() as url:
            await add("redis, recoverable", make_broker(url, clock, os.urandom), Level.RECOVERABLE, window)
        for sync, level, name in (
            ("2m", Level.RECOVERABLE, "recoverable"),
            ("always", Level.DURABLE, "durable (fsync)"),
        ):
            server = LocalNats(sync=sync)
            await server.start()
            try:
                await add(f"nats, {name}", make_broker(server.url, clock, os.urandom), level, window)
            finally:
                await server.stop()
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as place:
        asyncio.run(table(Path(place), arguments.seconds))
