"""The rows about brokers: two nodes over an engine, and how much each broker stores."""

import asyncio
import contextlib
import dataclasses
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import brokers
from sections import Bench, Demand, Section, at_least, at_most, spread

from chappe.bench.comparison import Spread
from chappe.bench.running import generator_core
from chappe.brokers.nats.local import LocalNats
from chappe.hub.namespaces import Level

TWO_NODES = Path(__file__).with_name("two_nodes.py")


@dataclasses.dataclass(frozen=True)
class Way:
    """Name one way to keep publications, and how many a second it shall spread."""

    name: str
    level: Level
    wanted_per_s: int


WAYS = (
    Way("live over Redis", Level.LIVE, 40_000),
    Way("recoverable over Redis", Level.RECOVERABLE, 20_000),
    Way("durable over JetStream, synced every 2 minutes", Level.DURABLE, 8_000),
    Way("durable over JetStream, synced always", Level.DURABLE, 0),
)


@contextlib.asynccontextmanager
async def engine(way: Way) -> AsyncIterator[str]:
    """Run what a way needs on the core of node B; yield its URL."""
    with generator_core():
        if "Redis" in way.name:
            with brokers.redis() as url:
                yield url
            return
        server = LocalNats(sync="always" if "always" in way.name else "2m")
        await server.start()
        try:
            yield server.url
        finally:
            await server.stop()


def spread_over(url: str, way: Way, seconds: float, rate: float = 0.0) -> dict[str, Any]:
    """Let node A publish and node B count; return what B found."""
    command = [sys.executable, str(TWO_NODES), url, "--json", "--level", way.level.value]
    command += ["--seconds", str(seconds), "--rate", str(rate)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found["interruptions"] == 0, found
    return found


async def two_nodes(bench: Bench) -> Section:
    """Measure each way, unbounded and then at a tenth of what is wanted of it."""
    lines = [["way", "publications/s: median (min-max)", "p50 us at a tenth", "p99 us at a tenth"]]
    demands: list[Demand] = []
    for way in WAYS:
        async with engine(way) as url:
            fastest = Spread.of([spread_over(url, way, bench.seconds)["fed_per_s"] for _ in range(bench.rounds)])
            tenth = spread_over(url, way, bench.seconds, (way.wanted_per_s or fastest.median) / 10)
        print(f"  {way.name}: {fastest.median:,.0f}/s, p50 {tenth['p50_us']:,.0f} us", flush=True)
        lines.append([way.name, spread(fastest), f"{tenth['p50_us']:,.0f}", f"{tenth['p99_us']:,.0f}"])
        if way.wanted_per_s:
            demands.append(at_least(f"publications/s, {way.name}", fastest.median, way.wanted_per_s))
            demands.append(at_most(f"ms p50 at a tenth, {way.name}", tenth["p50_us"] / 1_000, 1.0))
    notes = [
        "Node A publishes 256 bytes on its own core, with 500 unanswered at most; the engine and node B, which counts "
        "what its feed brings, share the other core. Latency is from when a publication was due on A to when B has it."
    ]
    return Section("two nodes over an engine", "publications", [lines], demands, notes)


def p16(bench: Bench) -> Section:
    """Two nodes."""
    return asyncio.run(two_nodes(bench))


def each_broker(bench: Bench) -> Section:
    """What each broker stores, beside memory."""
    rows = asyncio.run(brokers.table(bench.folder, bench.seconds))
    lines = [["broker", "appends that wait", "publications/s"], *rows]
    notes = ["64 bytes, 100 channels, without a hub; Redis and NATS on the same machine. fsync: before each answer."]
    return Section("what each broker stores", "publications", [lines], [], notes)
