"""Measure servers in turn, A B A B, and reduce the rounds to medians."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from chappe.bench.load import Load, Result, run
from chappe.bench.running import Running, generator_core, running
from chappe.bench.servers import Kind, Server

#: Of the generator's core; above it the generator is what limits, and servers are compared by their CPU-seconds.
GENERATOR_LIMIT = 0.85
ROUNDS = 5


@dataclasses.dataclass(frozen=True)
class Spread:
    """Hold the median of some rounds with the smallest and the largest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Reduce the values of at least one round."""
        return cls(statistics.median(values), min(values), max(values))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """Hold all rounds of one server under one load."""

    name: str
    version: str
    results: tuple[Result, ...]

    def spread(self, figure: Callable[[Result], float]) -> Spread:
        """Return median, smallest and largest of a figure over the rounds."""
        return Spread.of([figure(result) for result in self.results])

    @property
    def is_limited(self) -> bool:
        """Tell whether the generator was the limit in most rounds."""
        return statistics.median(result.generator_share for result in self.results) > GENERATOR_LIMIT

    def faults(self) -> dict[str, int]:
        """Return what went wrong in all rounds: deliveries lost or repeated, connections closed; no zeros."""
        counts = {
            "lost": sum(result.lost for result in self.results),
            "repeated": sum(result.repeated for result in self.results),
            "closed": sum(result.closed for result in self.results),
        }
        return {name: count for name, count in counts.items() if count}


def load_for(server: Server, kind: Kind, port: int, pids: tuple[int, ...] = (), **wanted: Any) -> Load:
    """Return the load of a kind as a server understands it; `wanted` are further fields of `Load`, and win."""
    fields: dict[str, Any] = {"mode": kind, "tls": server.tls, **server.speech[kind], **wanted}
    return Load(port=port, pids=pids, **fields)


def measure(server: Server, kind: Kind, **wanted: Any) -> tuple[Running, Result]:
    """Start a fresh server, put one load to it, end it.

    Raises:
        StartError: the server does not start.
        LoadError: it refuses, or this machine cannot put such a load.
    """
    with running(server) as up, generator_core():
        return up, run(load_for(server, kind, up.port, up.pids, **wanted))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """Name one thing to be measured: a server under a load; `wanted` are fields of `Load`."""

    name: str
    server: Server
    kind: Kind
    wanted: dict[str, Any] = dataclasses.field(default_factory=dict)


Told = Callable[[str, int, Result], object]


def compare(cases: Sequence[Case], rounds: int = ROUNDS, told: Told | None = None) -> list[Measured]:
    """Measure cases in turn, all of them once in each round; `told` hears of each run when it is done."""
    results: dict[str, list[Result]] = {case.name: [] for case in cases}
    for number in range(rounds):
        for case in cases:
            _, result = measure(case.server, case.kind, **case.wanted)
            results[case.name].append(result)
            if told is not None:
                told(case.name, number + 1, result)
    return [Measured(name=c.name, version=c.server.version, results=tuple(results[c.name])) for c in cases]
