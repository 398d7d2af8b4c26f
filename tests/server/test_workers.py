"""Several processes behind one port: they are one hub, and none of them is missed when it goes.

The supervisor runs as users run it. Without a configured broker the workers share the NATS server that it starts.
"""

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any, Self

import psutil
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as websocket
from websockets.exceptions import ConnectionClosed

import chappe
from chappe.server.workers import LINE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("CHAPPE_")}


class Hub:
    """`chappe serve` with workers, until the block ends."""

    def __init__(self, *arguments: str, cwd: Path | None = None) -> None:
        self._arguments = arguments
        self._cwd = cwd
        self.lines: list[str] = []

    async def __aenter__(self) -> Self:
        command = [sys.executable, "-m", "chappe", "serve", "--port", "0", *self._arguments]
        self.process = await asyncio.create_subprocess_exec(
            *command, stdout=-1, stderr=asyncio.subprocess.STDOUT, env=CLEAN, cwd=self._cwd, limit=2**20
        )
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.terminate()
        await self.process.wait()
        await self._reading

    async def said(self, text: str, count: int = 1) -> str:
        """Wait until the hub has said something so often; return the last such line."""
        while True:
            found = [line for line in self.lines if text in line]
            if len(found) >= count:
                return found[count - 1]
            assert not self._reading.done(), "".join(self.lines)
            await asyncio.sleep(0.02)

    @property
    def pids(self) -> list[int]:
        """Processes of workers that ever served, in the order in which they began."""
        return [int(line.rpartition(" ")[2]) for line in self.lines if "start: serving" in line]

    async def port(self) -> int:
        line = await self.said(" workers (")
        return int(line.partition("http://127.0.0.1:")[2].partition(" ")[0])

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(line.decode())


async def nodes_of(port: int, wanted: int) -> set[str]:
    """Ask `/version` over new connections until so many nodes have answered."""
    nodes: set[str] = set()
    while len(nodes) < wanted:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        nodes.add(json.loads(answer.partition(b"\r\n\r\n")[2])["node"])
    return nodes


async def login(port: int, name: str) -> tuple[ClientConnection, dict[str, Any]]:
    """Log in and return the first answer."""
    client = await websocket(f"ws://127.0.0.1:{port}/")
    await client.send(json.dumps({"type": "login", "content": name}))
    return client, json.loads(await client.recv())


async def users(client: ClientConnection, wanted: list[str]) -> None:
    """Read until the list of users is this one."""
    while True:
        message = json.loads(await client.recv())
        if message["type"] == "userlist" and sorted(message["users"]) == wanted:
            return


async def test_workers_are_one_hub_for_their_users() -> None:
    async with Hub("--dev", "--workers", "2") as hub:
        port = await hub.port()
        assert len(await nodes_of(port, 2)) == 2
        names = [f"user {number}" for number in range(8)]
        clients = [(await login(port, name))[0] for name in names]
        await asyncio.gather(*(users(client, names) for client in clients))
        for _ in range(4):
            refused, answer = await login(port, "USER 3")
            assert answer["code"] == 115
            await refused.close()
        await clients[0].send(json.dumps({"type": "message", "content": "hello"}))
        for client in clients:
            while (message := json.loads(await client.recv()))["type"] != "message":
                pass
            assert (message["content"], message["username"]) == ("hello", "user 0")
            await client.close()


async def test_a_worker_that_is_killed_is_replaced_and_its_users_leave() -> None:
    async with Hub("--dev", "--workers", "2") as hub:
        port = await hub.port()
        await hub.said("start: serving", 2)
        clients = [(await login(port, f"user {number}"))[0] for number in range(8)]
        await asyncio.gather(*(users(client, [f"user {number}" for number in range(8)]) for client in clients))
        os.kill(hub.pids[0], signal.SIGKILL)
        await hub.said("ended with -9")
        await hub.said("start: serving", 3)
        alive = []
        for number, client in enumerate(clients):
            try:
                await client.send(json.dumps({"type": "ping"}))
                while json.loads(await client.recv())["type"] != "pong":
                    pass
                alive.append((f"user {number}", client))
            except ConnectionClosed:
                continue
        assert 0 < len(alive) < 8, "the kernel gave all connections to one worker"
        left = sorted(name for name, _ in alive)
        await asyncio.gather(*(users(client, left) for _, client in alive))
        for _, client in alive:
            await client.close()


async def test_a_rolling_restart_under_load_loses_nothing_acknowledged(tmp_path: Path) -> None:
    quick: Any = {"reconnect_interval_ms": 50, "reconnect_max_ms": 200}
    # All of the load is kept: what a hub forgot is told as a gap, and other tests show that.
    config = tmp_path / "chappe.toml"
    config.write_text(
        "[server]\nworkers = 2\n[auth]\nanonymous = true\n[limits]\nmessages_per_s = 0\n[namespaces.default]\n"
        'level = "recoverable"\nhistory_count = 100000\nhistory_age_s = 600\n'
        'subscribe = "anonymous"\npublish = "anonymous"\n'
    )
    async with Hub("--config", str(config)) as hub:
        port = await hub.port()
        await hub.said("start: serving", 2)
        url = f"ws://127.0.0.1:{port}/ws"
        acknowledged: list[int] = []
        over = asyncio.Event()

        async with chappe.connect(url, **quick) as writer, chappe.connect(url, **quick) as reader:

            async def publish() -> None:
                number = 0
                # Without a name or a token it is known by its handle alone, which outlives its worker: what it had not
                # heard of when that went is repeated, and never of unknown fate (`Unconfirmed`).
                while not over.is_set():
                    await writer.publish("news", number)
                    acknowledged.append(number)
                    number += 1

            async with reader.subscribe("news") as news:
                seen: list[Any] = []

                async def read() -> None:
                    # While it is published: who reads nothing for longer than a gap may be is told that it has one.
                    while (item := (await anext(news)).data) != "over":
                        seen.append(item)

                publishing, reading = asyncio.create_task(publish()), asyncio.create_task(read())
                hub.process.send_signal(signal.SIGHUP)
                await hub.said("stop: served", 2)
                over.set()
                await publishing
                await writer.publish("news", "over")
                await reading
                assert seen == sorted(set(seen))
                assert acknowledged == seen
                assert len(acknowledged) > 10
        assert len(set(hub.pids)) == 4


async def test_a_nats_server_that_is_killed_comes_back_for_the_workers() -> None:
    async with Hub("--dev", "--workers", "2") as hub:
        port = await hub.port()
        await hub.said("start: serving", 2)
        watcher, _ = await login(port, "Ada")
        nats = next(each for each in psutil.Process(hub.process.pid).children() if "nats" in each.name())
        nats.kill()
        await hub.said("it is started again")
        # A client that lost its feed is told to come back; a name is given only with the engine.
        await watcher.close()
        answer: dict[str, Any] = {}
        while answer.get("type") == "error" or not answer:
            client, answer = await login(port, "Blaise")
            if answer["type"] == "error":
                await client.close()
        await users(client, ["Blaise"])
        await client.close()


SLOW = """\
import os, time
from chappe import Hub
from chappe.config import load
if os.path.exists("slow"):
    time.sleep(2)
hub = Hub(settings=load(os.devnull, os.environ, {"server.workers": 2, "server.dev": True}).settings)
"""


async def test_a_worker_that_dies_while_its_successor_starts_is_replaced_once(tmp_path: Path) -> None:
    (tmp_path / "slow_app.py").write_text(SLOW)
    async with Hub("slow_app:hub", cwd=tmp_path) as hub:
        await hub.said("start: serving", 2)
        await hub.said(" workers (")
        (tmp_path / "slow").touch()
        hub.process.send_signal(signal.SIGHUP)
        await hub.said("restarting 2 workers")
        # The one that was started first is the first in turn; their ages may not differ by a tick of the clock.
        os.kill(min(hub.pids), signal.SIGKILL)
        await hub.said("ended with -9")
        await hub.said("start: serving", 4)
        # Longer than any other successor would take.
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await hub.said("start: serving", 5)
        workers = [each for each in psutil.Process(hub.process.pid).children() if "nats" not in each.name()]
        assert len(workers) == 2


async def test_a_second_signal_while_workers_start_ends_all_of_them(tmp_path: Path) -> None:
    (tmp_path / "slow_app.py").write_text(SLOW)
    (tmp_path / "slow").touch()
    async with Hub("slow_app:hub", cwd=tmp_path) as hub:
        supervisor = psutil.Process(hub.process.pid)
        while len(supervisor.children()) < 3:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.05)
        children = supervisor.children()
        for _ in range(2):
            hub.process.terminate()
        assert await hub.process.wait() == 0
        _, left = await asyncio.to_thread(psutil.wait_procs, children, 10)
        assert left == []
        assert not any(" workers (" in line for line in hub.lines)


async def test_a_stop_in_the_middle_of_a_restart_leaves_no_process(tmp_path: Path) -> None:
    (tmp_path / "slow_app.py").write_text(SLOW)
    async with Hub("slow_app:hub", cwd=tmp_path) as hub:
        await hub.said("start: serving", 2)
        (tmp_path / "slow").touch()
        supervisor = psutil.Process(hub.process.pid)
        hub.process.send_signal(signal.SIGHUP)
        while len(supervisor.children()) < 4:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.05)
        children = supervisor.children()
        hub.process.terminate()
        assert await hub.process.wait() == 0
        assert [each for each in children if each.is_running() and each.status() != psutil.STATUS_ZOMBIE] == []


async def test_workers_end_when_their_supervisor_is_killed() -> None:
    async with Hub("--dev", "--workers", "2") as hub:
        await hub.port()
        await hub.said("start: serving", 2)
        workers = [psutil.Process(pid) for pid in hub.pids]
        hub.process.kill()
        ended, left = await asyncio.to_thread(psutil.wait_procs, workers, 30)
        assert (len(ended), left) == (2, [])


async def test_a_worker_that_cannot_start_ends_everything_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(
        "import os\nfrom chappe import Hub\n"
        f"if '{LINE}' in os.environ:\n    raise SystemExit('no model found')\n"
        "from chappe.config import load\n"
        "hub = Hub(settings=load(os.devnull, flags={'server.workers': 2}).settings)\n"
    )
    async with Hub("broken:hub", cwd=tmp_path) as hub:
        assert await hub.process.wait() == 1
    said = "".join(hub.lines)
    assert "no model found" in said
    assert "did not start" in said


async def test_a_broker_of_one_process_is_refused(tmp_path: Path) -> None:
    async with Hub("--dev", "--workers", "2", "--broker", f"sqlite:///{tmp_path}/a.db") as hub:
        assert await hub.process.wait() == 1
    assert "sqlite is for one" in "".join(hub.lines)


async def test_a_port_of_mqtt_that_another_group_has_is_one_line() -> None:
    # Two groups of workers shared it without a word, and half of the devices were on the other hub.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    async with Hub("--dev", "--workers", "2", "--mqtt-port", port) as first:
        await first.port()
        async with Hub("--dev", "--workers", "2", "--mqtt-port", port) as second:
            assert await second.process.wait() == 1
        assert first.process.returncode is None
    assert f"port {port} is in use" in "".join(second.lines)
    assert "--mqtt-port" in "".join(second.lines)


async def test_a_port_in_use_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        async with Hub("--dev", "--workers", "2", "--port", str(taken.getsockname()[1])) as hub:
            assert await hub.process.wait() == 1
    assert "is in use" in hub.lines[-1] or "is in use" in "".join(hub.lines)
