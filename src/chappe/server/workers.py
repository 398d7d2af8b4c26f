"""Several processes behind one port: a supervisor that starts them, replaces those that end, and restarts them in turn.

Each worker listens on a socket of its own at the same address (SO_REUSEPORT), between which the kernel spreads
connections. The supervisor serves nobody: it holds the addresses, so that no other program takes one between
two workers.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from chappe.model.errors import ConfigurationError
from chappe.server.listening import reserve

#: How a worker knows that it is one: the descriptor of its line to the supervisor.
LINE: Final = "CHAPPE_WORKER_LINE"
_READY: Final = b"r"
#: A worker that ends by itself is started again after so many seconds, twice as many each time it ends soon again.
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0
#: Who has served for so long begins with the first pause again.
_SOON_S: Final = 60.0
#: What a worker gets beyond its own time to drain, seconds, before it is killed.
_GRACE_S: Final = 5.0
#: How long a worker may take to its first accepted connection: an application may load a model.
_START_S: Final = 60.0


class Worker:
    """One process.

    Attributes:
        number: 1 to the number of workers; its successor has the same.
    """

    def __init__(self, number: int, process: asyncio.subprocess.Process, line: socket.socket) -> None:
        self.number = number
        self.process = process
        self.ready: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._line = line
        asyncio.get_running_loop().add_reader(line, self._hear)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    async def stop(self, timeout_s: float) -> None:
        """Let it drain; kill it if it takes longer."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            async with asyncio.timeout(timeout_s):
                await self.process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()

    def forget(self) -> None:
        """Let go of its line; once more does nothing."""
        if self._line.fileno() < 0:
            return
        asyncio.get_running_loop().remove_reader(self._line)
        self._line.close()
        if not self.ready.done():
            self.ready.set_result(False)

    def _hear(self) -> None:
        said = b""
        with contextlib.suppress(OSError):
            said = self._line.recv(1)
        if not self.ready.done():
            self.ready.set_result(said == _READY)
        asyncio.get_running_loop().remove_reader(self._line)


class Supervisor:
    """Runs workers until SIGTERM or SIGINT; SIGHUP restarts them one after the other.

    Attributes:
        url: where they listen.
        restarts: workers that ended by themselves and were replaced.
    """

    def __init__(
        self,
        command: Callable[[int], Sequence[str]],
        count: int,
        address: tuple[str, int],
        *,
        environ: Mapping[str, str],
        drain_timeout_s: float,
        log: logging.Logger,
        more: Mapping[str, int] | None = None,
    ) -> None:
        """Take what to run.

        Args:
            command: returns the command line of a worker that listens on a port.
            address: host and port; port 0 takes a free one.
            drain_timeout_s: how long a worker may take to let its clients go.
            more: further ports of the same host that workers listen on, by the option that chose them.
        Raises:
            ConfigurationError: an address cannot be listened on.
        """
        self._command = command
        self._count = count
        self._held = [reserve(*address)]
        self.port: int = self._held[0].getsockname()[1]
        try:
            self._held += [reserve(address[0], port, option) for option, port in (more or {}).items()]
        except ConfigurationError:
            self._let_go()
            raise
        self._environ = dict(environ)
        self._drain_timeout_s = drain_timeout_s
        self._log = log
        self._workers: dict[int, Worker] = {}
        # Successors that do not serve yet, and those that let their clients go.
        self._others: set[Worker] = set()
        # One successor of a worker at a time.
        self._turns = {number: asyncio.Lock() for number in range(1, count + 1)}
        self._stopping = asyncio.Event()
        self._restarting = asyncio.Event()
        self.restarts = 0

    async def run(self, started: Callable[[], None]) -> None:
        """Run; `started` is called when all workers accept connections.

        Raises:
            ConfigurationError: a worker ends before it serves; it has said why.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._restarting.set)
        keepers: list[asyncio.Task[None]] = []
        try:
            await self._start_all()
            if not self._stopping.is_set():
                started()
            keepers = [asyncio.create_task(self._keep(number)) for number in self._workers]
            keepers.append(asyncio.create_task(self._restart_when_asked()))
            await self._stopping.wait()
        finally:
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)
            workers = [*self._workers.values(), *self._others]
            await asyncio.gather(*(worker.stop(self._drain_timeout_s + _GRACE_S) for worker in workers))
            for worker in workers:
                worker.forget()
            self._let_go()
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)

    def _let_go(self) -> None:
        for held in self._held:
            held.close()

    async def _start_all(self) -> None:
        for number in range(1, self._count + 1):
            self._workers[number] = await self._spawn(number)
        stopping = asyncio.create_task(self._stopping.wait())
        for worker in self._workers.values():
            either: set[asyncio.Future[Any]] = {worker.ready, stopping}
            await asyncio.wait(either, timeout=_START_S, return_when=asyncio.FIRST_COMPLETED)
            if self._stopping.is_set():
                break
            if not worker.ready.done() or not worker.ready.result():
                stopping.cancel()
                raise ConfigurationError(f"worker {worker.number} did not start; what it said is above")
        stopping.cancel()

    async def _spawn(self, number: int) -> Worker:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        descriptor = theirs.fileno()
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command(self.port),
                env={**self._environ, LINE: str(descriptor)},
                pass_fds=(descriptor,),
                # A terminal's Ctrl-C is for the supervisor, which tells them in order.
                start_new_session=True,
            )
        finally:
            theirs.close()
        return Worker(number, process, ours)

    async def _keep(self, number: int) -> None:
        """Replace a worker whenever it ends by itself."""
        loop = asyncio.get_running_loop()
        pause_s = _FIRST_PAUSE_S
        while True:
            worker, begun = self._workers[number], loop.time()
            code = await worker.process.wait()
            if self._workers[number] is not worker:
                # Replaced in its turn.
                continue
            self.restarts += 1
            pause_s = _FIRST_PAUSE_S if loop.time() - begun >= _SOON_S else pause_s
            text = "worker %d (process %d) ended with %d; another follows in %.1f s"
            self._log.warning(text, number, worker.pid, code, pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(_LONGEST_PAUSE_S, pause_s * 2)
            async with self._turns[number]:
                # A restart of all may have been quicker, and its successor serves.
                if self._workers[number] is worker:
                    await self._revive(number, worker)

    async def _revive(self, number: int, former: Worker) -> None:
        """Start another worker for one that ended; the old one stays in its place if that fails, to be tried again."""
        try:
            self._workers[number] = await self._spawn(number)
        except OSError as error:
            self._log.error("worker %d cannot be started: %s", number, error)
        else:
            former.forget()

    async def _restart_when_asked(self) -> None:
        while True:
            await self._restarting.wait()
            self._restarting.clear()
            self._log.info("restarting %d workers, one after the other", self._count)
            for number in range(1, self._count + 1):
                async with self._turns[number]:
                    is_replaced = await self._replace(number)
                if not is_replaced:
                    self._log.error("worker %d did not start again; the others stay as they are", number)
                    break

    async def _replace(self, number: int) -> bool:
        """Start a successor, and end the old one when it accepts connections; False: it does not, and the old stays."""
        former = self._workers[number]
        try:
            successor = await self._spawn(number)
        except OSError as error:
            self._log.error("worker %d cannot be started: %s", number, error)
            return False
        self._others.add(successor)
        await asyncio.wait({successor.ready}, timeout=_START_S)
        is_ready = successor.ready.done() and successor.ready.result()
        leaving = former if is_ready else successor
        if is_ready:
            self._others.remove(successor)
            self._others.add(former)
            self._workers[number] = successor
        await leaving.stop(self._drain_timeout_s + _GRACE_S if is_ready else _GRACE_S)
        leaving.forget()
        self._others.remove(leaving)
        return is_ready


def report_ready() -> None:
    """Tell the supervisor, if this process is a worker, that connections are accepted; end when the supervisor does."""
    descriptor = os.environ.get(LINE)
    if descriptor is None:
        return
    line = socket.socket(fileno=int(descriptor))
    line.setblocking(True)
    with contextlib.suppress(OSError):
        # The supervisor may be gone already: the watch sees that.
        line.sendall(_READY)

    def watch() -> None:
        # The supervisor says nothing: what comes is its end.
        with contextlib.suppress(OSError):
            line.recv(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="chappe-supervisor-watch", daemon=True).start()


def is_worker() -> bool:
    """Tell whether this process is one of several."""
    return LINE in os.environ
