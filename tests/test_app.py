"""The public `Hub` and `Server`, as applications use them, over real sockets."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

import chappe
from chappe.config import Settings, load


@contextlib.asynccontextmanager
async def serving(hub: chappe.Hub) -> AsyncIterator[str]:
    """Serve a hub on a free port; yield the URL of its WebSocket."""
    server = chappe.Server(hub, port=0)
    await server.start()
    try:
        yield f"ws://127.0.0.1:{server.port}/ws"
    finally:
        await server.stop()


def chappe_settings(**flags: Any) -> Settings:
    """Return the settings of `dev` with others."""
    return load(os.devnull, flags={"server.dev": True, **flags}).settings


async def ask(client: websockets.ClientConnection, **command: Any) -> dict[str, Any]:
    """Send a command and return its answer."""
    await client.send(json.dumps({"id": 1, **command}))
    while True:
        answer: dict[str, Any] = json.loads(await client.recv())
        if answer.get("id") == command.get("id", 1):
            return answer


async def test_the_application_publishes_and_clients_receive() -> None:
    hub = chappe.Hub(dev=True)
    async with serving(hub) as url, websockets.connect(url, proxy=None) as client:
        await ask(client, type="subscribe", channel="news")
        position = await hub.publish("news", {"hello": "world"})
        publication = json.loads(await client.recv())
        assert publication["data"] == {"hello": "world"}
        assert (publication["epoch"], publication["offset"]) == (position.epoch, position.offset)
        assert publication["from"] is None
        assert [kept.as_value() for kept in await hub.history("news")] == [{"hello": "world"}]


async def test_a_publish_that_expects_another_position_tells_what_was_missed() -> None:
    hub = chappe.Hub(dev=True)
    async with serving(hub):
        await hub.publish("news", 1)
        with pytest.raises(chappe.ChappeError) as conflict:
            await hub.publish("news", 2, expect=0)
        assert conflict.value.code == 114
        assert [missed["data"] for missed in conflict.value.detail["publications"]] == [1]


async def test_the_same_key_stores_once_and_answers_the_same() -> None:
    hub = chappe.Hub(dev=True)
    async with serving(hub):
        first = await hub.publish("news", 1, key="once")
        assert await hub.publish("news", 1, key="once") == first
        assert len(await hub.history("news")) == 1


async def test_a_page_of_history_behind_a_trimmed_position_is_refused() -> None:
    hub = chappe.Hub(dev=True)
    async with serving(hub) as url, websockets.connect(url, proxy=None) as client:
        for number in range(105):
            position = await hub.publish("news", number)
        # 100 are kept: from 5 on nothing is missing, from 4 on the fifth is.
        whole = await ask(client, type="history", channel="news", limit=3, since={"epoch": position.epoch, "offset": 5})
        assert [kept["data"] for kept in whole["publications"]] == [5, 6, 7]
        gone = await ask(client, type="history", channel="news", limit=3, since={"epoch": position.epoch, "offset": 4})
        assert gone["code"] == 112


async def test_nobody_takes_the_name_of_a_user_in_the_configuration(tmp_path: Path) -> None:
    """`[users.ada]` had reserved nothing: anybody was "ada" as long as ada was away."""
    config = tmp_path / "chappe.toml"
    config.write_text("[auth]\nanonymous = true\n[users.ada]\n", encoding="utf-8")
    hub = chappe.Hub.from_config(config, environ={})
    async with serving(hub) as url, websockets.connect(url, proxy=None) as client:
        assert (await ask(client, type="connect", name="Ada"))["code"] == 115
        assert (await ask(client, type="connect", name="Blaise"))["name"] == "Blaise"


async def test_hooks_see_change_and_refuse() -> None:
    hub = chappe.Hub(dev=True)
    seen: list[Any] = []

    @hub.on_connect
    async def connect(session: chappe.Session) -> None:
        await asyncio.sleep(0)
        if session.name == "Mallory":
            raise chappe.Refused(chappe.Code.PERMISSION_DENIED, "not you")

    @hub.on_disconnect
    def gone(session: chappe.Session, code: int) -> None:
        seen.append((session.name, code))

    @hub.on_publish("news")
    async def moderate(session: chappe.Session, publication: chappe.Draft) -> None:
        await asyncio.sleep(0)
        if publication.data == "bad":
            raise chappe.Refused(1_000, "no such words")
        publication.data = {"checked": publication.data}

    async with serving(hub) as url:
        async with websockets.connect(url, proxy=None) as refused:
            answer = await ask(refused, type="connect", name="Mallory")
            assert (answer["code"], answer["reason"]) == (103, "not you")
        async with websockets.connect(url, proxy=None) as client:
            await ask(client, type="connect", name="Ada")
            assert (await ask(client, type="publish", channel="news", data="bad"))["code"] == 1_000
            await ask(client, type="publish", channel="news", data="good")
        assert [kept.as_value() for kept in await hub.history("news")] == [{"checked": "good"}]
        async with asyncio.timeout(2):
            while ("Ada", 1000) not in seen:  # noqa: ASYNC110 - hooks are told later
                await asyncio.sleep(0.01)


async def test_an_async_hook_keeps_the_order_of_its_session_and_holds_nobody_else() -> None:
    hub = chappe.Hub(dev=True)
    gate = asyncio.Event()

    @hub.on_publish("slow")
    async def wait(session: chappe.Session, publication: chappe.Draft) -> None:
        await gate.wait()

    async with (
        serving(hub) as url,
        websockets.connect(url, proxy=None) as slow,
        websockets.connect(url, proxy=None) as fast,
    ):
        for number in range(3):
            await slow.send(json.dumps({"type": "publish", "id": number, "channel": "slow", "data": number}))
        await slow.send(json.dumps({"type": "history", "id": 9, "channel": "slow"}))
        assert (await ask(fast, type="publish", channel="quick", data=0))["type"] == "reply"
        gate.set()
        answers = [json.loads(await slow.recv()) for _ in range(4)]
        assert [answer["id"] for answer in answers] == [0, 1, 2, 9]
        assert [kept["data"] for kept in answers[3]["publications"]] == [0, 1, 2]


async def test_a_blocking_method_runs_in_a_thread_of_the_pool() -> None:
    hub = chappe.Hub(dev=True)
    threads: set[str] = set()

    @hub.rpc("work", blocking=True)
    def work(session: chappe.Session, n: int) -> int:
        threads.add(threading.current_thread().name)
        time.sleep(0.05)
        return n * 2

    @hub.rpc("add")
    async def add(session: chappe.Session, a: int, b: int) -> int:
        return a + b

    async with serving(hub) as url, websockets.connect(url, proxy=None) as client:
        began = time.monotonic()
        for number in range(16):
            await client.send(json.dumps({"type": "rpc", "id": number, "method": "work", "params": {"n": number}}))
        results = {answer["id"]: answer["result"] for answer in [json.loads(await client.recv()) for _ in range(16)]}
        assert results == {number: number * 2 for number in range(16)}
        assert time.monotonic() - began < 16 * 0.05
        assert all(name.startswith("chappe-hook") for name in threads)
        assert (await ask(client, type="rpc", method="add", params=[1, 2]))["result"] == 3
        assert (await ask(client, type="rpc", method="add", params={"a": 1}))["code"] == 107
        assert (await ask(client, type="rpc", method="nothing"))["code"] == 104


async def test_the_application_speaks_to_one_session_and_ends_it() -> None:
    hub = chappe.Hub(dev=True)
    async with serving(hub) as url, websockets.connect(url, proxy=None) as client:
        await ask(client, type="connect", name="Ada")
        (session,) = hub.sessions
        assert (session.name, session.user, session.channels) == ("Ada", None, [])
        await session.send({"only": "you"})
        assert json.loads(await client.recv()) == {"type": "message", "data": {"only": "you"}}
        await session.disconnect(4_001, "enough")
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await client.recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4_001, "enough")


async def test_start_and_stop_hooks_run_once() -> None:
    hub = chappe.Hub(dev=True)
    calls: list[str] = []
    hub.on_start(lambda: calls.append("start"))
    hub.on_stop(lambda: calls.append("stop"))
    async with serving(hub):
        await asyncio.gather(hub.start(), hub.start())
        assert calls == ["start"]
    assert calls == ["start", "stop"]


async def test_a_port_in_use_is_one_line_that_says_what_to_do() -> None:
    first = chappe.Server(chappe.Hub(dev=True), port=0)
    await first.start()
    second = chappe.Server(chappe.Hub(dev=True), port=first.port)
    with pytest.raises(chappe.ConfigurationError, match="is in use"):
        await second.start()
    await first.stop()


async def test_a_hub_with_a_configuration_warns_at_its_start_of_what_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "chappe.toml"
    file.write_text('[namespaces.default]\nsubscribe = "anonymous"\n[server]\ncert = "a.pem"\n')
    hub = chappe.Hub.from_config(file, environ={})
    await hub.start()
    await hub.stop()
    warnings = [record.getMessage() for record in caplog.records if record.name == "chappe.config"]
    assert warnings == ["server.cert and server.key belong together: set both or none"]


def test_a_hub_without_configuration_is_closed() -> None:
    hub = chappe.Hub()
    assert not hub.core.permissions.anonymous
    assert hub.core.authenticator is None


def test_a_durable_namespace_needs_a_broker_that_keeps_it() -> None:
    durable = chappe.Namespace(name="orders", level=chappe.Level.DURABLE)
    with pytest.raises(chappe.ConfigurationError, match="'orders' is durable"):
        chappe.Hub(namespaces=[durable])


@pytest.mark.slow
def test_sigterm_drains_and_exits_with_0(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import chappe\nserver = chappe.Server(chappe.Hub(dev=True), port=0)\n"
        "server.run(lambda: print(server.port, flush=True))\nprint('ended', flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    port = int(process.stdout.readline())

    async def converse() -> int:
        async with websockets.connect(f"ws://127.0.0.1:{port}/ws", proxy=None) as client:
            await ask(client, type="connect", name="Ada")
            process.send_signal(signal.SIGTERM)
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await client.recv()
            assert closed.value.rcvd is not None
            return int(closed.value.rcvd.code)

    assert asyncio.run(converse()) == 3001
    assert process.stdout.read().strip() == "ended"
    assert process.wait(10) == 0
    process.stdout.close()


async def test_a_loop_that_publishes_lets_its_readers_read() -> None:
    hub = chappe.Hub(dev=True)
    async with serving(hub) as url, websockets.connect(url, proxy=None, max_queue=None) as client:
        await ask(client, type="subscribe", channel="news")
        for _ in range(5_000):
            await hub.publish("news", "x" * 1_000)
        async with asyncio.timeout(10):
            for offset in range(1, 5_001):
                assert json.loads(await client.recv())["offset"] == offset


async def test_a_server_that_runs_cannot_be_started_again() -> None:
    hub = chappe.Hub(dev=True)
    server = chappe.Server(hub, port=0)
    await server.start()
    with pytest.raises(chappe.ChappeError, match="the server runs already; stop it first"):
        await server.start()
    async with websockets.connect(f"ws://127.0.0.1:{server.port}/ws", proxy=None) as client:
        assert (await ask(client, type="publish", channel="news", data=1))["type"] == "reply"
    await server.stop()
    with pytest.raises(OSError):
        await websockets.connect(f"ws://127.0.0.1:{server.port}/ws", proxy=None)
    await server.start()
    await server.stop()


async def test_a_second_server_of_a_hub_neither_fails_nor_ends_at_the_cost_of_the_first() -> None:
    hub = chappe.Hub(dev=True)
    first = chappe.Server(hub, port=0)
    await first.start()
    with pytest.raises(chappe.ConfigurationError, match="is in use"):
        await chappe.Server(hub, port=first.port).start()
    other = chappe.Server(hub, port=0)
    await other.start()
    await other.stop()
    async with websockets.connect(f"ws://127.0.0.1:{first.port}/ws", proxy=None) as client:
        assert (await ask(client, type="publish", channel="news", data=1))["type"] == "reply"
    await first.stop()
    with pytest.raises(chappe.ChappeError):
        await hub.publish("news", 2)


async def test_a_stop_hook_that_fails_or_hangs_stops_nothing_else() -> None:
    settings = chappe_settings(**{"server.drain_timeout_s": 0.5})
    hub = chappe.Hub(settings=settings)
    told: list[BaseException] = []
    ran: list[str] = []
    hub.on_error(told.append)

    @hub.on_stop
    def fail() -> None:
        raise KeyError("x")

    @hub.on_stop
    async def hang() -> None:
        await asyncio.sleep(60)

    hub.on_stop(lambda: ran.append("last"))
    began = time.monotonic()
    async with serving(hub):
        pass
    assert time.monotonic() - began < 3
    assert ran == ["last"]
    assert [type(error) for error in told] == [KeyError, TimeoutError]
    with pytest.raises(chappe.ChappeError):
        await hub.publish("news", 1)


async def test_a_start_hook_that_fails_leaves_no_broker_running() -> None:
    hub = chappe.Hub(dev=True)
    fails = True

    @hub.on_start
    def start() -> None:
        if fails:
            raise KeyError("x")

    with pytest.raises(KeyError):
        await hub.start()
    with pytest.raises(chappe.ChappeError):
        await hub.publish("news", 1)
    fails = False
    await hub.start()
    assert (await hub.publish("news", 1)).offset == 1
    await hub.stop()


def test_a_hub_whose_event_loop_ended_without_stop_starts_on_the_next() -> None:
    hub = chappe.Hub(dev=True)
    starts: list[int] = []
    hub.on_start(lambda: starts.append(1))

    async def converse() -> None:
        server = chappe.Server(hub, port=0)
        await server.start()
        async with websockets.connect(f"ws://127.0.0.1:{server.port}/ws", proxy=None) as client:
            assert (await ask(client, type="publish", channel="news", data=1))["type"] == "reply"
        await server.stop()

    async def leave() -> None:
        await hub.start()
        await hub.publish("news", 1)

    asyncio.run(leave())
    asyncio.run(converse())
    assert len(starts) == 2


async def test_an_ipv6_host_is_answered_as_browsers_name_it() -> None:
    server = chappe.Server(chappe.Hub(), host="::1", port=0)
    await server.start()
    async with httpx.AsyncClient(trust_env=False) as http:
        for host, status in (("[::1]", 200), (f"[::1]:{server.port}", 200), ("evil.example", 421)):
            answer = await http.get(f"{server.url}/healthz", headers={"Host": host})
            assert answer.status_code == status, host
    await server.stop()


@pytest.mark.slow
def test_a_blocking_hook_does_not_hold_the_process(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import asyncio, time, chappe, websockets\n"
        "from chappe.config import load\n"
        "flags = {'server.dev': True, 'server.drain_timeout_s': 0.5}\n"
        "hub = chappe.Hub(settings=load('/dev/null', flags=flags).settings)\n"
        "@hub.on_publish('#', blocking=True)\n"
        "def slow(session, publication):\n    time.sleep(60)\n"
        "async def main():\n"
        "    server = chappe.Server(hub, port=0)\n    await server.start()\n"
        "    async with websockets.connect(f'ws://127.0.0.1:{server.port}/ws', proxy=None) as client:\n"
        '        await client.send(\'{"type":"publish","id":1,"channel":"a","data":1}\')\n'
        "        await asyncio.sleep(0.2)\n"
        "    await server.stop()\n"
        "asyncio.run(main())\n"
    )
    began = time.monotonic()
    assert subprocess.run([sys.executable, str(program)], timeout=30, check=False).returncode == 0
    assert time.monotonic() - began < 15
