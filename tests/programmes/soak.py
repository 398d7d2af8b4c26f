"""Soak: a hub for hours under clients that come, go, are cut, publish and poll; does anything in its process grow?

    python -m tests.programmes.soak --minutes 80

Writes soak.csv (a line every ten seconds) and soak.png under benchmarks/soak, and a line of benchmarks/FAULTS.md.
"""

import argparse
import asyncio
import csv
import logging
import math
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec
import uvloop

import chappe
from chappe.client.client import Client
from chappe.model.errors import ChappeError
from chappe.testing.checker.journal import Event
from tests.programmes.faults import order
from tests.programmes.jitter import program
from tests.programmes.light_client import LightClient
from tests.programmes.result import ROOT, Result, keep, measured
from tests.programmes.soaked_hub import Sample

FOLDER: Final = ROOT / "benchmarks" / "soak"
CHANNELS: Final = 200
FIGURES: Final = ("rss_bytes", "descriptors", "tasks", "timers")
#: Most growth in an hour, as a share of the mean.
MOST_PER_H: Final = 0.01
#: Caches, pools and histories fill in the beginning, which is left out.
_WARM_UP: Final = 0.2
_AT_ONCE: Final = 50
#: More changes than this under way at once are skipped, and counted: then the machine is the limit.
_MOST_UNDER_WAY: Final = 200


@dataclass(frozen=True, kw_only=True)
class Soak:
    """What is done; the defaults are what the report tells.

    Attributes:
        every_s: a sample is taken so often.
        stay_s: so long a client of the SDK stays.
    """

    minutes: float = 80.0
    connections: int = 2_000
    changes_per_s: float = 50.0
    every_s: float = 10.0
    stay_s: float = 2.0
    seed: int = 1


class Crowd:
    """Clients that stay, and what happens to them.

    Attributes:
        changes: how many there were, by kind.
        skipped: how many were not made because too many were under way.
        failures: how many ended with an error.
    """

    def __init__(self, port: int, soak: Soak) -> None:
        self.changes: dict[str, int] = {}
        self.skipped = 0
        self.failures = 0
        self._port = port
        self._soak = soak
        self._dice = random.Random(soak.seed)
        self._journal: list[Event] = []
        self._number = 0
        self._clients: list[LightClient] = []
        self._under_way: set[asyncio.Task[None]] = set()
        self._publisher: Client = chappe.connect(self._url)

    async def start(self) -> None:
        """Let everybody in."""
        await self._publisher
        while len(self._clients) < self._soak.connections:
            some = [self._newcomer() for _ in range(min(_AT_ONCE, self._soak.connections - len(self._clients)))]
            await asyncio.gather(*(client.start() for client in some))
            self._clients += some

    async def stop(self) -> None:
        """Let everybody go."""
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await asyncio.gather(*(client.stop() for client in self._clients))
        await self._publisher.close()

    async def live(self, until: float) -> None:
        """Make changes at the pace that was asked for, whatever they take, until a moment of the loop's clock."""
        loop = asyncio.get_running_loop()
        kinds: list[Callable[[], Awaitable[None]]] = [
            self.cut,
            self.replace,
            self.publish,
            self.sdk,
            self.sse,
            self.poll,
        ]
        due = loop.time()
        while due < until:
            await asyncio.sleep(due - loop.time())
            due += 1 / self._soak.changes_per_s
            # What clients write down is of no use here, and would be what grows.
            self._journal.clear()
            kind = self._dice.choices(kinds, (10, 10, 20, 4, 3, 3))[0]
            if len(self._under_way) >= _MOST_UNDER_WAY:
                self.skipped += 1
                continue
            task = asyncio.create_task(self._change(kind))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def cut(self) -> None:
        """Cut somebody, who comes back."""
        self._dice.choice(self._clients).drop()

    async def replace(self) -> None:
        """Let somebody go for good, and somebody else in."""
        place = self._dice.randrange(len(self._clients))
        former, self._clients[place] = self._clients[place], self._newcomer()
        newcomer = self._clients[place]
        await former.stop()
        await newcomer.start()

    async def publish(self) -> None:
        """Publish to a channel."""
        await self._publisher.publish(self._channel(), "x" * 100)

    async def sdk(self) -> None:
        """Stay for a while with the SDK over a WebSocket."""
        await self._visit("websocket")

    async def sse(self) -> None:
        """The same over Server-Sent Events."""
        await self._visit("sse")

    async def poll(self) -> None:
        """The same over long polls."""
        await self._visit("polling")

    async def _visit(self, transport: Literal["websocket", "sse", "polling"]) -> None:
        async with chappe.connect(self._url, transports=(transport,)) as client:
            async with client.subscribe(self._channel()):
                await client.publish(self._channel(), "hello")
                await asyncio.sleep(self._soak.stay_s)
            async with client.subscribe(self._channel(), since=10):
                pass

    async def _change(self, kind: Callable[[], Awaitable[None]]) -> None:
        name = kind.__name__
        self.changes[name] = self.changes.get(name, 0) + 1
        try:
            await kind()
        except (ChappeError, OSError):
            self.failures += 1

    def _newcomer(self) -> LightClient:
        self._number += 1
        return LightClient(self._port, self._channel(), f"light {self._number}", self._journal, expected=0)

    def _channel(self) -> str:
        return f"soak/{self._dice.randrange(CHANNELS)}"

    @property
    def _url(self) -> str:
        return f"ws://127.0.0.1:{self._port}/ws"


class Trend:
    """Straight lines through samples, the beginning left out."""

    def __init__(self, samples: Sequence[tuple[float, Sample]]) -> None:
        """Take samples with their seconds since the first."""
        begin = samples[-1][0] * _WARM_UP
        self._samples = [(seconds, each) for seconds, each in samples if seconds >= begin]

    def mean(self, figure: str) -> float:
        """Return the mean."""
        return statistics.fmean(getattr(each, figure) for _, each in self._samples)

    def line(self, figure: str) -> tuple[float, float]:
        """Return growth a second and where the line begins."""
        seconds = [seconds for seconds, _ in self._samples]
        return statistics.linear_regression(seconds, [getattr(each, figure) for _, each in self._samples])

    def per_h(self, figure: str) -> float:
        """Return the growth in an hour as a share of the mean."""
        return self.line(figure)[0] * 3_600 / self.mean(figure)

    def margin_per_h(self, figure: str) -> float:
        """Return what the growth in an hour may be off by, as a share of the mean: two standard errors of the line."""
        slope, start = self.line(figure)
        middle = statistics.fmean(seconds for seconds, _ in self._samples)
        spread = sum((seconds - middle) ** 2 for seconds, _ in self._samples)
        left = sum((getattr(each, figure) - start - slope * seconds) ** 2 for seconds, each in self._samples)
        error = math.sqrt(left / (len(self._samples) - 2) / spread)
        return 2 * error * 3_600 / self.mean(figure)

    def told(self, figure: str) -> str:
        """Return the growth in an hour for a table."""
        return f"{self.per_h(figure):+.2%} ± {self.margin_per_h(figure):.2%}"

    @property
    def is_flat(self) -> bool:
        """Whether nothing is seen to grow by more than it may; shrinking is no fault."""
        return all(self.per_h(figure) - self.margin_per_h(figure) <= MOST_PER_H for figure in FIGURES)


async def run(soak: Soak) -> tuple[list[tuple[float, Sample]], Crowd]:
    """Do it; return the samples and the crowd."""
    samples: list[tuple[float, Sample]] = []
    async with program("soaked_hub") as (hub, port):
        crowd = Crowd(port, soak)
        try:
            await crowd.start()
            loop = asyncio.get_running_loop()
            begin = loop.time()
            living = asyncio.create_task(crowd.live(begin + soak.minutes * 60))
            while not living.done():
                samples.append((loop.time() - begin, await take(hub)))
                print(f"{samples[-1][0]:7.0f} s  {samples[-1][1]}", flush=True)
                await asyncio.wait({living}, timeout=begin + len(samples) * soak.every_s - loop.time())
            await living
        finally:
            await crowd.stop()
    return samples, crowd


async def take(hub: asyncio.subprocess.Process) -> Sample:
    """Ask the hub what it holds."""
    assert hub.stdin is not None
    assert hub.stdout is not None
    hub.stdin.write(b"\n")
    await hub.stdin.drain()
    return msgspec.json.decode(await hub.stdout.readline(), type=Sample)


def write(folder: Path, samples: Sequence[tuple[float, Sample]]) -> None:
    """Write soak.csv and soak.png."""
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "soak.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("seconds", *FIGURES))
        rows.writerows((round(seconds, 1), *(getattr(each, name) for name in FIGURES)) for seconds, each in samples)
    trend = Trend(samples)
    figure = Figure(figsize=(9, 9), layout="constrained")
    minutes = [seconds / 60 for seconds, _ in samples]
    for name, axes in zip(FIGURES, figure.subplots(len(FIGURES), 1, sharex=True), strict=True):
        slope, start = trend.line(name)
        axes.plot(minutes, [getattr(each, name) for _, each in samples], linewidth=1)
        axes.plot(minutes, [start + slope * seconds for seconds, _ in samples], linestyle="--", linewidth=1)
        axes.set_ylabel(name)
        axes.set_title(f"{trend.told(name)} an hour", loc="right", fontsize=9)
        axes.set_ylim(bottom=0)
    axes.set_xlabel("minutes")
    figure.savefig(folder / "soak.png", dpi=120)


def result(soak: Soak, samples: Sequence[tuple[float, Sample]], crowd: Crowd) -> Result:
    """Return what it came to."""
    trend = Trend(samples)
    changes = sum(crowd.changes.values())
    lines = ["| | mean | growth an hour ± two standard errors |", "| --- | --- | --- |"]
    lines += [f"| {name} | {trend.mean(name):,.0f} | {trend.told(name)} |" for name in FIGURES]
    told = ", ".join(f"{count:,} {kind}" for kind, count in sorted(crowd.changes.items()))
    lines += [
        "",
        f"Changes: {told}; {crowd.skipped:,} skipped, {crowd.failures:,} failed.",
        "",
        "![plot](soak/soak.png)",
    ]
    return Result(
        part="soak",
        done=f"{soak.connections:,} connections, {soak.changes_per_s:g} changes a second",
        times=f"{soak.minutes:g} minutes, {changes:,} changes",
        verdict=", ".join(f"{name} {trend.told(name)} an hour" for name in FIGURES),
        kept=trend.is_flat and not crowd.skipped and not crowd.failures,
        details="\n".join(lines),
    )


def main() -> int:
    """Run it, write what it came to; 1 if something grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=Soak.minutes)
    parser.add_argument("--connections", type=int, default=Soak.connections)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where soak.csv and soak.png go")
    parser.add_argument("--print", action="store_true", help="leave benchmarks/FAULTS.md as it is")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    soak = Soak(minutes=options.minutes, connections=options.connections)
    began = time.monotonic()
    samples, crowd = uvloop.run(run(soak))
    write(options.folder, samples)
    found = measured(result(soak, samples, crowd), began)
    print(f"{'kept' if found.kept else 'MISSED'}: {found.verdict}\n{found.details}")
    if not options.print:
        keep(found, order())
    return 0 if found.kept else 1


if __name__ == "__main__":
    sys.exit(main())
