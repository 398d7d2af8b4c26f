"""A peer of the client that the tests script: a small chappe.v1 hub that cuts, delays, refuses and forgets."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

Fields = dict[str, Any]


@dataclass
class Channel:
    epoch: str = "e1"
    offset: int = 0
    history: list[Fields] = field(default_factory=list)
    keys: dict[str, int] = field(default_factory=dict)


class Peer:
    """One connection of a client to the scripted hub."""

    def __init__(self, hub: "ScriptedHub", socket: ServerConnection, number: int) -> None:
        self.hub = hub
        self.socket = socket
        self.session = f"session-{number}"
        self.name = ""
        self.channels: dict[str, bool] = {}
        self.binary = socket.subprotocol == "chappe.v1.msgpack"

    async def send(self, *messages: Fields) -> None:
        encode = msgspec.msgpack.encode if self.binary else msgspec.json.encode
        frame = encode(messages[0] if len(messages) == 1 else list(messages))
        with suppress(ConnectionClosed):
            await self.socket.send(frame, text=not self.binary)

    def cut(self) -> None:
        """End the connection without a closing handshake."""
        self.socket.transport.abort()

    async def converse(self) -> None:
        decode: Callable[[Any], Any] = msgspec.msgpack.decode if self.binary else msgspec.json.decode
        with suppress(ConnectionClosed):
            async for frame in self.socket:
                command = decode(frame)
                self.hub.frames.append(command if isinstance(command, list) else [command])
                for one in command if isinstance(command, list) else [command]:
                    await self.hub.take(self, one)


class ScriptedHub:
    """Keeps publications in memory and answers as interfaces.md says; `script` overrides it by type of command."""

    def __init__(self) -> None:
        #: Whether handles of earlier sessions are good.
        self.resumes = True
        self.channels: dict[str, Channel] = {}
        self.peers: list[Peer] = []
        self.commands: list[Fields] = []
        self.frames: list[list[Fields]] = []
        #: By type of command: answers instead of the hub; returns whether it did.
        self.script: dict[str, Callable[[Peer, Fields], Any]] = {}
        self.history_size = 10_000
        self.connects = 0
        self.port = 0
        self._numbers = itertools.count(1)
        self._server: Server | None = None
        self._received = asyncio.Event()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    def channel(self, name: str) -> Channel:
        return self.channels.setdefault(name, Channel())

    def of_type(self, kind: str) -> list[Fields]:
        return [command for command in self.commands if command["type"] == kind]

    async def wait_for(self, kind: str, count: int = 1) -> list[Fields]:
        """Return the commands of a type when there are so many."""
        while len(found := self.of_type(kind)) < count:
            self._received.clear()
            await self._received.wait()
        return found

    async def start(self) -> Self:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            self.port,
            select_subprotocol=_choose,
            ping_interval=None,
            compression=None,
            close_timeout=1,
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def stop(self) -> None:
        """Stop as if killed: connections are cut and the port is free."""
        if self._server is not None:
            self.cut()
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    def cut(self) -> None:
        for peer in tuple(self.peers):
            peer.cut()

    async def close(self, code: int, reason: str = "") -> None:
        for peer in tuple(self.peers):
            await peer.socket.close(code, reason)

    async def publish(self, name: str, data: Any, **more: Any) -> Fields:
        channel = self.channel(name)
        channel.offset += 1
        publication = {
            "channel": name,
            "data": data,
            "offset": channel.offset,
            "epoch": channel.epoch,
            "time": "2026-11-22T12:00:00.123Z",
            "from": None,
            **more,
        }
        channel.history.append(publication)
        del channel.history[: max(len(channel.history) - self.history_size, 0)]
        await self.push(name, {"type": "publication", **publication})
        return publication

    async def push(self, name: str, message: Fields) -> None:
        for peer in tuple(self.peers):
            if name in peer.channels:
                await peer.send(message)

    def forget(self, name: str) -> None:
        """Lose a channel, as a restart with a broker in memory does."""
        old = self.channels.pop(name)
        self.channels[name] = Channel(epoch=old.epoch + "'")

    async def take(self, peer: Peer, command: Fields) -> None:
        self.commands.append(command)
        self._received.set()
        scripted = self.script.get(command["type"])
        if scripted is not None:
            done = scripted(peer, command)
            if asyncio.iscoroutine(done):
                done = await done
            if done:
                return
        handler = getattr(self, f"_{command['type']}", None)
        if handler is not None:
            await handler(peer, command)

    async def _serve(self, socket: ServerConnection) -> None:
        peer = Peer(self, socket, next(self._numbers))
        self.peers.append(peer)
        try:
            await peer.converse()
        finally:
            self.peers.remove(peer)

    async def _connect(self, peer: Peer, command: Fields) -> None:
        self.connects += 1
        peer.name = command.get("name", "")
        resumed = bool(command.get("resume")) and self.resumes
        if resumed:
            peer.session = command["resume"].removeprefix("handle-")
        await peer.send(
            _reply(command, session=peer.session, resume=f"handle-{peer.session}", user=None, name=peer.name)
            | {"ping": 25, "version": "0", "node": "n1", "resumed": resumed}
        )

    async def _subscribe(self, peer: Peer, command: Fields) -> None:
        name, since = command["channel"], command.get("since")
        channel = self.channel(name)
        if name in peer.channels:
            await peer.send(error(command, 105))
            return
        recovered, gap = self._gap(channel, since)
        peer.channels[name] = True
        reply = _reply(command, channel=name, epoch=channel.epoch, offset=channel.offset, recovered=recovered)
        await peer.send(reply)
        for publication in gap:
            await peer.send({"type": "publication", **publication})
        if command.get("presence"):
            members = [_member(other) for other in self.peers if other is not peer and name in other.channels]
            await peer.send({"type": "presence", "channel": name, "members": members, "count": len(members)})
            await self.push(name, {"type": "join", "channel": name, "member": _member(peer)})

    def _gap(self, channel: Channel, since: Any) -> tuple[bool, list[Fields]]:
        if since == "latest":
            return False, channel.history[-1:]
        if isinstance(since, int):
            return False, channel.history[-since:]
        if since is None or since["epoch"] != channel.epoch or since["offset"] > channel.offset:
            return False, []
        gap = [publication for publication in channel.history if publication["offset"] > since["offset"]]
        whole = since["offset"] + len(gap) == channel.offset
        return whole, gap if whole else []

    async def _unsubscribe(self, peer: Peer, command: Fields) -> None:
        if peer.channels.pop(command["channel"], None) is None:
            await peer.send(error(command, 102))
            return
        await peer.send(_reply(command))

    async def _publish(self, peer: Peer, command: Fields) -> None:
        channel = self.channel(command["channel"])
        key = command["key"]
        if key in channel.keys:
            await peer.send(_reply(command, offset=channel.keys[key], epoch=channel.epoch))
            return
        sender = {"user": None, "name": peer.name, "session": peer.session}
        channel.keys[key] = channel.offset + 1
        publication = await self.publish(command["channel"], command["data"], id=key, **{"from": sender})
        await peer.send(_reply(command, offset=publication["offset"], epoch=publication["epoch"]))

    async def _history(self, peer: Peer, command: Fields) -> None:
        channel = self.channel(command["channel"])
        page = channel.history[-command["limit"] :]
        reply = _reply(command, channel=command["channel"], publications=page, epoch=channel.epoch)
        await peer.send(reply | {"offset": channel.offset})

    async def _presence(self, peer: Peer, command: Fields) -> None:
        members = [_member(other) for other in self.peers if command["channel"] in other.channels]
        await peer.send(_reply(command, channel=command["channel"], members=members, count=len(members)))

    async def _ping(self, peer: Peer, command: Fields) -> None:
        await peer.send({"type": "pong", "id": command["id"]})

    async def _rpc(self, peer: Peer, command: Fields) -> None:
        await peer.send(_reply(command, result=sum(command["params"].values())))

    async def _lock(self, peer: Peer, command: Fields) -> None:
        reply = _reply(command, resource=command["resource"], owner=peer.session, token=17)
        await peer.send(reply | {"expires": "2026-11-22T12:00:30.000Z"})

    async def _unlock(self, peer: Peer, command: Fields) -> None:
        await peer.send(_reply(command, resource=command["resource"]))

    async def _refresh(self, peer: Peer, command: Fields) -> None:
        await peer.send(_reply(command))

    async def _state(self, peer: Peer, command: Fields) -> None:
        await peer.send(_reply(command))


@asynccontextmanager
async def scripted_hub() -> AsyncIterator[ScriptedHub]:
    hub = await ScriptedHub().start()
    try:
        yield hub
    finally:
        await hub.stop()


def error(command: Fields, code: int, reason: str = "", *, retry: bool = False, **detail: Any) -> Fields:
    return {
        "type": "error",
        "id": command["id"],
        "code": code,
        "reason": reason or "refused",
        "retry": retry,
        "detail": detail,
    }


def _choose(socket: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return offered[0] if offered else None


def _reply(command: Fields, **fields: Any) -> Fields:
    return {"type": "reply", "id": command["id"], **fields}


def _member(peer: Peer) -> Fields:
    return {"session": peer.session, "user": None, "name": peer.name}
