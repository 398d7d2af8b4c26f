"""`chappe serve` as a process of its own, which can be killed and started again on its port."""

import asyncio
import signal
import socket
import sys
import tempfile
from types import TracebackType
from typing import Final, Self

from chappe.brokers.nats.local import launcher
from chappe.testing.kill_programme import UnexpectedEnd

_LOOK_S: Final = 0.02


def free_port() -> int:
    """Return a port of loopback that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class HubProcess:
    """A hub; as a context manager it runs until the block ends, and on Linux not longer than this process.

    Attributes:
        port: where it listens, the same after another `start`.
    """

    def __init__(self, *options: str, program: tuple[str, ...] = ()) -> None:
        """Take what the hub shall be like; nothing is started yet.

        Args:
            options: of `chappe serve`, without `--port`.
            program: a module of another program that serves, with its arguments; it gets the port as the last of them.
        """
        self.port = free_port()
        self._command = [sys.executable, "-m"]
        if program:
            self._command += [*program, *options, str(self.port)]
        else:
            self._command += ["chappe", "serve", "--log-level", "ERROR", *options, "--port", str(self.port)]
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()

    @property
    def url(self) -> str:
        """Where chappe.v1 is spoken: `ws://127.0.0.1:PORT/ws`."""
        return f"ws://127.0.0.1:{self.port}/ws"

    @property
    def pid(self) -> int:
        """Process id of the hub, 0 if it does not run."""
        return self._process.pid if self._process is not None and self._process.returncode is None else 0

    async def start(self) -> None:
        """Start it, and wait until it accepts connections.

        Raises:
            UnexpectedEnd: it ended instead; the text has what it said.
        """
        with tempfile.TemporaryFile() as log:
            command = [*launcher(), *self._command]
            self._process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
            while not await self._accepts():
                if self._process.returncode is not None:
                    log.seek(0)
                    said = log.read().decode(errors="replace").strip()
                    raise UnexpectedEnd(f"a hub ended with {self._process.returncode}, expected it to serve: {said}")
                await asyncio.sleep(_LOOK_S)

    async def kill(self) -> None:
        """SIGKILL."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """SIGTERM, and wait until it has drained."""
        await self._end(signal.SIGTERM)

    async def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            if self._process.returncode is None:
                self._process.send_signal(how)
            await self._process.wait()
            self._process = None

    async def _accepts(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True
