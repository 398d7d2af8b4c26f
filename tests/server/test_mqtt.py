"""MQTT on real sockets: TCP on both data planes, TLS, WebSocket; caps, slow peers, the drain."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from chappe.app import Hub
from chappe.auth.passwords import hash_password
from chappe.config import load
from chappe.model.errors import ConfigurationError
from chappe.protocols.mqtt import packets
from chappe.protocols.mqtt.encoder import encode
from chappe.protocols.mqtt.packets import Connect, Packet, Publish, Subscribe, SubscribeFilter, Version
from chappe.protocols.mqtt.reader import PacketReader
from chappe.protocols.mqtt.reason_codes import ReasonCode
from chappe.serving import Server
from tests.server.certificate import Certificate

V5 = Version.V5
PATIENCE_S = 10.0
planes = pytest.mark.parametrize("plane", ["native", "portable"])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("mqtt"))


@asynccontextmanager
async def serving(plane: str = "auto", *, tls: bool = False, **flags: Any) -> AsyncIterator[Server]:
    given = {"server.dev": True, "server.data_plane": plane} | {name.replace("__", "."): v for name, v in flags.items()}
    hub = Hub(settings=load(os.devnull, flags=given).settings)
    server = Server(hub, "127.0.0.1", 0, mqtt_port=0, mqtt_tls_port=0 if tls else None)
    await server.start()
    try:
        yield server
    finally:
        opened, Wire.opened = Wire.opened, []
        for wire in opened:
            wire.writer.close()
            with contextlib.suppress(OSError, ssl.SSLError):
                await wire.writer.wait_closed()
        await server.stop()


class Wire:
    """A connection that speaks packets.

    Attributes:
        opened: all that were opened; closed when the server ends.
    """

    opened: ClassVar[list[Wire]] = []

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._packets = PacketReader(1 << 28, V5)
        self._waiting: list[Packet] = []

    @classmethod
    async def open(cls, port: int, tls: ssl.SSLContext | None = None) -> Wire:
        wire = cls(*await asyncio.open_connection("127.0.0.1", port, ssl=tls))
        cls.opened.append(wire)
        return wire

    async def send(self, *said: Packet) -> None:
        self.writer.write(b"".join(encode(each, V5) for each in said))
        await self.writer.drain()

    async def next(self) -> Packet | None:
        """Return the next packet; None: the connection ended."""
        async with asyncio.timeout(PATIENCE_S):
            while not self._waiting:
                data = await self.reader.read(65_536)
                if not data:
                    return None
                self._waiting += self._packets.feed(data)
        return self._waiting.pop(0)

    async def join(self, client_id: str = "a", **options: Any) -> Wire:
        await self.send(Connect(client_id, **options))
        connack = await self.next()
        assert isinstance(connack, packets.Connack)
        assert connack.reason_code == 0
        return self

    async def subscribe(self, name: str, qos: int = 0) -> None:
        await self.send(Subscribe(1, (SubscribeFilter(name, qos),)))
        assert isinstance(await self.next(), packets.Suback)


@planes
@pytest.mark.loops("asyncio", "uvloop")
async def test_messages_of_all_sizes_arrive_whole_however_they_are_cut(plane: str) -> None:
    async with serving(plane) as server:
        assert server.mqtt_port is not None
        reader = await (await Wire.open(server.mqtt_port)).join("r")
        await reader.subscribe("a", 1)
        writer = await (await Wire.open(server.mqtt_port)).join("w")
        sizes = (0, 1, 100, 4_096, 60_000)
        data = b"".join(encode(Publish("a", b"x" * size, 0), V5) for size in sizes)
        for start in range(0, len(data), 7_001):
            writer.writer.write(data[start : start + 7_001])
            await writer.writer.drain()
        for size in sizes:
            message = await reader.next()
            assert isinstance(message, Publish)
            assert len(message.payload) == size


@planes
async def test_a_packet_byte_by_byte(plane: str) -> None:
    async with serving(plane) as server:
        assert server.mqtt_port is not None
        wire = await Wire.open(server.mqtt_port)
        for byte in encode(Connect("a"), V5):
            wire.writer.write(bytes([byte]))
            await wire.writer.drain()
        assert isinstance(await wire.next(), packets.Connack)


@planes
async def test_the_drain_says_that_the_hub_shuts_down(plane: str) -> None:
    async with serving(plane) as server:
        assert server.mqtt_port is not None
        wire = await (await Wire.open(server.mqtt_port)).join()
        stopping = asyncio.create_task(server.stop())
        last = await wire.next()
        assert isinstance(last, packets.Disconnect)
        assert last.reason_code == ReasonCode.SERVER_SHUTTING_DOWN
        assert await wire.next() is None
        wire.writer.close()
        await stopping


@planes
async def test_a_reason_arrives_although_more_was_sent_than_is_read(plane: str) -> None:
    async with serving(plane) as server:
        assert server.mqtt_port is not None
        wire = await (await Wire.open(server.mqtt_port)).join()
        await wire.send(*(Publish("a", b"", 2, packet_id=number) for number in range(1, 22)))
        kinds = []
        while (packet := await wire.next()) is not None:
            kinds.append(packet)
        last = kinds[-1]
        assert isinstance(last, packets.Disconnect)
        assert last.reason_code == ReasonCode.RECEIVE_MAXIMUM_EXCEEDED


@planes
async def test_one_address_has_no_more_connections_than_allowed(plane: str) -> None:
    async with serving(plane) as server:
        assert server.mqtt_port is not None
        server.hub._admission._per_address = 2
        held = [await (await Wire.open(server.mqtt_port)).join(str(number)) for number in range(2)]
        assert await (await Wire.open(server.mqtt_port)).next() is None
        assert server.hub._admission.refused["address"] == 1
        held[0].writer.close()
        await held[0].writer.wait_closed()
        async with asyncio.timeout(PATIENCE_S):
            while server.hub._admission.websockets.taken == 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await (await Wire.open(server.mqtt_port)).join("again")


@planes
async def test_a_silent_client_is_gone_after_its_keep_alive_and_its_will_is_said(plane: str) -> None:
    async with serving(plane) as server:
        assert server.mqtt_port is not None
        watcher = await (await Wire.open(server.mqtt_port)).join("watcher")
        await watcher.subscribe("will")
        silent = await (await Wire.open(server.mqtt_port)).join("s", keep_alive_s=1, will=packets.Will("will", b"gone"))
        message = await watcher.next()
        assert isinstance(message, Publish)
        assert message.payload == b"gone"
        last = await silent.next()
        assert isinstance(last, packets.Disconnect)
        assert last.reason_code == ReasonCode.KEEP_ALIVE_TIMEOUT


async def test_tls_has_a_port_of_its_own(certificate: Certificate) -> None:
    files = {"server__cert": certificate.cert, "server__key": certificate.key}
    async with serving(tls=True, **files) as server:
        assert server.mqtt_tls_port is not None
        assert server.mqtt_port is not None
        reader = await (await Wire.open(server.mqtt_tls_port, certificate.client())).join("r")
        await reader.subscribe("a", 1)
        writer = await (await Wire.open(server.mqtt_port)).join("w")
        await writer.send(Publish("a", b"x" * 50_000, 1, packet_id=1))
        message = await reader.next()
        assert isinstance(message, Publish)
        assert len(message.payload) == 50_000
        reader.writer.close()


async def test_a_tls_port_without_a_certificate_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"mqtt\.tls_port needs a certificate"):
        async with serving(tls=True):
            pytest.fail("it serves")


async def next_packets(socket: Any, reader: PacketReader, count: int) -> list[Packet]:
    found: list[Packet] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(found) < count:
            found += reader.feed(await socket.recv())
    return found


async def test_mqtt_6_packets_may_span_and_share_frames_of_a_websocket() -> None:
    async with serving() as server:
        url = f"ws://127.0.0.1:{server.port}/mqtt"
        async with connect(url, subprotocols=[Subprotocol("mqtt")]) as socket:
            assert socket.subprotocol == "mqtt"
            data = encode(Connect("a"), V5) + encode(Subscribe(1, (SubscribeFilter("a"),)), V5)
            await socket.send(data[:5])
            await socket.send(data[5:] + encode(Publish("a", b"hello"), V5))
            found = await next_packets(socket, PacketReader(1 << 20, V5), 3)
            assert [type(each) for each in found] == [packets.Connack, packets.Suback, Publish]


async def test_mqtt_6_text_ends_a_websocket() -> None:
    async with serving() as server:
        url = f"ws://127.0.0.1:{server.port}/mqtt"
        async with connect(url, subprotocols=[Subprotocol("mqtt")]) as socket:
            await socket.send("hello")
            async with asyncio.timeout(PATIENCE_S):
                await socket.wait_closed()
            with pytest.raises(ConnectionClosed):
                await socket.recv()


async def test_a_websocket_without_the_subprotocol_is_refused() -> None:
    async with serving() as server:
        with pytest.raises(InvalidStatus):
            async with connect(f"ws://127.0.0.1:{server.port}/mqtt", subprotocols=[Subprotocol("chappe.v1")]):
                pytest.fail("it was let in")


@planes
async def test_all_plain_readers_get_a_fan_out(plane: str) -> None:
    async with serving(plane) as server:
        assert server.mqtt_port is not None
        readers = [await (await Wire.open(server.mqtt_port)).join(f"r{number}") for number in range(50)]
        for reader in readers:
            await reader.subscribe("a")
        writer = await (await Wire.open(server.mqtt_port)).join("w")
        await writer.send(*(Publish("a", str(number).encode()) for number in range(20)))
        for reader in readers:
            for number in range(20):
                message = await reader.next()
                assert isinstance(message, Publish)
                assert message.payload == str(number).encode()


async def test_a_configured_user_logs_in_with_a_password() -> None:
    flags: dict[str, Any] = {"users__ada__password_hash": hash_password("right"), "auth__anonymous": True}
    async with serving(**flags) as server:
        assert server.mqtt_port is not None
        wire = await (await Wire.open(server.mqtt_port)).join("a", user_name="ada", password=b"right")
        (session,) = server.hub.core.sessions.values()
        assert session.user == "ada"
        await wire.subscribe("a")
        for password in (b"wrong", None):
            other = await Wire.open(server.mqtt_port)
            await other.send(Connect("b", user_name="ada", password=password))
            refused = await other.next()
            assert isinstance(refused, packets.Connack)
            assert refused.reason_code in (ReasonCode.BAD_USER_NAME_OR_PASSWORD, ReasonCode.NOT_AUTHORIZED)


@planes
async def test_beyond_its_burst_an_address_waits_and_what_it_sent_meanwhile_counts(plane: str) -> None:
    settings = load(os.devnull, flags={"server.dev": True, "server.data_plane": plane}).settings
    limits = msgspec.structs.replace(settings.limits, address_connects_per_s=5.0, address_connects_burst=1)
    server = Server(Hub(settings=msgspec.structs.replace(settings, limits=limits)), "127.0.0.1", 0, mqtt_port=0)
    await server.start()
    try:
        assert server.mqtt_port is not None
        wires = [await Wire.open(server.mqtt_port) for _ in range(4)]
        await asyncio.gather(*(wire.join(f"c{number}") for number, wire in enumerate(wires)))
        assert server.hub._admission.delayed >= 1
    finally:
        while Wire.opened:
            Wire.opened.pop().writer.close()
        await server.stop()
