"""What tests of the command line share: English, a runner, an echo server that misbehaves on request, a hub."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future

# Before anything imports the texts, which are chosen once.
for _name in ("LC_ALL", "LC_MESSAGES", "LANG"):
    os.environ.pop(_name, None)

import pytest  # noqa: E402
from click.testing import CliRunner, Result  # noqa: E402
from websockets.exceptions import ConnectionClosed  # noqa: E402
from websockets.sync.server import Server as EchoServer  # noqa: E402
from websockets.sync.server import ServerConnection, serve  # noqa: E402
from websockets.typing import Subprotocol  # noqa: E402

from chappe.app import Hub  # noqa: E402
from chappe.cli import main  # noqa: E402
from chappe.serving import Server  # noqa: E402

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line in a directory of its own, with a clean environment."""
    monkeypatch.chdir(tmp_path_factory.mktemp("cwd"))
    for name in [name for name in os.environ if name.startswith("CHAPPE_")]:
        monkeypatch.delenv(name)

    def run(*arguments: str, stdin: str | bytes | None = None, env: dict[str, str] | None = None) -> Result:
        return CliRunner().invoke(main, arguments, input=stdin, env=env, prog_name="chappe", catch_exceptions=False)

    return run


def misbehave(connection: ServerConnection) -> None:
    """Echo, or do what the message says: `bye`, `done`, `cut`, `headers`, `bytes`."""
    try:
        for message in connection:
            match message:
                case "bye":
                    connection.close(4500, "go away")
                case "done":
                    connection.close(1000, "done")
                case "cut":
                    connection.socket.shutdown(socket.SHUT_RDWR)
                case "headers":
                    assert connection.request is not None
                    connection.send(str(dict(connection.request.headers.raw_items())))
                case "bytes":
                    connection.send(b"\x00\xffab")
                case _:
                    connection.send(message)
    except ConnectionClosed:
        return


def choose_chat(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Speak `chat` with whoever offers it, and no subprotocol with the others."""
    return Subprotocol("chat") if "chat" in offered else None


@pytest.fixture(scope="session")
def echo_url() -> Iterator[str]:
    """Run the echo server of the `websockets` library, no relative of ours."""
    with serve(misbehave, "127.0.0.1", 0, select_subprotocol=choose_chat) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{port_of(server)}"
        server.shutdown()
        thread.join()


def port_of(server: EchoServer) -> int:
    port: int = server.socket.getsockname()[1]
    return port


@pytest.fixture(scope="session")
def hub_url() -> Iterator[str]:
    """Run an open hub of ours in a thread."""
    with run_in_thread(Hub(dev=True)) as url:
        yield url


class run_in_thread:  # noqa: N801 - used as a function
    """Run a hub on a free port in a thread of its own while the block runs."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._url: Future[str] = Future()
        self._stop: Future[Callable[[], object]] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="hub")

    def __enter__(self) -> str:
        self._thread.start()
        return self._url.result(10)

    def __exit__(self, *_: object) -> None:
        self._stop.result(10)()
        self._thread.join(30)

    async def _run(self) -> None:
        server = Server(self._hub, port=0)
        leave = asyncio.Event()
        loop = asyncio.get_running_loop()
        try:
            await server.start()
        except BaseException as error:
            self._url.set_exception(error)
            raise
        self._stop.set_result(lambda: loop.call_soon_threadsafe(leave.set))
        self._url.set_result(server.url)
        await leave.wait()
        await server.stop()


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
