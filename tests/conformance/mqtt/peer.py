"""A client that says exactly what it is told to, and a hub for it: the specification is played out by packets."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final, TypeVar

import msgspec

from chappe.app import Hub
from chappe.brokers.memory import MemoryBroker
from chappe.config import load
from chappe.hub.namespaces import Access, Level, Namespace
from chappe.protocols.mqtt import packets
from chappe.protocols.mqtt.encoder import encode
from chappe.protocols.mqtt.packets import Connack, Connect, Packet, Publish, Version
from chappe.protocols.mqtt.reader import PacketReader
from chappe.serving import Server
from chappe.testing import Faults, FaultyBroker
from chappe.transports.event_loop import LoopClock

V3: Final = Version.V3_1_1
V5: Final = Version.V5
BOTH: Final = (V3, V5)
#: How long an answer may take on a machine that is busy.
PATIENCE_S: Final = 15.0

PacketT = TypeVar("PacketT", bound=Packet)


class Peer:
    """One connection over TCP.

    Attributes:
        connack: how CONNECT was answered.
    """

    connack: Connack

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, version: Version) -> None:
        self.version = version
        self._reader = reader
        self._writer = writer
        self._packets = PacketReader(1 << 24, version)
        self._waiting: list[Packet] = []

    def send(self, *said: Packet) -> None:
        """Send packets, in one piece."""
        self.send_bytes(b"".join(encode(each, self.version) for each in said))

    def send_bytes(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._writer.write(data)

    async def next(self) -> Packet | None:
        """Return the next packet; None: the connection was ended."""
        while not self._waiting:
            async with asyncio.timeout(PATIENCE_S):
                try:
                    data = await self._reader.read(65_536)
                except ConnectionError:
                    return None
            if not data:
                return None
            self._waiting += self._packets.feed(data)
            assert self._packets.error is None, self._packets.error
        return self._waiting.pop(0)

    async def expect(self, kind: type[PacketT]) -> PacketT:
        """Return the next packet, which is of a kind."""
        packet = await self.next()
        assert isinstance(packet, kind), f"{packet!r} came, expected {kind.__name__}"
        return packet

    async def sync(self) -> list[Packet]:
        """Return what comes before the answer to a PINGREQ: all that was sent to this client until now."""
        self.send(packets.Pingreq())
        came: list[Packet] = []
        while not isinstance(packet := await self.next(), packets.Pingresp):
            assert packet is not None, f"the connection was ended after {came}"
            came.append(packet)
        return came

    async def messages(self) -> list[Publish]:
        """Return what `sync` does, which is messages and nothing else."""
        came = await self.sync()
        assert all(isinstance(packet, Publish) for packet in came), came
        return [packet for packet in came if isinstance(packet, Publish)]

    async def rest(self) -> list[Packet]:
        """Return what comes until the hub ends the connection."""
        came: list[Packet] = []
        while (packet := await self.next()) is not None:
            came.append(packet)
        return came

    async def subscribe(self, *filters: str | packets.SubscribeFilter, qos: int = 0, identifier: int = 0) -> list[int]:
        """Subscribe; return the codes. Nothing comes before the SUBACK."""
        asked = tuple(packets.SubscribeFilter(each, qos) if isinstance(each, str) else each for each in filters)
        properties = packets.SubscribeProperties(subscription_id=identifier or None)
        self.send(packets.Subscribe(1, asked, properties))
        suback = await self.expect(packets.Suback)
        assert suback.packet_id == 1
        return list(suback.reason_codes)

    async def publish(self, topic: str, payload: bytes = b"x", qos: int = 0, **fields: Any) -> None:
        """Publish, and see it through: when this returns the hub has handed it to everybody."""
        packet_id = fields.pop("packet_id", 1 if qos else 0)
        self.send(Publish(topic, payload, qos, packet_id=packet_id, **fields))
        if qos == 1:
            assert (await self.expect(packets.Puback)).packet_id == packet_id
        elif qos == 2:
            assert (await self.expect(packets.Pubrec)).packet_id == packet_id
            self.send(packets.Pubrel(packet_id))
            assert (await self.expect(packets.Pubcomp)).packet_id == packet_id
        else:
            await self.sync()

    async def drop(self) -> None:
        """End TCP without a word, as a network that fails."""
        self._writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def leave(self) -> None:
        """Say goodbye, and wait for the end."""
        self.send(packets.Disconnect())
        assert not await self.rest()


class Stage:
    """A hub, and the connections to it.

    Attributes:
        server: what serves it.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self._peers: list[Peer] = []

    async def open(self, version: Version = V5) -> Peer:
        """Connect, and say nothing."""
        assert self.server.mqtt_port is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.mqtt_port)
        self._peers.append(Peer(reader, writer, version))
        return self._peers[-1]

    async def connect(self, version: Version = V5, client_id: str = "", **fields: Any) -> Peer:
        """Connect, and say CONNECT; properties are given as other fields are."""
        peer = await self.open(version)
        names = {each.name for each in msgspec.structs.fields(packets.ConnectProperties)}
        properties = packets.ConnectProperties(**{name: fields.pop(name) for name in names & set(fields)})
        peer.send(Connect(client_id, version, properties=properties, **fields))
        peer.connack = await peer.expect(Connack)
        return peer

    async def clear(self) -> None:
        """Drop every connection."""
        for peer in self._peers:
            await peer.drop()


@contextlib.asynccontextmanager
async def serving(
    namespaces: Iterable[Namespace] | None = None, faults: Faults | None = None, **mqtt: Any
) -> AsyncIterator[Stage]:
    """Serve a hub that is open to everybody, with MQTT on a free port; settings of `[mqtt]` by name."""
    flags: dict[str, Any] = {"server.dev": True, **{f"mqtt.{name}": value for name, value in mqtt.items()}}
    clock = LoopClock()
    broker = FaultyBroker(MemoryBroker(clock, os.urandom), clock, 0, faults) if faults else None
    hub = Hub(settings=load(os.devnull, flags=flags).settings, namespaces=namespaces, broker=broker)
    stage = Stage(Server(hub, host="127.0.0.1", port=0, mqtt_port=0))
    await stage.server.start()
    try:
        yield stage
    finally:
        await stage.clear()
        await stage.server.stop()


@contextlib.asynccontextmanager
async def alone(version: Version = V5, **fields: Any) -> AsyncIterator[tuple[Stage, Peer]]:
    """Serve a hub, with one client."""
    async with serving() as stage:
        yield stage, await stage.connect(version, "alone", **fields)


def namespace(name: str, **changes: Any) -> Namespace:
    """Return a namespace that is open to everybody, but for what is changed."""
    opened: dict[str, Any] = {
        "level": Level.RECOVERABLE,
        "history_count": 100,
        "history_age_s": 600,
        "patterns": True,
        "subscribe": Access.ANONYMOUS,
        "publish": Access.ANONYMOUS,
    }
    return Namespace(name=name, **{**opened, **changes})
