"""Every file of examples/ does what the docs say, against a hub started as the docs start it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
import websockets

import chappe
from chappe.testing import FaultProxy, running_hub
from tests.docs.library import ROOT, shelf

EXAMPLES = ROOT / "examples"
BIN = Path(sys.executable).parent

#: What a program prints, piece by piece, in this order.
PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "client_blocking.py": ("{'job': 1}",),
    "client_classic.py": ("Ada: hello",),
    "client_counter.py": (str(list(range(1, 21))), "alone until"),
    "client_news.py": ("{'headline': 2} of",),
    "client_websocket.py": ("text", r"b'\x00\xff'"),
    "events.sh": ("event: subscribed", '"data":{"hello": "curl"}', 'data: {"hello": "curl"}'),
    "faults.py": ("in order and complete: True", "connections: True"),
    "idempotent_publish.py": ("same place: True", "stored: 1"),
    "idempotent_publish.sh": ('{"offset":1,', '{"offset":1,'),
    "kills.py": ("clean: True recovered: True",),
    "locks.py": ("one works with token", "two is refused: 118 held by one: True", "its token is larger: True"),
    "long_polling.mjs": ("message hello",),
    "long_polling.py": ("[1, 2, 3]",),
    "long_polling.sh": ('"channel":"news"', '"offset":1', '"data":"hello curl"', '"messages":[]', "join"),
    "own_server.py": ("start", "connect Ada", "message {'only': 'you'}", "disconnect Ada 1000", "stop"),
    "presence.py": ("now: 1 ['Watcher']", "came: Watcher"),
    "quickstart/hello.py": ("1 {'hello': 'world'}",),
    "quickstart/hello.sh": ('{"offset":1,',),
    "slow_reader.py": ("in order and complete: True recovered: True",),
    "terminal.sh": ('{"title": "hello"}', "a second line", '"data": "a second line"', "hello"),
}
#: What runs a program, by the end of its name.
RUNNERS: Mapping[str, str] = {".py": sys.executable, ".sh": "bash", ".mjs": "node"}
#: What has a test of its own: here, in tests/test_asgi.py, in tests/conformance or in tests/browser.
ELSEWHERE = {
    "classic_client.py",
    "client_hostile_network.py",
    "client_survives.py",
    "django_mount/__init__.py",
    "django_mount/asgi.py",
    "events.html",
    "fastapi_mount.py",
    "hooks.py",
    "living_room/chappe.toml",
    "living_room/lamp.sh",
    "living_room/sensors.sh",
    "living_room/switch.sh",
    "living_room/without_hub.sh",
    "mqtt_auth.py",
    "mqtt_lamp.py",
    "mqtt_switch.py",
    "phones_and_tabs.html",
    "quickstart/hello.html",
    "transports.html",
    "tutorial/bot.py",
    "tutorial/chappe.toml",
    "tutorial/chat.html",
    "tutorial/dev.toml",
    "tutorial/first.html",
    "tutorial/hub.py",
}

#: Configurations to copy from; the hub must understand each.
CONFIGURATIONS = sorted(str(file.relative_to(EXAMPLES)) for file in (EXAMPLES / "config").glob("*.toml"))

OPEN_CHAT = """
[auth]
anonymous = true
[namespaces.chat]
level = "recoverable"
subscribe = "anonymous"
publish = "anonymous"
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


def environment(**more: str) -> dict[str, str]:
    """Return the environment in which `chappe` and `python` are those of this test."""
    path = os.pathsep.join([str(BIN), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", **more}


async def line_with(stream: asyncio.StreamReader, wanted: str) -> str:
    """Read lines until one has a text; fail with what was said when the stream ends before."""
    said = []
    while line := (await stream.readline()).decode():
        said.append(line)
        if wanted in line:
            return line
    raise AssertionError(f"{wanted!r} was not said, but:\n{''.join(said)}")


@contextlib.asynccontextmanager
async def started(*command: str, cwd: Path, **env: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a program; end it with the block."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env=environment(**env),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()


@contextlib.asynccontextmanager
async def serving(*arguments: str, cwd: Path) -> AsyncIterator[str]:
    """Run `chappe serve` on a free port; yield its host and port."""
    async with started("chappe", "serve", *arguments, "--port", "0", cwd=cwd) as hub:
        assert hub.stdout is not None
        line = await line_with(hub.stdout, "serves http://")
        reading = asyncio.create_task(hub.stdout.read())
        yield line.split("http://")[1].split()[0]
        hub.terminate()
        await reading


def copied(example: str, where: str, folder: Path) -> Path:
    """Copy an example with the address of a hub in place of the one that it names."""
    copy = folder / Path(example).name
    copy.write_text((EXAMPLES / example).read_text(encoding="utf-8").replace("127.0.0.1:8080", where), "utf-8")
    return copy


def test_every_example_has_a_test() -> None:
    there = {str(file.relative_to(EXAMPLES)) for file in shelf() if file.is_relative_to(EXAMPLES)}
    assert there == {*PROGRAMS, *ELSEWHERE, *CONFIGURATIONS}


@pytest.mark.parametrize("example", sorted(PROGRAMS))
async def test_a_program_does_what_the_docs_say(example: str, tmp_path: Path) -> None:
    async with serving("--dev", cwd=tmp_path) as where:
        program = copied(example, where, tmp_path)
        runner = RUNNERS[program.suffix]
        # curl 7.81, on Debian 11 and Ubuntu 22.04, does not know --json.
        assert shutil.which("curl")
        async with started(runner, str(program), cwd=tmp_path, CHAPPE_URL=f"http://{where}") as process:
            assert process.stdout is not None
            said = ""
            for piece in PROGRAMS[example]:
                while piece not in said:
                    more = (await process.stdout.read(4096)).decode()
                    assert more, f"{example} ended without saying {piece!r}, it said:\n{said}"
                    said += more
                said = said.partition(piece)[2]


async def test_the_classic_client_speaks_and_hears(tmp_path: Path) -> None:
    async with serving("--dev", cwd=tmp_path) as where:
        command = (sys.executable, str(EXAMPLES / "classic_client.py"), "Ada", f"ws://{where}/")
        async with started(*command, cwd=tmp_path) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            await line_with(process.stdout, "join Ada")
            process.stdin.write(b"good morning\n")
            assert "good morning" in await line_with(process.stdout, "message")


async def test_the_surviving_client_comes_back_after_a_cut_and_misses_nothing(tmp_path: Path) -> None:
    async with serving("--dev", cwd=tmp_path) as where:
        host, _, port = where.partition(":")
        async with FaultProxy(host, int(port)) as proxy, chappe.connect(f"ws://{where}/ws") as other:
            command = (sys.executable, str(EXAMPLES / "client_survives.py"), f"ws://127.0.0.1:{proxy.port}/ws")
            async with started(*command, cwd=tmp_path) as process:
                assert process.stdout is not None
                await line_with(process.stdout, "connected")
                await other.publish("news", "one")
                await line_with(process.stdout, "1 one")
                proxy.cut()
                await other.publish("news", "two")
                await line_with(process.stdout, "disconnected")
                await line_with(process.stdout, "nothing was missed")
                await line_with(process.stdout, "2 two")


async def test_a_switch_by_websocket_turns_a_lamp_by_mqtt(tmp_path: Path) -> None:
    async with running_hub(mqtt=True) as running:
        address = ("127.0.0.1", str(running.mqtt_port))
        async with started(sys.executable, str(EXAMPLES / "mqtt_lamp.py"), *address, cwd=tmp_path) as lamp:
            assert lamp.stdout is not None
            await line_with(lamp.stdout, "ready")
            command = (sys.executable, str(EXAMPLES / "mqtt_switch.py"), running.ws_url)
            async with started(*command, cwd=tmp_path) as switch:
                assert switch.stdout is not None
                assert (await switch.stdout.read()).decode().splitlines() == [
                    f"the lamp is {state}" for state in ("off", "on", "off")
                ]
            lamp.kill()
            async with chappe.connect(running.ws_url) as client, client.subscribe("house/lamp") as states:
                async for publication in states:
                    if publication.data == "gone":
                        break


async def test_the_hooks_refuse_soften_and_answer(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "hooks.py", tmp_path / "hooks.py")
    (tmp_path / "chappe.toml").write_text(OPEN_CHAT, "utf-8")
    async with serving("hooks:hub", cwd=tmp_path) as where:
        url = f"ws://{where}/ws"
        with pytest.raises(chappe.ChappeError) as refused:
            await chappe.connect(url, name="Mallory")
        assert refused.value.code == chappe.Code.PERMISSION_DENIED
        async with chappe.connect(url, name="Ada") as ada, ada.subscribe("chat/lobby") as room:
            await ada.publish("chat/lobby", {"type": "message", "content": "damn", "username": "Ada"})
            assert (await anext(room)).data["content"] == "***"
            assert await ada.call("add", a=1, b=2) == 3
            assert await ada.call("slow") == "done"


@pytest.mark.parametrize("name", CONFIGURATIONS)
async def test_a_configuration_of_the_docs_is_accepted(name: str, tmp_path: Path) -> None:
    """Files that a configuration names are put where the copy says."""
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    config = tmp_path / "chappe.toml"
    config.write_text(text.replace("/etc/chappe", str(tmp_path)), "utf-8")
    for making in (
        ("--user", "ada", "--secret-file", "hub.secret", "--new-secret"),
        ("--api", "--name", "backend", "--keys-file", "api.keys"),
    ):
        async with started("chappe", "token", "create", *making, cwd=tmp_path) as process:
            assert await process.wait() == 0
    async with started("chappe", "config", "show", "--config", str(config), "--changed", cwd=tmp_path) as process:
        assert process.stdout is not None
        said = (await process.stdout.read()).decode()
        assert await process.wait() == 0, said


async def test_the_tutorial_hub_keeps_what_was_said_and_refuses_the_nameless(tmp_path: Path) -> None:
    for file in ("hub.py", "chappe.toml"):
        shutil.copy(EXAMPLES / "tutorial" / file, tmp_path / file)
    async with serving("hub:hub", cwd=tmp_path) as where:
        url = f"ws://{where}/ws"
        async with chappe.connect(url, name="Ada") as ada:
            await ada.publish("chat/lobby", "hello")
            with pytest.raises(chappe.ChappeError) as refused:
                await ada.publish("chat/lobby", "x" * 501)
            assert refused.value.code == 1001
        async with chappe.connect(url) as nameless, nameless.subscribe("chat/lobby", since=50) as room:
            assert (await anext(room)).data == "hello"
            with pytest.raises(chappe.ChappeError) as refused:
                await nameless.publish("chat/lobby", "hello")
            assert refused.value.code == chappe.Code.PERMISSION_DENIED
            with pytest.raises(chappe.ChappeError):
                await nameless.publish("news", "hello")


async def test_the_tutorial_bot_tells_the_time(tmp_path: Path) -> None:
    async with serving("--dev", cwd=tmp_path) as where:
        bot = copied("tutorial/bot.py", where, tmp_path)
        async with (
            started(sys.executable, str(bot), cwd=tmp_path),
            chappe.connect(f"ws://{where}/ws", name="Ada") as ada,
            ada.subscribe("chat/lobby", presence=True) as room,
        ):
            deadline = time.monotonic() + 10
            while len((await ada.presence("chat/lobby")).members) < 2:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)
            await ada.publish("chat/lobby", "!time")
            said = [(await anext(room)).data for _ in range(2)]
            assert said[0] == "!time"
            assert said[1].startswith("it is ")


async def test_pages_may_connect_from_the_origins_of_the_tutorial_only(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "tutorial" / "dev.toml", tmp_path / "chappe.toml")
    async with serving("--dev", cwd=tmp_path) as where:
        url = f"ws://{where}/ws"
        async with websockets.connect(url, origin=websockets.Origin("http://127.0.0.1:8000"), proxy=None):
            pass
        with pytest.raises(websockets.InvalidStatus):
            await websockets.connect(url, origin=websockets.Origin("http://127.0.0.1:9000"), proxy=None)
