"""Each peer that can be started echoes, broadcasts and acknowledges; one that is missing is named with its remedy."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import pytest

from chappe.bench import mqtt, servers
from chappe.bench.comparison import measure
from chappe.bench.mqtt import MQTT_FINDERS
from chappe.bench.servers import PEER_FINDERS, Kind, MissingPeer, Server, find

from .serving import QUICK

#: What the development environment installs; the others need Node.
PYTHON_PEERS = ("websockets", "picows", "aiohttp", "uvicorn", "python-socketio", "floor")


@pytest.mark.slow
@pytest.mark.parametrize("name", PYTHON_PEERS)
def test_a_peer_understands_every_load_it_claims_to(name: str) -> None:
    server = find(name)
    kinds: tuple[Kind, ...] = ("echo", "fanout", "publish", "rooms")
    for kind in kinds:
        if kind in server.speech:
            _, result = measure(server, kind, **{**QUICK, "connections": 4, "rooms": 2})
            assert result.deliveries > 3, kind
            assert (result.lost, result.repeated, result.closed) == (0, 0, 0), kind


def test_every_program_of_a_peer_is_started_by_one() -> None:
    programs = {path.name for path in servers.PEERS.iterdir() if path.is_file()} - {"__init__.py"}
    text = "".join(inspect.getsource(module) for module in (servers, mqtt))
    assert {name for name in programs if name not in text and name.removesuffix(".py") not in text} == set()
    # mosquitto is the only one that is no program of ours.
    assert len(programs) == len(PEER_FINDERS) + len(MQTT_FINDERS) - 1


def test_a_python_peer_that_is_missing_says_how_to_install_it() -> None:
    with pytest.raises(MissingPeer) as caught:
        servers._python_peer("nothing", "chappe-no-such-package", "nothing.py")
    assert caught.value.install == "pip install chappe-no-such-package"


def test_a_node_peer_is_found_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingPeer) as caught:
        find("ws")
    assert caught.value.install == "apt-get install nodejs npm"
    node = tmp_path / "node"
    node.symlink_to(sys.executable)
    with pytest.raises(MissingPeer) as caught:
        find("ws")
    assert caught.value.install == f"npm install --prefix {tmp_path / 'cache' / 'chappe-bench'} ws"
    package = tmp_path / "node_modules" / "ws"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"version": "8.0.0"}')
    server = find("ws")
    assert (server.version, server.environ) == ("8.0.0", {"NODE_PATH": str(tmp_path / "node_modules")})


def test_a_bun_that_does_not_run_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingPeer, match="bun is missing"):
        find("bun")
    (tmp_path / "bun").symlink_to("/bin/false")
    with pytest.raises(MissingPeer, match="bun is missing"):
        find("bun")


def test_the_floor_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = Path(find("floor").command[0])
    compiled = first.stat().st_mtime_ns
    assert first.is_relative_to(tmp_path)
    assert Path(find("floor").command[0]).stat().st_mtime_ns == compiled


def test_without_a_compiler_the_floor_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingPeer, match="apt-get install gcc"):
        find("floor")


def test_a_server_says_what_it_understands() -> None:
    assert isinstance(find("uvicorn"), Server)
    assert set(find("floor").speech) == {"echo", "fanout", "rooms", "idle"}
