"""Measure the hub beside its peers on this machine and write benchmarks/RESULTS.md.

    python benchmarks/bench.py              everything (about 12 minutes)
    python benchmarks/bench.py --quick      one round of two seconds each, printed only

The server runs on core 0 and the generator (wsload.c) on core 1; runs alternate between the servers (A B A B), and each
figure is the median of all rounds with the smallest and the largest. A row in which the generator used more than 85 %
of its core is compared by CPU-second of the server only: then the generator was the limit.
"""

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import secrets
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "RESULTS.md"
SUBSCRIBE = '{"type":"subscribe","id":1,"channel":"bench"}'
PUBLISH = '{"type":"publish","id":2,"channel":"bench","data":"%s"}'
GENERATOR_LIMIT = 0.85
SETTINGS = """
[auth]
hmac_secret_file = "{secret}"
algorithms = ["HS256"]
[namespaces.default]
level = "recoverable"
history_count = 100
history_age_s = 600
subscribe = "user"
publish = "user"
[limits]
messages_per_s = 0
connections_per_address = 1000000
[log]
level = "WARNING"
"""


@dataclass(frozen=True)
class Server:
    """Something that can be measured: how it starts, and how each kind of load is put to it."""

    name: str
    command: tuple[str, ...]
    paths: dict[str, str]
    speaks: bool = False
    options: tuple[str, ...] = ()


@dataclass
class Row:
    """One measure: what the generator is asked for, and what came out for each server."""

    title: str
    mode: str
    arguments: tuple[str, ...]
    unit: str
    path: str
    compares: tuple[str, ...]
    rounds: int = 5
    runs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def rows(seconds: float, rounds: int) -> list[Row]:
    """Return what is measured."""
    t = ("--seconds", f"{seconds:g}")
    everybody = ("chappe", "websockets", "uvicorn", "c floor")
    hundred = ("-n", "100")
    return [
        Row(
            "P1 echo, 100 connections, 64 B",
            "echo",
            (*hundred, "--size", "64", *t),
            "messages/s",
            "echo",
            everybody,
            rounds,
        ),
        Row(
            "P2 fan-out 1 to 1,000, 100 B",
            "fanout",
            ("-n", "1000", "--size", "100", *t),
            "deliveries/s",
            "fan",
            everybody,
            rounds,
        ),
        Row(
            "P3 publish + ack, 100 connections",
            "publish",
            (*hundred, *t),
            "acknowledged/s",
            "publish",
            ("chappe",),
            rounds,
        ),
        Row(
            "fan-out 1 to 10,000, 100 B",
            "fanout",
            ("-n", "10000", "--size", "100", *t),
            "deliveries/s",
            "fan",
            ("chappe", "websockets", "c floor"),
            min(rounds, 2),
        ),
    ]


def steady(seconds: float) -> Row:
    """Return the open-loop run of issue 2: 1,000 publications a second to 100 subscribers."""
    arguments = ("-n", "100", "--rate", "1000", "--size", "100", "--seconds", f"{seconds:g}")
    return Row(
        f"1,000/s to 100 subscribers, {seconds:g} s",
        "fanout",
        arguments,
        "deliveries/s",
        "fan",
        ("chappe", "websockets"),
        1,
    )


def idle(count: int) -> Row:
    """Return the memory of connections with one subscription."""
    arguments = ("-n", str(count), "--seconds", "10")
    return Row(
        f"P8 {count:,} idle connections, one subscription",
        "idle",
        arguments,
        "KB/connection",
        "fan",
        ("chappe", "websockets"),
        1,
    )


def servers(directory: Path) -> list[Server]:
    """Return the servers this machine can run, with their files in a directory."""
    secret, config = directory / "secret", directory / "chappe.toml"
    secret.write_text(secrets.token_hex(32))
    config.write_text(SETTINGS.format(secret=secret))
    floor = directory / "floor"
    subprocess.run(["cc", "-O2", "-o", str(floor), str(HERE / "peers" / "floor.c")], check=True)
    python = sys.executable
    token = subprocess.run(
        [python, "-m", "chappe", "token", "create", "--user", "bench", "--secret-file", str(secret)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    peers = {"echo": "/echo", "fan": "/fan"}
    return [
        Server(
            "chappe",
            (python, "-m", "chappe", "serve", "--config", str(config), "--port", "{port}"),
            {"echo": "/echo", "fan": "/ws", "publish": "/ws"},
            speaks=True,
            options=("--header", f"Authorization: Bearer {token}"),
        ),
        Server("websockets", (python, str(HERE / "peers" / "websockets_server.py"), "{port}"), peers),
        Server(
            "uvicorn",
            (
                python,
                "-m",
                "uvicorn",
                "asgi_app:app",
                "--app-dir",
                str(HERE / "peers"),
                "--port",
                "{port}",
                "--loop",
                "uvloop",
                "--log-level",
                "error",
                "--ws-per-message-deflate",
                "false",
                "--ws",
                "websockets-sansio",
            ),
            peers,
        ),
        Server("c floor", (str(floor), "{port}"), peers),
    ]


@contextlib.contextmanager
def running(server: Server) -> Iterator[tuple[int, int]]:
    """Run a server on core 0; yield its port and process id."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["taskset", "-c", "0", *(part.format(port=port) for part in server.command)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        yield port, process.pid
    finally:
        process.send_signal(signal.SIGTERM if server.name != "c floor" else signal.SIGKILL)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a port accepts connections."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"a server ended with {process.returncode} instead of listening")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit("a server did not listen within 20 s")


def measure(generator: Path, server: Server, row: Row) -> dict[str, Any]:
    """Put one load to a fresh server; return what the generator says."""
    with running(server) as (port, pid):
        arguments = [row.mode, "--port", str(port), "--path", server.paths[row.path], "--pid", str(pid), *row.arguments]
        arguments += server.options
        if server.speaks and row.path != "echo":
            arguments += ["--send", PUBLISH]
            if row.path == "fan":
                arguments += ["--init", SUBSCRIBE]
        output = subprocess.run(["taskset", "-c", "1", str(generator), *arguments], capture_output=True, text=True)
    if not output.stdout:
        raise SystemExit(f"{server.name}: {row.title}: {output.stderr}")
    return json.loads(output.stdout)  # type: ignore[no-any-return]


def run(row: Row, available: list[Server], generator: Path) -> None:
    """Measure a row: all servers in turn, as often as it has rounds."""
    chosen = [server for server in available if server.name in row.compares]
    for number in range(row.rounds):
        for server in chosen:
            result = measure(generator, server, row)
            row.runs.setdefault(server.name, []).append(result)
            print(f"{row.title} [{number + 1}/{row.rounds}] {server.name}: {headline(row, result)}", flush=True)


def headline(row: Row, result: dict[str, Any]) -> str:
    """Say the figure of one run."""
    if row.mode == "idle":
        return f"{result['pss_per_conn_kb']:.2f} KB/connection"
    lost = f", {result['lost']} lost" if result.get("lost") else ""
    return f"{result['per_s']:,.0f}/s, {result['per_cpu_s']:,.0f} per CPU-second, p99 {result['p99_us']:,.0f} us{lost}"


def table(row: Row) -> str:
    """Return a row as a Markdown table."""
    head = f"| server | {row.unit}: median (min-max) | per CPU-second | p50 us | p99 us | lost | generator |"
    lines = [f"### {row.title}", "", head, "| --- | --- | --- | --- | --- | --- | --- |"]
    for name, runs in row.runs.items():
        key = "pss_per_conn_kb" if row.mode == "idle" else "per_s"
        values = sorted(run[key] for run in runs)
        digits = 2 if row.mode == "idle" else 0
        figure = f"{statistics.median(values):,.{digits}f} ({values[0]:,.{digits}f}-{values[-1]:,.{digits}f})"
        middle = {
            k: statistics.median(run.get(k, 0) for run in runs)
            for k in ("per_cpu_s", "p50_us", "p99_us", "generator_cpu")
        }
        lost = sum(run.get("lost", 0) for run in runs)
        saturated = " (the limit)" if middle["generator_cpu"] > GENERATOR_LIMIT else ""
        lines.append(
            f"| {name} | {figure} | {middle['per_cpu_s']:,.0f} | {middle['p50_us']:,.0f} | {middle['p99_us']:,.0f} "
            f"| {lost} | {middle['generator_cpu']:.0%}{saturated} |"
        )
    return "\n".join([*lines, ""])


def report(measured: list[Row], command: str) -> str:
    """Return RESULTS.md."""
    versions = {name: importlib.metadata.version(name) for name in ("chappe", "uvicorn", "websockets", "uvloop")}
    today = datetime.datetime.now(tz=datetime.UTC).date()
    intro = [
        "# Measured results",
        "",
        f"{today}, {platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}, Python "
        f"{platform.python_version()}, " + ", ".join(f"{name} {version}" for name, version in versions.items()) + ".",
        "",
        f"Command: `{command}`. One core for the server, the other for the generator; ratios bind, absolute",
        "figures hold for this machine only. Chappe runs as `chappe serve` with an HS256 token on every connection,",
        "permissions, limits and history in memory; the peers run without any of that. Latency is the generator's,",
        "from sending to receiving.",
        "",
    ]
    return "\n".join([*intro, *summary(measured), *(table(row) for row in measured)])


def summary(measured: list[Row]) -> list[str]:
    """Return the table that the README shows: medians per CPU-second of the server."""
    names = ("chappe", "websockets", "uvicorn", "c floor")
    lines = [
        "<!-- readme: begin -->",
        "| per CPU-second of the server | Chappe | `websockets` | uvicorn | bare C epoll |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in measured:
        if row.mode == "idle":
            continue
        figures = []
        for name in names:
            runs = row.runs.get(name)
            figures.append(f"{statistics.median(run['per_cpu_s'] for run in runs):,.0f}" if runs else "-")
        lines.append(f"| {row.title} ({row.unit}) | " + " | ".join(figures) + " |")
    return [*lines, "<!-- readme: end -->", ""]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round, nothing written")
    options = parser.parse_args()
    if shutil.which("taskset") is None or shutil.which("cc") is None:
        raise SystemExit("bench needs taskset (util-linux) and a C compiler: apt-get install util-linux gcc")
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        generator = directory / "wsload"
        subprocess.run(["cc", "-O2", "-o", str(generator), str(HERE / "wsload.c")], check=True)
        available = servers(directory)
        seconds, rounds = (2.0, 1) if options.quick else (3.0, 5)
        measured = [
            *rows(seconds, rounds),
            steady(3 if options.quick else 60),
            idle(1_000 if options.quick else 10_000),
        ]
        for row in measured:
            run(row, available, generator)
    text = report(measured, "python benchmarks/bench.py" + (" --quick" if options.quick else ""))
    if options.quick:
        print(text)
    else:
        RESULTS.write_text(text)
        print(f"written to {RESULTS}")


if __name__ == "__main__":
    main()
