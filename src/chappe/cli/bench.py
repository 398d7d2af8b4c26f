"""`chappe bench`: measure a hub, alone or beside other servers, with a generator that works at the speed of C."""

import dataclasses
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import click

from chappe.bench.chart import ChartError, Panel, draw_png
from chappe.bench.comparison import ROUNDS, Case, Measured, Spread, compare
from chappe.bench.load import Load, LoadError, Problem, Result
from chappe.bench.mqtt import MQTT_FINDERS
from chappe.bench.plan import Plan
from chappe.bench.running import StartError, generator_core
from chappe.bench.servers import PEER_FINDERS, Kind, MissingPeer, Server
from chappe.cli.bench_mqtt import LOADS, mqtt_load, mqtt_plans
from chappe.cli.grammar import Command, Failure, examples, json_option
from chappe.cli.texts import T

KINDS: Final[tuple[Kind, ...]] = ("echo", "fanout", "publish", "rooms", "idle")
#: Several loads of other clients in one run: see bench_mqtt.
MQTT: Final = "mqtt"
#: What was planned, and what came out for each server.
Found: TypeAlias = tuple[Plan, list[Measured]]
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
        "chappe bench mqtt --vs mosquitto,amqtt",
        "chappe bench mqtt --load one-to-one,one-to-one-qos1 --url mqtt://127.0.0.1:1883",
    ),
)
@click.argument("kind", type=click.Choice([*KINDS, MQTT]))
@click.option(
    "--vs",
    "peers",
    metavar="NAMES",
    default="",
    help=T["bench_vs"].format(names=",".join(PEER_FINDERS), brokers=",".join(MQTT_FINDERS)),
)
@click.option("--load", "loads", metavar="NAMES", default="", help=T["bench_load"].format(names=",".join(LOADS)))
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
def command(kind: str, png: Path | None, as_json: bool, **wanted: Any) -> None:
    """Measure, then print a table and a chart for each load."""
    plans = _plans(kind, wanted)
    try:
        found = _measure(kind, plans, wanted)
    except LoadError as error:
        raise Failure(_word_load_error(error)) from None
    except StartError as error:
        raise Failure(T["bench_no_start"].format(name=error.name, said=error.said)) from None
    if as_json:
        lines = [_as_json(plan, each) for plan, measured in found for each in measured]
        click.echo(json.dumps(lines, ensure_ascii=False))
    else:
        _print(found)
    if png is not None:
        _draw(png, found)


# --- Measuring --------------------------------------------------------------------------------------------------------


def _plans(kind: str, wanted: dict[str, Any]) -> list[Plan]:
    if kind == MQTT:
        return mqtt_plans(wanted)
    if wanted["loads"]:
        raise click.UsageError(T["bench_load_mqtt"])
    if wanted["rate"] and kind != "fanout":
        raise click.UsageError(T["bench_rate_fanout"])
    (chosen,) = (each for each in KINDS if each == kind)
    return [Plan(title=kind, kind=chosen, fields=_fields(chosen, wanted))]


def _fields(kind: Kind, wanted: dict[str, Any]) -> dict[str, Any]:
    return {
        "connections": wanted["connections"] or _CONNECTIONS[kind],
        "payload_bytes": wanted["size"] or _PAYLOAD_BYTES[kind],
        "seconds": wanted["seconds"],
        "rooms": wanted["rooms"] if kind == "rooms" else 1,
        "rate": wanted["rate"],
    }


def _measure(kind: str, plans: list[Plan], wanted: dict[str, Any]) -> list[Found]:
    if wanted["url"] is not None:
        if wanted["peers"]:
            raise click.UsageError(T["bench_url_or_vs"])
        return [(plan, [_measure_url(plan, wanted)]) for plan in plans]
    from chappe.bench.hub import hub
    from chappe.bench.mqtt import mqtt_hub

    found: list[Found] = []
    with tempfile.TemporaryDirectory() as folder:
        ours = mqtt_hub(Path(folder)) if kind == MQTT else hub(Path(folder))
        servers = [ours, *_peers(kind, plans[0].kind, wanted["peers"])]
        for plan in plans:
            cases = [Case(name=each.name, server=each, kind=plan.kind, wanted=plan.fields) for each in servers]
            found.append((plan, compare(cases, wanted["rounds"], _teller(plan, wanted["rounds"]))))
    return found


def _peers(command: str, kind: Kind, names: str) -> Iterator[Server]:
    """Find the peers that were named; say how to install those that are not there, and go on without them."""
    finders = MQTT_FINDERS if command == MQTT else PEER_FINDERS
    for name in filter(None, (name.strip() for name in names.split(","))):
        if name not in finders:
            raise click.UsageError(T["bench_no_peer"].format(name=name, names=", ".join(finders)))
        try:
            server = finders[name]()
        except MissingPeer as missing:
            click.echo(T["bench_missing"].format(name=missing.name, install=missing.install), err=True)
            continue
        if kind in server.speech:
            yield server
        else:
            click.echo(T["bench_unable"].format(name=name, kind=kind), err=True)


def _measure_url(plan: Plan, wanted: dict[str, Any]) -> Measured:
    """Measure a server that runs already, as often as there are rounds."""
    from chappe.bench.load import run

    if plan.title.startswith(MQTT):
        load = mqtt_load(plan, wanted["url"], wanted["token"], wanted["pid"])
    else:
        load = _load_for_url(plan.kind, wanted, plan.fields)
    tell = _teller(plan, wanted["rounds"])
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


def _teller(plan: Plan, rounds: int) -> Callable[[str, int, Result], None]:
    """Return what is called after each run: a line of progress for who watches."""

    def tell(name: str, number: int, result: Result) -> None:
        if sys.stderr.isatty():
            figure = _number(_figure(plan.kind, False)(result), _digits(plan.kind))
            click.echo(f"{plan.title} [{number}/{rounds}] {name}: {figure} {_unit(plan.kind)}", err=True)

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


def _print(found: list[Found]) -> None:
    from chappe.bench.machine import describe

    for plan, measured in found:
        if len(found) > 1:
            click.echo(f"{plan.title}\n")
        _print_one(plan.kind, measured)
    click.echo(T["bench_machine"].format(machine=describe()))


def _print_one(kind: Kind, measured: list[Measured]) -> None:
    from chappe.bench.chart import aligned, bars

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


def _as_json(plan: Plan, each: Measured) -> dict[str, Any]:
    return {
        "server": each.name,
        "version": each.version,
        "kind": plan.title,
        "generator_is_limit": each.is_limited,
        "per_s": dataclasses.asdict(each.spread(lambda result: result.per_s)),
        "per_cpu_s": dataclasses.asdict(each.spread(lambda result: result.per_cpu_s)),
        "rounds": [dataclasses.asdict(result) for result in each.results],
    }


def _panel(plan: Plan, measured: list[Measured]) -> Panel:
    limited = _is_limited(measured)
    return Panel(
        title=f"chappe bench {plan.title}",
        unit=_unit(plan.kind, limited),
        names=[f"{each.name} {each.version}".strip() for each in measured],
        spreads=[each.spread(_figure(plan.kind, limited)) for each in measured],
    )


def _draw(path: Path, found: list[Found]) -> None:
    from chappe.bench.machine import describe

    try:
        draw_png(path, [_panel(plan, measured) for plan, measured in found], describe())
    except ChartError:
        raise Failure(T["bench_no_matplotlib"]) from None
    click.echo(T["bench_drawn"].format(path=path), err=True)
