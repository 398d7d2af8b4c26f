"""`chappe bench`: measure a hub, alone or beside other servers, with a generator that works at the speed of C."""

import dataclasses
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

import click

from chappe.bench.comparison import ROUNDS, Case, Measured, Spread, compare
from chappe.bench.load import Load, LoadError, Problem, Result
from chappe.bench.running import StartError, generator_core
from chappe.bench.servers import PEER_FINDERS, Kind, MissingPeer, Server, find
from chappe.cli.grammar import Command, Failure, examples, json_option
from chappe.cli.texts import T

KINDS: tuple[Kind, ...] = get_args(Kind)
#: What is measured when nothing else is asked for: the rows of benchmarks/RESULTS.md.
_CONNECTIONS: dict[Kind, int] = {"echo": 100, "fanout": 1000, "publish": 100, "rooms": 1000, "idle": 1000}
_PAYLOAD_BYTES: dict[Kind, int] = {"echo": 64, "fanout": 100, "publish": 64, "rooms": 64, "idle": 64}
_PORTS = {"ws": 80, "wss": 443, "http": 80, "https": 443}


@click.command(
    "bench",
    cls=Command,
    help=T["bench"],
    epilog=examples(
        "chappe bench echo",
        "chappe bench fanout --vs websockets,picows,floor --png fanout.png",
        "chappe bench fanout --connections 100 --rate 1000",
        "chappe bench publish --url ws://127.0.0.1:8080/ws --seconds 10",
        "chappe bench idle --connections 10000 --json",
    ),
)
@click.argument("kind", type=click.Choice(KINDS))
@click.option("--vs", "peers", metavar="NAMES", default="", help=T["bench_vs"].format(names=",".join(PEER_FINDERS)))
@click.option("--url", metavar="URL", help=T["bench_url"])
@click.option("--token", metavar="TOKEN", envvar="CHAPPE_TOKEN", help=T["bench_token"])
@click.option("--plain", is_flag=True, help=T["bench_plain"])
@click.option("--pid", type=click.IntRange(1), metavar="PID", help=T["bench_pid"])
@click.option("--connections", "-n", type=click.IntRange(1), metavar="N", help=T["bench_connections"])
@click.option("--rooms", type=click.IntRange(1), metavar="N", default=100, show_default=True, help=T["bench_rooms"])
@click.option("--size", type=click.IntRange(1), metavar="BYTES", help=T["bench_size"])
@click.option("--rate", type=click.FloatRange(0), metavar="N", default=0.0, help=T["bench_rate"])
@click.option(
    "--seconds", type=click.FloatRange(0.1), metavar="N", default=3.0, show_default=True, help=T["bench_seconds"]
)
@click.option(
    "--rounds", type=click.IntRange(1), metavar="N", default=ROUNDS, show_default=True, help=T["bench_rounds"]
)
@click.option("--png", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help=T["bench_png"])
@json_option
def command(kind: Kind, png: Path | None, as_json: bool, **wanted: Any) -> None:
    """Measure, then print a table and a chart."""
    if wanted["rate"] and kind != "fanout":
        raise click.UsageError(T["bench_rate_fanout"])
    try:
        measured = _measure(kind, wanted)
    except LoadError as error:
        raise Failure(_word_load_error(error)) from None
    except StartError as error:
        raise Failure(T["bench_no_start"].format(name=error.name, said=error.said)) from None
    if as_json:
        click.echo(json.dumps([_as_json(kind, each) for each in measured], ensure_ascii=False))
    else:
        _print(kind, measured)
    if png is not None:
        _draw(png, kind, measured)


# --- Measuring --------------------------------------------------------------------------------------------------------


def _measure(kind: Kind, wanted: dict[str, Any]) -> list[Measured]:
    fields = {
        "connections": wanted["connections"] or _CONNECTIONS[kind],
        "payload_bytes": wanted["size"] or _PAYLOAD_BYTES[kind],
        "seconds": wanted["seconds"],
        "rooms": wanted["rooms"] if kind == "rooms" else 1,
        "rate": wanted["rate"],
    }
    if wanted["url"] is not None:
        if wanted["peers"]:
            raise click.UsageError(T["bench_url_or_vs"])
        return [_measure_url(kind, wanted, fields)]
    from chappe.bench.hub import hub

    with tempfile.TemporaryDirectory() as folder:
        servers = [hub(Path(folder)), *_peers(kind, wanted["peers"])]
        cases = [Case(name=server.name, server=server, kind=kind, wanted=fields) for server in servers]
        return compare(cases, wanted["rounds"], _teller(kind, wanted["rounds"]))


def _peers(kind: Kind, names: str) -> Iterator[Server]:
    """Find the peers that were named; say how to install those that are not there, and go on without them."""
    for name in filter(None, (name.strip() for name in names.split(","))):
        if name not in PEER_FINDERS:
            raise click.UsageError(T["bench_no_peer"].format(name=name, names=", ".join(PEER_FINDERS)))
        try:
            server = find(name)
        except MissingPeer as missing:
            click.echo(T["bench_missing"].format(name=missing.name, install=missing.install), err=True)
            continue
        if kind in server.speech:
            yield server
        else:
            click.echo(T["bench_unable"].format(name=name, kind=kind), err=True)


def _measure_url(kind: Kind, wanted: dict[str, Any], fields: dict[str, Any]) -> Measured:
    """Measure a server that runs already, as often as there are rounds."""
    from chappe.bench.load import run

    load = _load_for_url(kind, wanted, fields)
    tell = _teller(kind, wanted["rounds"])
    results = []
    for number in range(wanted["rounds"]):
        with generator_core():
            results.append(run(load))
        tell(wanted["url"], number + 1, results[-1])
    return Measured(name=wanted["url"], version="", results=tuple(results))


def _load_for_url(kind: Kind, wanted: dict[str, Any], fields: dict[str, Any]) -> Load:
    from chappe.bench.hub import speech

    parts = urlsplit(wanted["url"])
    if parts.scheme not in _PORTS or not parts.hostname:
        raise click.UsageError(T["bench_url_bad"].format(url=wanted["url"]))
    headers = (f"Authorization: Bearer {wanted['token']}",) if wanted["token"] else ()
    spoken: dict[str, Any] = {"headers": headers} if wanted["plain"] else speech(headers)[kind]
    path = parts.path if parts.path not in ("", "/") or wanted["plain"] else spoken["path"]
    fields = {**spoken, **fields, "path": path + (f"?{parts.query}" if parts.query else "") or "/"}
    return Load(
        mode=kind,
        host=parts.hostname,
        port=parts.port or _PORTS[parts.scheme],
        tls=parts.scheme in ("wss", "https"),
        pids=(wanted["pid"],) if wanted["pid"] else (),
        **fields,
    )


def _teller(kind: Kind, rounds: int) -> Callable[[str, int, Result], None]:
    """Return what is called after each run: a line of progress for who watches."""

    def tell(name: str, number: int, result: Result) -> None:
        if sys.stderr.isatty():
            figure = _number(_figure(kind, False)(result), _digits(kind))
            click.echo(f"[{number}/{rounds}] {name}: {figure} {_unit(kind)}", err=True)

    return tell


def _word_load_error(error: LoadError) -> str:
    texts = {
        Problem.SYSTEM: T["bench_system"],
        Problem.REFUSED: T["bench_refused"],
        Problem.FILES: T["bench_files"],
        Problem.NO_TLS: T["bench_no_tls"],
        Problem.SILENT: T["bench_silent"],
        Problem.NO_GENERATOR: T["bench_no_generator"],
    }
    return texts.get(error.problem, "{reason}").format(
        reason=error.reason, files=error.files_max, connections=error.connections
    )


# --- Showing ----------------------------------------------------------------------------------------------------------


def _unit(kind: Kind, per_cpu: bool = False) -> str:
    """Return what the figures of a kind count."""
    units = {"publish": T["bench_unit_publish"], "idle": T["bench_unit_idle"], "echo": T["bench_unit_echo"]}
    unit = units.get(kind, T["bench_unit_fanout"])
    return T["bench_per_cpu"].format(unit=unit) if per_cpu else unit


def _digits(kind: Kind) -> int:
    return 2 if kind == "idle" else 0


def _figure(kind: Kind, per_cpu: bool) -> Callable[[Result], float]:
    """Return the figure that is drawn: memory of an idle connection, else messages a second or CPU-second."""
    if kind == "idle":
        return lambda result: result.pss_kb_per_connection
    return (lambda result: result.per_cpu_s) if per_cpu else (lambda result: result.per_s)


def _number(value: float, digits: int = 0) -> str:
    return f"{value:,.{digits}f}".translate(str.maketrans(",.", T["bench_marks"]))


def _spread(spread: Spread, digits: int) -> str:
    return f"{_number(spread.median, digits)} ({_number(spread.low, digits)}-{_number(spread.high, digits)})"


def _print(kind: Kind, measured: list[Measured]) -> None:
    from chappe.bench.chart import aligned, bars
    from chappe.bench.machine import describe

    heads = T["bench_idle_heads"] if kind == "idle" else T["bench_heads"]
    cells = _idle_cells if kind == "idle" else _cells
    click.echo("\n".join(aligned([heads.format(unit=_unit(kind)).split("|"), *(cells(kind, m) for m in measured)])))
    limited = _is_limited(measured)
    unit = _unit(kind, limited)
    click.echo(f"\n{unit}")
    medians = [each.spread(_figure(kind, limited)).median for each in measured]
    click.echo("\n".join(bars([each.name for each in measured], medians)))
    click.echo("")
    if limited:
        click.echo(T["bench_limited"])
    faults = {"lost": T["bench_lost"], "repeated": T["bench_repeated"], "closed": T["bench_closed"]}
    for each in measured:
        for fault, count in each.faults().items():
            click.echo(T["bench_fault"].format(name=each.name, count=count, fault=faults[fault]))
    click.echo(T["bench_machine"].format(machine=describe()))


def _is_limited(measured: list[Measured]) -> bool:
    """Tell whether servers are compared by CPU-second; without their CPU there is nothing to compare by."""
    known = all(result.server_cpu_s for each in measured for result in each.results)
    return known and any(each.is_limited for each in measured)


def _cells(kind: Kind, each: Measured) -> list[str]:
    cpu = each.spread(lambda result: result.per_cpu_s).median
    return [
        f"{each.name} {each.version}".strip(),
        _spread(each.spread(lambda result: result.per_s), 0),
        _number(cpu) if cpu else "-",
        _number(each.spread(lambda result: result.p50_us).median),
        _number(each.spread(lambda result: result.p99_us).median),
        _number(each.spread(lambda result: result.max_us).high),
        f"{each.spread(lambda result: result.generator_share).median:.0%}",
    ]


def _idle_cells(kind: Kind, each: Measured) -> list[str]:
    return [
        f"{each.name} {each.version}".strip(),
        _spread(each.spread(lambda result: result.pss_kb_per_connection), 2),
        _number(each.spread(lambda result: result.kernel_kb_per_connection).median, 2),
        _number(each.spread(lambda result: result.idle_cpu_us).median, 2),
        _number(each.spread(lambda result: result.opened_per_s).median),
    ]


def _as_json(kind: Kind, each: Measured) -> dict[str, Any]:
    return {
        "server": each.name,
        "version": each.version,
        "kind": kind,
        "generator_is_limit": each.is_limited,
        "per_s": dataclasses.asdict(each.spread(lambda result: result.per_s)),
        "per_cpu_s": dataclasses.asdict(each.spread(lambda result: result.per_cpu_s)),
        "rounds": [dataclasses.asdict(result) for result in each.results],
    }


def _draw(path: Path, kind: Kind, measured: list[Measured]) -> None:
    from chappe.bench.chart import ChartError, draw_png
    from chappe.bench.machine import describe

    limited = _is_limited(measured)
    unit = _unit(kind, limited)
    spreads = [each.spread(_figure(kind, limited)) for each in measured]
    names = [f"{each.name} {each.version}".strip() for each in measured]
    try:
        draw_png(path, f"chappe bench {kind}", unit, names, spreads, describe())
    except ChartError:
        raise Failure(T["bench_no_matplotlib"]) from None
    click.echo(T["bench_drawn"].format(path=path), err=True)
