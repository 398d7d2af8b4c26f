"""Know the servers that can be measured: how each starts, how a load is put to it, how it is installed."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

#: `pairs` is of MQTT; its servers are in mqtt.py.
Kind = Literal["echo", "fanout", "publish", "rooms", "idle", "pairs"]

PEERS = Path(__file__).parent / "peers"
#: What a load asks of our own peers: see peers/__init__.py.
_PATHS: dict[Kind, dict[str, Any]] = {
    "echo": {"path": "/echo"},
    "fanout": {"path": "/fan"},
    "rooms": {"path": "/room/%r"},
    "idle": {"path": "/fan"},
}
#: Socket.IO: `40` opens the default namespace, `42` is an event, `421` one that wants the acknowledgement 1.
_SOCKET_IO: dict[str, Any] = {
    "path": "/socket.io/?EIO=4&transport=websocket",
    "first": ("40",),
    "answer": "40",
    "engine_io": True,
}
_EVENTS: dict[Kind, dict[str, Any]] = {
    "echo": {**_SOCKET_IO, "message": '42["echo","%s"]'},
    "fanout": {**_SOCKET_IO, "message": '42["broadcast","%s"]'},
    "publish": {**_SOCKET_IO, "message": '421["publish","%s"]'},
    "idle": _SOCKET_IO,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Server:
    """Describe something that can be measured.

    Attributes:
        command: the program with its arguments; `{port}` is the port it is told to listen on, `{folder}` where its
            `files` are.
        speech: for each kind of load it understands, the fields of `Load` that put it to this server.
        environ: variables added to the environment of the program.
        files: what it reads when it starts, by name; `{port}` is its port.
    """

    name: str
    command: tuple[str, ...]
    speech: dict[Kind, dict[str, Any]]
    version: str = ""
    environ: dict[str, str] = dataclasses.field(default_factory=dict)
    files: dict[str, str] = dataclasses.field(default_factory=dict)
    tls: bool = False


class MissingPeer(Exception):
    """Tell that a peer is not on this machine; `install` is the command that brings it."""

    def __init__(self, name: str, install: str) -> None:
        super().__init__(name, install)
        self.name = name
        self.install = install

    def __str__(self) -> str:
        return f"{self.name} is missing: {self.install}"


def cache() -> Path:
    """Return the folder in which Node packages are looked for and compiled peers are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "chappe-bench"


def find(name: str) -> Server:
    """Return a peer by its name, ready to be started.

    Raises:
        MissingPeer: it is not installed.
        KeyError: there is no such peer.
    """
    return PEER_FINDERS[name]()


def _python_peer(name: str, package: str, script: str, speech: dict[Kind, dict[str, Any]] = _PATHS) -> Server:
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise MissingPeer(name, f"pip install {package}") from None
    return Server(name=name, command=(sys.executable, str(PEERS / script), "{port}"), speech=speech, version=version)


def _uvicorn() -> Server:
    command = (sys.executable, "-m", "uvicorn", "asgi_app:app", "--app-dir", str(PEERS), "--port", "{port}")
    options = ("--log-level", "error", "--ws-per-message-deflate", "false", "--ws", "websockets-sansio")
    version = importlib.metadata.version("uvicorn")
    return Server(name="uvicorn", command=(*command, *options), speech=_PATHS, version=version)


def _node_modules(package: str) -> Path | None:
    """Return the folder with a Node package, of the working directory or of the cache."""
    folders = (Path.cwd() / "node_modules", cache() / "node_modules")
    return next((folder for folder in folders if (folder / package / "package.json").is_file()), None)


def _node_peer(name: str, script: str, speech: dict[Kind, dict[str, Any]] = _PATHS) -> Server:
    program, modules = shutil.which("node"), _node_modules(name)
    if program is None:
        raise MissingPeer(name, "apt-get install nodejs npm")
    if modules is None:
        raise MissingPeer(name, f"npm install --prefix {cache()} {name}")
    return Server(
        name=name,
        command=(program, str(PEERS / script), "{port}"),
        speech=speech,
        version=_node_version(modules / name),
        environ={"NODE_PATH": str(modules)},
    )


def _node_version(package: Path) -> str:
    return str(json.loads((package / "package.json").read_text(encoding="utf-8"))["version"])


def _bun() -> Server:
    modules = _node_modules("bun")
    program = str(modules / "bun" / "bin" / "bun.exe") if modules else shutil.which("bun")
    if program is None:
        raise MissingPeer("bun", f"npm install --prefix {cache()} bun")
    run = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    if run.returncode:
        raise MissingPeer("bun", f"npm install --prefix {cache()} bun")
    command = (program, str(PEERS / "bun_server.ts"), "{port}")
    return Server(name="bun", command=command, speech=_PATHS, version=run.stdout.strip())


def _floor() -> Server:
    """Compile the bare C server; what was compiled from the same text is used again."""
    source = PEERS / "floor.c"
    text = source.read_bytes()
    program = cache() / f"floor-{hashlib.sha256(text).hexdigest()[:12]}"
    if not program.is_file():
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if compiler is None:
            raise MissingPeer("floor", "apt-get install gcc")
        program.parent.mkdir(parents=True, exist_ok=True)
        unfinished = program.with_name(f"{program.name}.{os.getpid()}")
        subprocess.run([compiler, "-O2", "-o", str(unfinished), str(source)], check=True, capture_output=True)
        unfinished.replace(program)
    return Server(name="floor", command=(str(program), "{port}"), speech=_PATHS)


#: Every peer, in the order of the tables; `floor` is a bare C server, the least that moving the bytes costs here.
PEER_FINDERS: dict[str, Callable[[], Server]] = {
    "websockets": lambda: _python_peer("websockets", "websockets", "websockets_server.py"),
    "picows": lambda: _python_peer("picows", "picows", "picows_server.py"),
    "aiohttp": lambda: _python_peer("aiohttp", "aiohttp", "aiohttp_server.py"),
    "uvicorn": _uvicorn,
    "python-socketio": lambda: _python_peer("python-socketio", "python-socketio", "socketio_server.py", _EVENTS),
    "ws": lambda: _node_peer("ws", "ws_server.js"),
    "socket.io": lambda: _node_peer("socket.io", "socket.io_server.js", _EVENTS),
    "bun": _bun,
    "floor": _floor,
}
