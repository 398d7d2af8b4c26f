"""Run a server on one core while the generator has another."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from chappe.bench.servers import Server

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0
_SERVER_CORE, _GENERATOR_CORE = 0, 1
#: Between two looks at a port that does not listen yet: the precision of the time to start.
_LOOK_S = 0.002


class StartError(Exception):
    """Tell that a server did not come up; `said` is the last line of what it printed."""

    def __init__(self, name: str, said: str) -> None:
        super().__init__(name, said)
        self.name = name
        self.said = said

    def __str__(self) -> str:
        return f"{self.name} did not start: {self.said}"


@dataclasses.dataclass(frozen=True)
class Running:
    """Describe a server that listens; `start_s` is the time from its start to the first accepted connection."""

    port: int
    pids: tuple[int, ...]
    start_s: float


@contextlib.contextmanager
def running(server: Server) -> Iterator[Running]:
    """Run a server on its core, and end it with the block.

    Raises:
        StartError: it ended, or listened to nobody for 20 s.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    with tempfile.TemporaryFile() as log, tempfile.TemporaryDirectory() as folder:
        for name, text in server.files.items():
            (Path(folder) / name).write_text(text.format(port=port), encoding="utf-8")
        command = [part.format(port=port, folder=folder) for part in server.command]
        began = time.monotonic()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **server.environ}
        )
        pin(process.pid, _SERVER_CORE)
        try:
            _wait_until_it_listens(server, process, port, log)
            yield Running(port, (process.pid,), time.monotonic() - began)
        finally:
            _end(process)


@contextlib.contextmanager
def generator_core() -> Iterator[None]:
    """Keep this process on the generator's core during the block."""
    if not hasattr(os, "sched_getaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    pin(0, _GENERATOR_CORE)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def pin(pid: int, core: int) -> None:
    """Keep a process on a core; where there is only one, or no such call, it stays where it is."""
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        with contextlib.suppress(OSError):  # a container may own other cores than these
            os.sched_setaffinity(pid, {core})


def _wait_until_it_listens(server: Server, process: subprocess.Popen[bytes], port: int, log: IO[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(_LOOK_S)
    log.seek(0)
    lines = log.read().decode("utf-8", "replace").strip().splitlines() or ["it printed nothing"]
    raise StartError(server.name, lines[-1])


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
