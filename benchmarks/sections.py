"""What the rows share: how a load is put to several servers in turn, and the tables and demands that come of it."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from chappe.bench.comparison import GENERATOR_LIMIT, Case, Measured, Spread, compare
from chappe.bench.hub import hub
from chappe.bench.load import Result
from chappe.bench.servers import Kind, MissingPeer, Server, find

Figure = Callable[[Result], float]
Line = list[str]

HEADS = ["server", "median (min-max) a second", "per CPU-second", "p50 us", "p99 us", "p99.9 us", "generator", "faults"]


@dataclasses.dataclass(frozen=True)
class Demand:
    """Hold one figure that is demanded, with what was measured."""

    text: str
    value: float
    met: bool


@dataclasses.dataclass
class Section:
    """Hold what one row found; `summary` are medians per CPU-second by server."""

    title: str
    unit: str
    tables: list[list[Line]]
    demands: list[Demand]
    notes: list[str] = dataclasses.field(default_factory=list)
    summary: dict[str, float] = dataclasses.field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return dataclasses.asdict(self)


class Bench:
    """Measure for the rows, and say on standard output how far it is."""

    def __init__(self, folder: Path, *, seconds: float, rounds: int, scale: float, hold_s: float) -> None:
        self.folder = folder
        self.seconds = seconds
        self.rounds = rounds
        self.hold_s = hold_s
        self.is_quick = scale < 1
        self._scale = scale
        self._hubs: dict[str, Server] = {}

    def count(self, connections: int) -> int:
        """Return how many connections stand for that many: fewer in a quick run."""
        return max(10, int(connections * self._scale))

    def hub(self, name: str = "chappe", **options: Any) -> Server:
        """Return a hub with these options, always the same for a name."""
        if name not in self._hubs:
            self._hubs[name] = hub(self.folder / name.replace(" ", "-"), name=name, **options)
        return self._hubs[name]

    def compare(self, cases: list[Case], rounds: int | None = None) -> dict[str, Measured]:
        """Measure cases in turn; return them by name."""
        rounds = self.rounds if rounds is None else min(rounds, self.rounds)

        def tell(name: str, number: int, result: Result) -> None:
            print(f"  [{number}/{rounds}] {name}: {in_short(result)}", flush=True)

        return {each.name: each for each in compare(cases, rounds, tell)}

    def beside(self, kind: Kind, peers: tuple[str, ...], **wanted: Any) -> dict[str, Measured]:
        """Measure the hub and those peers that are installed under the same load."""
        servers = [self.hub(), *self.peers(peers)]
        wanted = {"seconds": self.seconds, **wanted}
        return self.compare([Case(name=s.name, server=s, kind=kind, wanted=wanted) for s in servers])

    def peers(self, names: tuple[str, ...]) -> Iterator[Server]:
        """Find the peers that are installed."""
        for name in names:
            try:
                yield find(name)
            except MissingPeer as missing:
                print(f"  {name} is left out, get it with: {missing.install}")


def in_short(result: Result) -> str:
    """Say what one run found while the others go on."""
    if not result.deliveries:
        return f"{result.opened_per_s:,.0f} opened/s, {result.pss_kb_per_connection:.2f} KB per connection"
    speed = f"{result.per_s:,.0f}/s, {result.per_cpu_s:,.0f} per CPU-second, p99 {result.p99_us:,.0f} us"
    return f"{speed}, generator {result.generator_share:.0%}"


def per_cpu(result: Result) -> float:
    """Return what servers are compared by."""
    return result.per_cpu_s


def spread(value: Spread, digits: int = 0) -> str:
    """Write a median with its range."""
    return f"{value.median:,.{digits}f} ({value.low:,.{digits}f}-{value.high:,.{digits}f})"


def table(measured: dict[str, Measured]) -> list[Line]:
    """Return the usual table."""
    lines = [HEADS]
    for name, each in measured.items():
        share = each.spread(lambda result: result.generator_share).median
        figures = (each.spread(lambda r: r.p50_us), each.spread(lambda r: r.p99_us), each.spread(lambda r: r.p999_us))
        lines.append(
            [
                f"{name} {each.version}".strip(),
                spread(each.spread(lambda result: result.per_s)),
                spread(each.spread(per_cpu)),
                *(f"{figure.median:,.0f}" for figure in figures),
                f"{share:.0%}" + (" (the limit)" if share > GENERATOR_LIMIT else ""),
                ", ".join(f"{count} {fault}" for fault, count in each.faults().items()) or "none",
            ]
        )
    return lines


def idle_table(found: dict[str, Measured]) -> list[Line]:
    """Return memory and CPU of idle connections."""
    heads = ["server", "PSS KB/connection", "kernel KB, both ends", "CPU us per second and connection", "opened/s"]
    lines = [heads]
    for name, each in found.items():
        lines.append(
            [
                f"{name} {each.version}".strip(),
                spread(each.spread(lambda r: r.pss_kb_per_connection), 2),
                f"{each.spread(lambda r: r.kernel_kb_per_connection).median:.2f}",
                f"{each.spread(lambda r: r.idle_cpu_us).median:.2f}",
                f"{each.spread(lambda r: r.opened_per_s).median:,.0f}",
            ]
        )
    return lines


def ratio(measured: dict[str, Measured], one: str, other: str, figure: Figure = per_cpu) -> float:
    """Divide the medians of two servers; 0 if one was not measured."""
    if one not in measured or other not in measured:
        return 0.0
    below = measured[other].spread(figure).median
    return measured[one].spread(figure).median / below if below else 0.0


def at_least(text: str, value: float, limit: float) -> Demand:
    """Demand that a figure reaches a limit."""
    return Demand(f"{text} >= {limit:g}", value, value >= limit)


def at_most(text: str, value: float, limit: float) -> Demand:
    """Demand that a figure stays within a limit."""
    return Demand(f"{text} <= {limit:g}", value, value <= limit)


def medians(measured: dict[str, Measured]) -> dict[str, float]:
    """Return what the summary shows."""
    return {name: each.spread(per_cpu).median for name, each in measured.items()}
