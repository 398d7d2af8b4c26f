"""MQTT over WebSocket (MQTT 5, 6): the subprotocol, binary frames, packets that do not end with frames."""

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from chappe.protocols.mqtt.encoder import encode
from chappe.protocols.mqtt.packets import (
    Connack,
    Connect,
    Packet,
    Pingreq,
    Pingresp,
    Publish,
    Subscribe,
    SubscribeFilter,
    Version,
)
from chappe.protocols.mqtt.reader import PacketReader
from tests.conformance.mqtt.peer import BOTH, V5, Stage, alone, serving

EACH = pytest.mark.parametrize("version", BOTH)


def opening(stage: Stage, *offered: str) -> connect:
    return connect(f"ws://127.0.0.1:{stage.server.port}/mqtt", subprotocols=list(offered) or None, proxy=None)  # type: ignore[arg-type]


async def read(socket: ClientConnection, version: Version, count: int) -> list[Packet]:
    reader = PacketReader(1 << 20, version)
    packets: list[Packet] = []
    while len(packets) < count:
        data = await socket.recv()
        assert isinstance(data, bytes)
        packets += reader.feed(data)
    return packets


async def rest(socket: ClientConnection) -> list[bytes | str]:
    """Return what comes until the connection ends."""
    try:
        return [each async for each in socket]
    except ConnectionClosed:
        return []


async def test_the_subprotocol_is_mqtt_and_nothing_else() -> None:
    async with serving() as stage:
        async with opening(stage, "mqttv3.1", "mqtt") as socket:
            assert socket.subprotocol == "mqtt"
        with pytest.raises(InvalidStatus):
            async with opening(stage, "soap"):
                pass


@EACH
async def test_packets_and_frames_need_not_end_together(version: Version) -> None:
    async with serving() as stage, opening(stage, "mqtt") as socket:
        said = (Connect("ws", version), Subscribe(1, (SubscribeFilter("a"),)), Publish("a", b"x"), Pingreq())
        data = b"".join(encode(each, version) for each in said)
        for at in range(0, len(data), 3):
            await socket.send(data[at : at + 3])
        came = await read(socket, version, 4)
        assert isinstance(came[0], Connack)
        assert came[2:] == [Publish("a", b"x"), Pingresp()]
        await socket.send(encode(Pingreq(), version) * 3)
        assert await read(socket, version, 3) == [Pingresp()] * 3


@EACH
async def test_a_text_frame_ends_the_connection(version: Version) -> None:
    async with alone(version) as (stage, other):
        async with opening(stage, "mqtt") as socket:
            await socket.send(encode(Connect("ws", version), version))
            assert isinstance((await read(socket, version, 1))[0], Connack)
            await socket.send("\u00c0")
            # In 5 a DISCONNECT comes first.
            assert len(await rest(socket)) <= 1
        assert await other.sync() == []


async def test_a_message_crosses_between_tcp_and_websocket() -> None:
    async with alone(V5) as (stage, other):
        await other.subscribe("a", qos=1)
        async with opening(stage, "mqtt") as socket:
            await socket.send(encode(Connect("ws"), V5) + encode(Publish("a", b"\0\xff"), V5) + encode(Pingreq(), V5))
            await read(socket, V5, 2)
            assert [each.payload for each in await other.messages()] == [b"\0\xff"]
