"""Attacks over time: each goes on for a while, beside healthy clients whose every answer is timed.

As a program (`make attacks`) it writes benchmarks/ATTACKS.md. Hub, attacker and healthy clients are a process each; the
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
#: Between two questions of a healthy client: it stays below the rate of a session.
_PACE_S: Final = 0.025
#: Healthy clients. A 99th percentile needs thousands of answers: of a few hundred, two late ones would be it.
_CLIENTS: Final = 10
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
    """What healthy clients noticed of an attack.

    Attributes:
        strikes: how often the attacker struck.
        quiet_s, during_s: from each question to its answer, without and with the attack, sorted.
        grown_bytes: the most that the hub grew.
    """

    name: str
    strikes: int
    quiet_s: list[float]
    during_s: list[float]
    grown_bytes: int

    @property
    def ratio(self) -> float:
        """Return how much longer the 99th percentile became."""
        return percentile(self.during_s, 0.99) / (percentile(self.quiet_s, 0.99) or 1.0)

    @property
    def kept(self) -> bool:
        """Whether that is within what is demanded."""
        return self.ratio <= MOST_RATIO and self.grown_bytes <= MOST_BYTES


async def attack(name: str, connections: int, seconds: float, rounds: int = 1) -> Outcome:
    """Measure healthy clients without and with an attack, in turns: the machine changes from minute to minute."""
    quiet_s: list[float] = []
    during_s: list[float] = []
    strikes = 0
    async with program("serving", "memory://", 0, json.dumps(LIMITS)) as (hub, port):
        process = psutil.Process(hub.pid)
        _apart(process, 0)
        async with contextlib.AsyncExitStack() as stack:
            url = f"ws://127.0.0.1:{port}/ws"
            clients = [await stack.enter_async_context(websockets.connect(url, proxy=None)) for _ in range(_CLIENTS)]
            # What is done for the first time takes longer.
            await ask(clients, 0.5)
            resting = process.memory_info().rss
            async with peak(process) as most:
                for _ in range(rounds):
                    quiet_s += await ask(clients, seconds)
                    async with program("attacking", name, port, connections) as (attacker, _):
                        # On a core with the healthy clients it runs when they do not: their answers are what is timed.
                        os.sched_setscheduler(attacker.pid, os.SCHED_IDLE, os.sched_param(0))
                        _apart(psutil.Process(attacker.pid), 1)
                        during_s += await ask(clients, seconds)
                    assert attacker.stdout is not None
                    strikes += int(await attacker.stdout.readline())
    return Outcome(
        name=name,
        strikes=strikes,
        quiet_s=sorted(quiet_s),
        during_s=sorted(during_s),
        grown_bytes=max(most) - resting,
    )


def _apart(process: psutil.Process, core: int) -> None:
    """Keep a process on a core: the hub has one to itself, as if all others were on other machines."""
    cores = sorted(os.sched_getaffinity(0))
    if core < len(cores):
        process.cpu_affinity([cores[core]])


async def ask(clients: Sequence[websockets.ClientConnection], seconds: float) -> list[float]:
    """Ask at an even pace, whatever the answers take; return from when each was due to its answer."""
    # Not the loop's time, which knows whole milliseconds.
    begin, step_s = time.perf_counter(), _PACE_S / len(clients)
    took = await asyncio.gather(*(_ask(each, begin + n * step_s, seconds) for n, each in enumerate(clients)))
    return [each for one in took for each in one]


async def _ask(client: websockets.ClientConnection, begin: float, seconds: float) -> list[float]:
    count = int(seconds / _PACE_S)
    took: list[float] = []

    async def put() -> None:
        for number in range(count):
            await asyncio.sleep(begin + number * _PACE_S - time.perf_counter())
            asked.append(time.perf_counter())
            await client.send(json.dumps({"type": "ping", "id": number}))

    asked: list[float] = []
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


def report(found: Sequence[Outcome], connections: int, seconds: float, rounds: int) -> str:
    """Return benchmarks/ATTACKS.md."""
    lines = [
        "# What attacks do to others",
        "",
        "Written by `make attacks`.",
        "",
        f"Each attack goes on for {seconds:g} s, {rounds} times with as long a quiet time before each, with",
        f"{connections} connections at a time; an address may have {LIMITS['limits.connections_per_address']}. Beside",
        f"it {_CLIENTS} healthy clients ask {1 / _PACE_S:g} times a second each; times are from question to answer.",
        "The hub has one core; attacker and clients share the other, where the clients come first (SCHED_FIFO), as if",
        "they were on other machines.",
        "",
        f"{datetime.datetime.now(tz=datetime.UTC).date()}, {describe()}, chappe {version('chappe')}.",
        "",
        "| attack | strikes | p50 quiet ms | attacked | p99 quiet ms | attacked | ratio | hub grew by MB | |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for each in found:
        times = (percentile(values, q) * 1_000 for q in (0.5, 0.99) for values in (each.quiet_s, each.during_s))
        grown = each.grown_bytes / 1_000_000
        lines.append(
            f"| {each.name.replace('_', ' ')} | {each.strikes:,} | {' | '.join(f'{time:.2f}' for time in times)} "
            f"| {each.ratio:.2f} | {grown:.1f} | {'kept' if each.kept else '**missed**'} |"
        )
    demanded = f"p99 within {MOST_RATIO - 1:.0%}, memory within {MOST_BYTES / 1_000_000:g} MB"
    return "\n".join([*lines, "", f"Demanded: {demanded}; no answer lost, which the client asserts.", ""])


async def run(names: Sequence[str], connections: int, seconds: float, rounds: int) -> list[Outcome]:
    """Attack in every way named, one after the other."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    _apart(psutil.Process(), 1)
    return [await attack(name, connections, seconds, rounds) for name in names]


def main() -> int:
    """Run it and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=90)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=sorted(ATTACKS), action="append")
    parser.add_argument("--print", action="store_true", help="print the report and write no file")
    options = parser.parse_args()
    found = uvloop.run(run(options.only or list(ATTACKS), options.connections, options.seconds, options.rounds))
    text = report(found, options.connections, options.seconds, options.rounds)
    print(text)
    if not options.print:
        REPORT.write_text(text, encoding="utf-8")
    return 0 if all(each.kept for each in found) else 1


if __name__ == "__main__":
    sys.exit(main())
