"""Compressed messages that are made to harm: each ends with its close code, and no neighbour notices."""

import random
import zlib
from collections.abc import Iterator
from typing import Final

import psutil
import pytest
from websockets.frames import Opcode

from chappe.wire.deflate import compress
from tests.hostile.neighbourhood import Place, healthy_neighbour, served
from tests.hostile.test_frames import ended_with, frames_of, masked
from tests.hostile.test_handshakes import upgrade

MIB: Final = 1_048_576
OFFER: Final = "Sec-WebSocket-Extensions: permessage-deflate"
#: What a hostile message may make the hub hold for a moment, beside its own megabyte: one inflated as far as allowed.
MOMENT_BYTES: Final = 16 * MIB


@pytest.fixture(scope="module", params=["native", "portable"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Serve a hub with default limits, open to everybody, by either kind of link."""
    with served(server__data_plane=request.param) as found:
        yield found


def marked(data: bytes, opcode: Opcode = Opcode.BINARY, fin: bool = True) -> bytes:
    """Return a client's frame with RSV1."""
    frame = bytearray(masked(opcode, data, fin))
    frame[0] |= 0x40
    return bytes(frame)


def fragments(data: bytes, count: int, opcode: Opcode = Opcode.BINARY) -> bytes:
    """Return a compressed message in fragments."""
    size = -(-len(data) // count) or 1
    pieces = [data[index * size : (index + 1) * size] for index in range(count)]
    rest = b"".join(masked(Opcode.CONT, piece, index == count - 2) for index, piece in enumerate(pieces[1:]))
    return marked(pieces[0], opcode, False) + rest


def zeros(size: int) -> bytes:
    """Return so many zeros, compressed as well as it goes: 50 MiB are 48 KB."""
    deflater = zlib.compressobj(9, wbits=-15)
    return (deflater.compress(bytes(size)) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]


def final(payload: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(payload) + deflater.flush()


BOMB: Final = zeros(50 * MIB)
NOISE: Final = random.Random(1).randbytes(MIB)

HOSTILE: dict[str, tuple[bytes, int]] = {
    "50 MiB of zeros in 48 KB": (marked(BOMB), 1009),
    "50 MiB of zeros in 64 fragments": (fragments(BOMB, 64), 1009),
    "a byte over a mebibyte of zeros in 1 KB": (marked(zeros(MIB + 1)), 1009),
    "one byte over the limit, inflated": (marked(compress(NOISE[:900_000] + bytes(MIB - 900_000 + 1))), 1009),
    "one byte over the limit, compressed": (marked(bytes(MIB + 1)), 1009),
    "fragments over the limit, compressed": (marked(NOISE, fin=False) + masked(Opcode.CONT, b"x"), 1009),
    "65 empty fragments": (marked(b"", fin=False) + masked(Opcode.CONT, b"", False) * 64, 1008),
    "65 fragments of a byte": (fragments(BOMB[:65], 65), 1008),
    "a thousand final blocks": (marked(final(b"") * 1_000), 1008),
    "half a million final blocks": (marked(final(b"") * 500_000), 1008),
    "a bomb behind a final block": (marked(final(b"x") + BOMB), 1009),
    "noise": (marked(NOISE[:1_000]), 1002),
    "a reserved kind of block": (marked(b"\x07"), 1002),
    "a stored block whose lengths differ": (marked(b"\x00\x05\x00\x00\x00hello"), 1002),
    "a distance before the beginning": (marked(bytes.fromhex("020200")), 1002),
    "a block that breaks off": (marked(compress(NOISE[:300])[:-7]), 1002),
    "RSV1 on a continuation": (marked(b"\x00", fin=False) + marked(b"\x00", Opcode.CONT), 1002),
    "RSV1 on a ping": (marked(b"", Opcode.PING), 1002),
    "RSV1 on a close": (marked(b"", Opcode.CLOSE), 1002),
    "RSV2 beside RSV1": (bytes((0xE2, 0x80)) + bytes(4), 1002),
    "text that is no UTF-8": (marked(compress(b"\xff"), Opcode.TEXT), 1007),
    "text with a surrogate": (marked(compress(b"\xed\xa0\x80"), Opcode.TEXT), 1007),
    "text that breaks off in a character": (marked(compress("é".encode()[:1]), Opcode.TEXT), 1007),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_ws_3_a_message_that_is_made_to_harm_ends_the_connection(place: Place, name: str) -> None:
    data, code = HOSTILE[name]
    before = psutil.Process().memory_info().rss
    async with healthy_neighbour(place):
        answer = await place.send(upgrade("/echo", OFFER, tail=data), bytes((0x88,)))
    assert ended_with(answer) == code
    assert psutil.Process().memory_info().rss - before < MOMENT_BYTES


@pytest.mark.parametrize("data", [compress(b"Hello"), b"", BOMB], ids=["hello", "empty", "bomb"])
async def test_ws_3_rsv1_without_agreement_is_1002(place: Place, data: bytes) -> None:
    async with healthy_neighbour(place):
        answer = await place.send(upgrade("/echo", tail=marked(data)))
    assert ended_with(answer) == 1002


async def test_ten_bombs_one_after_the_other_leave_nothing(place: Place) -> None:
    process = psutil.Process()
    async with healthy_neighbour(place):
        await place.send(upgrade("/echo", OFFER, tail=marked(BOMB)))
        before = process.memory_info().rss
        for _ in range(10):
            assert ended_with(await place.send(upgrade("/echo", OFFER, tail=marked(BOMB)))) == 1009
    assert process.memory_info().rss - before < MOMENT_BYTES


async def test_what_is_well_compressed_and_small_is_taken(place: Place) -> None:
    async with healthy_neighbour(place):
        goodbye = masked(Opcode.CLOSE, (1_000).to_bytes(2))
        answer = await place.send(upgrade("/echo", OFFER, tail=marked(zeros(65_536)) + goodbye))
    (opcode, data), _ = frames_of(answer)
    assert opcode == Opcode.BINARY
    assert len(data) < 200


MALFORMED: dict[str, str] = {
    "a semicolon at the end": "permessage-deflate;",
    "a value that is missing": "permessage-deflate; server_max_window_bits=",
    "a quote that stays open": 'permessage-deflate; server_max_window_bits="',
    "a backslash in quotes": 'permessage-deflate; x="\\"',
    "an empty element": "permessage-deflate, ;",
    "an equals sign": "=",
    "4,000 semicolons": ";" * 4_000,
    "500 parameters and an open quote": "permessage-deflate; a" * 500 + '="',
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_offer_is_400(place: Place, name: str) -> None:
    async with healthy_neighbour(place):
        answer = await place.send(upgrade("/echo", f"Sec-WebSocket-Extensions: {MALFORMED[name]}"))
    assert answer.startswith(b"HTTP/1.1 400 ")


DECLINED: dict[str, str] = {
    "a window of 8 bits": "permessage-deflate; server_max_window_bits=8",
    "a window of 20 digits": "permessage-deflate; server_max_window_bits=99999999999999999999",
    "a window below zero": "permessage-deflate; client_max_window_bits=-1",
    "a parameter twice": "permessage-deflate; client_max_window_bits; client_max_window_bits",
    "500 unknown parameters": "permessage-deflate; " + "; ".join(f"p{number}" for number in range(500)),
    "400 unknown offers": ", ".join(["permessage-deflate; unknown"] * 400),
    "4,000 commas": "," * 4_000,
}


@pytest.mark.parametrize("name", DECLINED)
async def test_an_offer_nobody_can_take_is_passed_over(place: Place, name: str) -> None:
    goodbye = masked(Opcode.CLOSE, (1_000).to_bytes(2))
    async with healthy_neighbour(place):
        answer = await place.send(upgrade("/echo", f"Sec-WebSocket-Extensions: {DECLINED[name]}", tail=goodbye))
    assert b"Sec-WebSocket-Extensions" not in answer
    assert ended_with(answer) == 1_000
