"""Hostile frames over real sockets: each ends with its close code, or is answered, and no neighbour notices."""

import asyncio
from typing import Any, Final

import pytest
import websockets
from websockets.frames import Frame, Opcode

from tests.hostile.neighbourhood import Place, healthy_neighbour
from tests.hostile.test_handshakes import upgrade
from tests.protocols.vectors import load, title

MIB: Final = 1_048_576
# The vectors' limit is 1,024 bytes; what depends on it has its own tests below.
VECTORS = [
    pytest.param(vector, id=title(vector))
    for vector in load("websocket.frames.json")
    if vector["close"] != 1009 or "2^62" in vector["name"]
]


def masked(opcode: Opcode, data: bytes, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


def frames_of(answer: bytes) -> list[tuple[int, bytes]]:
    """Return opcode and payload of each frame behind the handshake's answer."""
    head, _, data = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    found = []
    while data:
        size, start = data[1] & 0x7F, 2
        if size == 126:
            size, start = int.from_bytes(data[2:4]), 4
        elif size == 127:
            size, start = int.from_bytes(data[2:10]), 10
        assert len(data) >= start + size
        found.append((data[0] & 0x0F, data[start : start + size]))
        data = data[start + size :]
    return found


def ended_with(answer: bytes) -> int | None:
    """Return the code of the close frame, which must be the last one."""
    frames = frames_of(answer)
    if not frames or frames[-1][0] != Opcode.CLOSE:
        return None
    return int.from_bytes(frames[-1][1][:2]) if frames[-1][1] else 1005


@pytest.mark.parametrize("vector", VECTORS)
async def test_every_vector_of_frames_holds_on_the_wire(place: Place, vector: dict[str, Any]) -> None:
    goodbye = b"" if vector["close"] is not None else masked(Opcode.CLOSE, (4_999).to_bytes(2))
    async with healthy_neighbour(place):
        answer = await place.send(upgrade("/echo", tail=bytes.fromhex(vector["hex"]) + goodbye))
    expected = [
        (Opcode.TEXT, message["text"].encode()) if "text" in message else (Opcode.BINARY, bytes.fromhex(message["hex"]))
        for message in vector["messages"]
    ]
    frames = frames_of(answer)
    assert [frame for frame in frames if frame[0] in (Opcode.TEXT, Opcode.BINARY)] == expected
    pongs = [data.hex() for opcode, data in frames if opcode == Opcode.PONG]
    assert pongs == vector["pongs"]
    assert ended_with(answer) == (vector["close"] if vector["close"] is not None else 4_999)


OVERSIZED: dict[str, tuple[str, bytes]] = {
    "one byte over, announced": ("/ws", bytes([0x81, 0xFF]) + (MIB + 1).to_bytes(8)),
    "2^63 - 1, announced": ("/ws", bytes([0x82, 0xFF]) + (2**63 - 1).to_bytes(8)),
    "the top bit of the length": ("/ws", bytes([0x82, 0xFF]) + (2**63).to_bytes(8)),
    "fragments over it together": (
        "/echo",
        masked(Opcode.BINARY, b"x" * 600_000, False) + masked(Opcode.CONT, b"x" * 600_000),
    ),
    "to /broadcast": ("/broadcast", masked(Opcode.TEXT, b"x" * 65_537)),
    "to classic before the login": ("/", bytes([0x82, 0xFF]) + (MIB + 1).to_bytes(8)),
    "a ping of 2 MiB": ("/ws", bytes([0x89, 0xFF]) + (2 * MIB).to_bytes(8)),
}


@pytest.mark.parametrize("name", OVERSIZED)
async def test_ws_5_what_is_too_large_is_1009_before_it_is_read(place: Place, name: str) -> None:
    path, frame = OVERSIZED[name]
    async with healthy_neighbour(place):
        answer = await place.send(upgrade(path, tail=frame))
    assert ended_with(answer) == 1009


async def test_ws_5_a_frame_of_exactly_a_mebibyte_returns(place: Place) -> None:
    async with healthy_neighbour(place), place.connect("/echo") as client:
        await client.send(b"x" * MIB)
        assert await client.recv() == b"x" * MIB


async def test_ws_8_a_flood_of_pings_is_1008(place: Place) -> None:
    async with healthy_neighbour(place):
        answer = await place.send(upgrade("/echo", tail=masked(Opcode.PING, b"x") * 1_000))
    assert ended_with(answer) == 1008


async def test_ws_8_fifty_pings_are_answered(place: Place) -> None:
    pings = b"".join(masked(Opcode.PING, str(number).encode()) for number in range(50))
    async with healthy_neighbour(place):
        answer = await place.send(upgrade("/echo", tail=pings), b"\x8a\x0249")
    assert [int(data) for _, data in frames_of(answer)] == list(range(50))


async def test_pongs_nobody_asked_for_are_nothing(place: Place) -> None:
    async with healthy_neighbour(place):
        pongs = masked(Opcode.PONG, b"x") * 1_000 + masked(Opcode.TEXT, b"here")
        answer = await place.send(upgrade("/echo", tail=pongs), b"here")
    assert frames_of(answer) == [(Opcode.TEXT, b"here")]


async def test_ten_thousand_empty_messages_return(place: Place) -> None:
    async with healthy_neighbour(place):
        goodbye = masked(Opcode.CLOSE, (1_000).to_bytes(2))
        answer = await place.send(upgrade("/echo", tail=masked(Opcode.TEXT, b"") * 10_000 + goodbye))
    assert len(frames_of(answer)) == 10_001


@pytest.mark.parametrize("first", [b"\x81", b"\x81\xfe\x00", masked(Opcode.TEXT, b"hello")[:-1]])
async def test_a_frame_that_breaks_off_harms_nobody(place: Place, first: bytes) -> None:
    async with healthy_neighbour(place):
        reader, writer = await place.open()
        writer.write(upgrade("/echo", tail=first).replace(b"PORT", str(place.port).encode()))
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()


async def test_bytes_that_drip_are_a_message_all_the_same(place: Place) -> None:
    async with healthy_neighbour(place):
        reader, writer = await place.open()
        for byte in upgrade("/echo", tail=masked(Opcode.TEXT, b"hi")).replace(b"PORT", str(place.port).encode()):
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(4) == b"\x81\x02hi"
        writer.close()


@pytest.mark.parametrize(("path", "text"), [("/ws", False), ("/ws?msgpack", True)])
async def test_ch_2_2_a_frame_of_the_wrong_kind_is_3501(place: Place, path: str, text: bool) -> None:
    names = [websockets.Subprotocol("chappe.v1.msgpack")] if "msgpack" in path else None
    async with healthy_neighbour(place), place.connect(path, subprotocols=names) as client:
        await client.send("{}" if text else b"{}")
        with pytest.raises(websockets.ConnectionClosed):
            await client.recv()
        assert client.close_code == 3501
