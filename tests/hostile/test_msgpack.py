"""Hostile MessagePack over real sockets: a coded error each, the connection stays, no neighbour notices."""

import asyncio
from typing import Any, Final

import msgspec
import pytest
import websockets

from tests.hostile.neighbourhood import PATIENCE_S, Place, healthy_neighbour

PING: Final = msgspec.msgpack.encode({"type": "ping", "id": 99})
PUBLISH: Final = {"type": "publish", "id": 1, "channel": "a"}


def packed(fields: dict[str, Any], *raw: tuple[bytes, bytes]) -> bytes:
    """Return a map with more members, whose names and values are encoded already."""
    body = b"".join(msgspec.msgpack.encode(name) + msgspec.msgpack.encode(value) for name, value in fields.items())
    return bytes((0x80 | (len(fields) + len(raw)),)) + body + b"".join(name + value for name, value in raw)


def publishing(value: bytes) -> bytes:
    """Return a publish with data that is encoded already."""
    return packed(PUBLISH, (msgspec.msgpack.encode("data"), value))


HOSTILE: dict[str, tuple[bytes, int]] = {
    "nothing": (b"", 107),
    "the byte nobody uses": (b"\xc1", 107),
    "nil": (b"\xc0", 107),
    "a number": (b"\x01", 107),
    "bytes": (b"\xc4\x01x", 107),
    "JSON": (b'{"type":"ping","id":1}', 107),
    "a map that breaks off": (PING[:-1], 107),
    "bytes behind a map": (PING + b"\x00", 107),
    "a list of 2^32 - 1, announced": (b"\xdd\xff\xff\xff\xff", 107),
    "a map of 2^32 - 1, announced": (b"\xdf\xff\xff\xff\xff", 107),
    "text of 4 GiB, announced": (b"\xdb\xff\xff\xff\xff", 107),
    "bytes of 4 GiB, announced": (b"\xc6\xff\xff\xff\xff", 107),
    "an extension of 4 GiB, announced": (b"\xc9\xff\xff\xff\xff\x01", 107),
    "data of 4 GiB, announced": (publishing(b"\xc6\xff\xff\xff\xff"), 107),
    "lists in lists, 60,000 deep": (b"\x91" * 60_000, 107),
    "maps in maps, 20,000 deep": (b"\x81\xa1a" * 20_000, 107),
    "data 60,000 deep": (publishing(b"\x91" * 60_000 + b"\xc0"), 107),
    "data 33 deep": (publishing(b"\x91" * 33 + b"\xc0"), 107),
    "an extension": (publishing(b"\xd4\x05\x00"), 107),
    "an extension as type": (packed({"id": 1}, (b"\xa4type", b"\xd4\x05\x00")), 107),
    "a time before all times": (publishing(b"\xc7\x0c\xff" + bytes(4) + b"\x80" + bytes(7)), 107),
    "a time with 2^32 nanoseconds": (publishing(b"\xc7\x0c\xff\xff\xff\xff\xff" + bytes(8)), 107),
    "text that is no UTF-8": (publishing(b"\xa1\xff"), 107),
    "a channel that is no UTF-8": (packed({"type": "history", "id": 1}, (b"\xa7channel", b"\xa1\xff")), 107),
    "a channel that is bytes": (packed({"type": "history", "id": 1}, (b"\xa7channel", b"\xc4\x01a")), 107),
    "a name that is a number": (packed(PUBLISH, (b"\x01", b"\x01")), 107),
    "a name that is a map": (packed(PUBLISH, (b"\x80", b"\x01")), 107),
    "a name that is a float": (packed(PUBLISH, (b"\xcb" + bytes(8), b"\x01")), 107),
    "a name that is no UTF-8": (packed(PUBLISH, (b"\xa1\xff", b"\x01")), 107),
    "an id of NaN": (packed({"type": "ping"}, (b"\xa2id", b"\xcb\x7f\xf8" + bytes(6))), 107),
    "data of NaN": (publishing(b"\xcb\x7f\xf8" + bytes(6)), 107),
    "data of infinity": (publishing(b"\xcb\x7f\xf0" + bytes(6)), 107),
    "1,001 members": (publishing(msgspec.msgpack.encode({str(number): 1 for number in range(1_001)})), 107),
    "data with names that are numbers": (publishing(msgspec.msgpack.encode({1: 2})), 107),
    "names of one hash": (publishing(msgspec.msgpack.encode({n * (2**61 - 1): 1 for n in range(8)})), 107),
    "a type nobody knows": (msgspec.msgpack.encode({"type": "__class__", "id": 1}), 104),
    "data of 65,537 bytes": (publishing(msgspec.msgpack.encode(bytes(65_537))), 113),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_message_that_is_wrong_is_refused_and_the_connection_stays(place: Place, name: str) -> None:
    data, code = HOSTILE[name]
    subprotocols = [websockets.Subprotocol("chappe.v1.msgpack")]
    async with healthy_neighbour(place), place.connect(subprotocols=subprotocols) as client:
        await client.send(data)
        answer = await received(client)
        assert (answer["type"], answer["code"]) == ("error", code), answer
        await client.send(PING)
        assert await received(client) == {"type": "pong", "id": 99}


async def received(client: websockets.ClientConnection) -> dict[str, Any]:
    """Receive a message."""
    async with asyncio.timeout(PATIENCE_S):
        data = await client.recv()
    assert isinstance(data, bytes)
    message: dict[str, Any] = msgspec.msgpack.decode(data)
    return message
