"""Attacks over time: each goes on for a while, beside a healthy client whose every answer is timed.

As a program (`make attacks`) it writes benchmarks/ATTACKS.md. Hub, attacker and healthy client are a process each; the
attacker has an address of its own, and the hub its default limits.
"""

import argparse
import asyncio
import contextlib
import datetime
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

import psutil
import uvloop
import websockets

from chappe.bench.machine import describe
from chappe.model.limits import Limits
from tests.programmes.attacking import ATTACKS
from tests.programmes.jitter import percentile, program

ROOT: Final = Path(__file__).resolve().parents[2]
REPORT: Final = ROOT / "benchmarks" / "ATTACKS.md"
MOST_RATIO: Final = 1.2
MOST_BYTES: Final = 50_000_000
#: Between two questions of the healthy client.
_PACE_S: Final = 0.025
#: Default limits of a hub that is no development one; the healthy client's own rate stays below all of them.
LIMITS: Final = {
    # A development hub has no rates.
    "server.dev": False,
    "auth.anonymous": True,
    "limits.connections_per_address": Limits().connections_per_address,
    "server.drain_timeout_s": 0.2,
}
_PATIENCE_S: Final = 20.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a healthy client noticed of an attack.

    Attributes:
        strikes: how often the attacker struck.
        before_s, during_s: from when a question was due to its answer, sorted.
        grown_bytes: the most that the hub grew.
    """

    name: str
    strikes: int
    before_s: list[float]
    during_s: list[float]
    grown_bytes: int

    @property
    def ratio(self) -> float:
        """Return how much longer the 99th percentile became."""
        return percentile(self.during_s, 0.99) / (percentile(self.before_s, 0.99) or 1.0)

    @property
    def kept(self) -> bool:
        """Whether that is within what is demanded."""
        return self.ratio <= MOST_RATIO and self.grown_bytes <= MOST_BYTES


async def attack(name: str, connections: int, seconds: float) -> Outcome:
    """Measure a healthy client before and during an attack."""
    async with program("serving", "memory://", 0, json.dumps(LIMITS)) as (hub, port):
        process = psutil.Process(hub.pid)
        _apart(process, 0)
        async with websockets.connect(f"ws://127.0.0.1:{port}/ws", proxy=None) as client:
            before_s = await ask(client, seconds)
            resting = process.memory_info().rss
            async with peak(process) as most:
                async with program("attacking", name, port, connections) as (attacker, _):
                    # On a core with the healthy client it runs when that does not: its answers are what is timed.
                    os.sched_setscheduler(attacker.pid, os.SCHED_IDLE, os.sched_param(0))
                    _apart(psutil.Process(attacker.pid), 1)
                    during_s = await ask(client, seconds)
                assert attacker.stdout is not None
                strikes = int(await attacker.stdout.readline())
    return Outcome(
        name=name,
        strikes=strikes,
        before_s=sorted(before_s),
        during_s=sorted(during_s),
        grown_bytes=max(most) - resting,
    )


def _apart(process: psutil.Process, core: int) -> None:
    """Keep a process on a core: the hub has one to itself, as if all others were on other machines."""
    cores = sorted(os.sched_getaffinity(0))
    if core < len(cores):
        process.cpu_affinity([cores[core]])


async def ask(client: websockets.ClientConnection, seconds: float) -> list[float]:
    """Ask at an even pace, whatever the answers take; return from when each was due to its answer."""
    # Not the loop's time, which knows whole milliseconds.
    count, begin, took = int(seconds / _PACE_S), time.perf_counter(), []
    asked: list[float] = []

    async def put() -> None:
        for number in range(count):
            await asyncio.sleep(begin + number * _PACE_S - time.perf_counter())
            asked.append(time.perf_counter())
            await client.send(json.dumps({"type": "ping", "id": number}))

    putting = asyncio.create_task(put())
    async with asyncio.timeout(seconds + _PATIENCE_S):
        for number in range(count):
            answer = json.loads(await client.recv())
            assert answer == {"type": "pong", "id": number}, answer
            took.append(time.perf_counter() - asked[number])
    await putting
    return took


@contextlib.asynccontextmanager
async def peak(process: psutil.Process) -> AsyncIterator[list[int]]:
    """Note the memory of a process every tenth of a second until the block ends."""
    found = [process.memory_info().rss]

    async def look() -> None:
        while True:
            await asyncio.sleep(0.1)
            found.append(process.memory_info().rss)

    looking = asyncio.create_task(look())
    try:
        yield found
    finally:
        looking.cancel()
        found.append(process.memory_info().rss)


def report(found: Sequence[Outcome], connections: int, seconds: float) -> str:
    """Return benchmarks/ATTACKS.md."""
    lines = [
        "# What attacks do to others",
        "",
        "Written by `make attacks`.",
        "",
        f"Each attack goes on for {seconds:g} s on {connections} connections at a time, against a hub with a limit of",
        f"{LIMITS['limits.connections_per_address']} connections for an address. Beside it a healthy client asks",
        f"{1 / _PACE_S:g} times a second; times are from when a question was due to its answer.",
        "",
        f"{datetime.datetime.now(tz=datetime.UTC).date()}, {describe()}, chappe {version('chappe')}.",
        "",
        "| attack | strikes | p99 before ms | p99 during ms | ratio | hub grew by MB | |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for each in found:
        before, during = (percentile(values, 0.99) * 1_000 for values in (each.before_s, each.during_s))
        grown = each.grown_bytes / 1_000_000
        lines.append(
            f"| {each.name.replace('_', ' ')} | {each.strikes:,} | {before:.2f} | {during:.2f} | {each.ratio:.2f} "
            f"| {grown:.1f} | {'kept' if each.kept else '**missed**'} |"
        )
    demanded = f"p99 within {MOST_RATIO - 1:.0%}, memory within {MOST_BYTES / 1_000_000:g} MB"
    return "\n".join([*lines, "", f"Demanded: {demanded}; no answer lost, which the client asserts.", ""])


async def run(names: Sequence[str], connections: int, seconds: float) -> list[Outcome]:
    """Attack in every way named, one after the other."""
    return [await attack(name, connections, seconds) for name in names]


def main() -> int:
    """Run it and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=90)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--only", choices=sorted(ATTACKS), action="append")
    parser.add_argument("--print", action="store_true", help="print the report and write no file")
    options = parser.parse_args()
    found = uvloop.run(run(options.only or list(ATTACKS), options.connections, options.seconds))
    text = report(found, options.connections, options.seconds)
    print(text)
    if not options.print:
        REPORT.write_text(text, encoding="utf-8")
    return 0 if all(each.kept for each in found) else 1


if __name__ == "__main__":
    sys.exit(main())
