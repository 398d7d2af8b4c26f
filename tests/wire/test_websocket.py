"""Each WebSocket codec against byte vectors, against the client of the `websockets` library, and against any split."""

import itertools
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, OPEN, Protocol

from chappe.wire.deflate import InflateError, compress, inflate
from chappe.wire.websocket import (
    MAX_FRAGMENTS,
    accept_key,
)
from tests.protocols.vectors import load, title
from tests.wire.codecs import Codec

LIMIT = 1_024
Message = tuple[bytes, bool]
VECTORS = [pytest.param(vector, id=title(vector)) for vector in load("websocket.frames.json")]
BORDERS = [0, 1, 125, 126, 127, 65_535, 65_536]


def client() -> Protocol:
    """Return the other end, as the `websockets` library does it."""
    return Protocol(CLIENT, state=OPEN, max_size=None)


def sent(peer: Protocol) -> bytes:
    return b"".join(peer.data_to_send())


def read(data: bytes) -> list[Frame]:
    """Return the frames a hub sent, as the library's client understands them."""
    peer = client()
    peer.receive_data(data)
    assert peer.parser_exc is None
    return [frame for frame in peer.events_received() if isinstance(frame, Frame)]


def close_code_of(data: bytes) -> int | None:
    """Return the code of the close frame in what a hub sent; 1005 for one without a code, None for no close frame."""
    for frame in read(data):
        if frame.opcode is Opcode.CLOSE:
            return int.from_bytes(frame.data[:2]) if frame.data else 1005
    return None


def written(message: dict[str, str]) -> Message:
    if "text" in message:
        return message["text"].encode(), True
    return bytes.fromhex(message["hex"]), False


@pytest.mark.parametrize("vector", VECTORS)
@pytest.mark.parametrize("step", [1, 3, 1_000_000])
def test_every_vector_holds_however_its_bytes_are_cut(wire: Codec, vector: dict[str, Any], step: int) -> None:
    codec = wire.WebSocketCodec(LIMIT)
    data = bytes.fromhex(vector["hex"])
    messages: list[Message] = []
    answers = b""
    for start in range(0, len(data), step):
        messages += codec.receive(data[start : start + step])
        answers += codec.data_to_send()
    assert messages == [written(message) for message in vector["messages"]]
    pongs = [frame.data.hex() for frame in read(answers) if frame.opcode is Opcode.PONG]
    assert pongs == vector["pongs"]
    assert close_code_of(answers) == vector["close"]
    assert codec.ended is (vector["close"] is not None)


MESSAGES = st.lists(
    st.one_of(
        st.text(max_size=200).map(lambda text: (Opcode.TEXT, text.encode())),
        st.binary(max_size=200).map(lambda data: (Opcode.BINARY, data)),
        st.binary(max_size=125).map(lambda data: (Opcode.PING, data)),
    ),
    max_size=8,
)


@given(MESSAGES, st.lists(st.integers(0, 3_000), max_size=12), st.data())
def test_any_fragmentation_and_any_split_of_the_bytes_give_the_same_messages(
    wire: Codec, messages: list[tuple[Opcode, bytes]], cuts: list[int], data: st.DataObject
) -> None:
    peer = client()
    for opcode, payload in messages:
        if opcode is Opcode.PING:
            peer.send_ping(payload)
            continue
        edges = sorted(data.draw(st.lists(st.integers(0, len(payload)), max_size=4)))
        pieces = [payload[a:b] for a, b in itertools.pairwise([0, *edges, len(payload)])]
        (peer.send_text if opcode is Opcode.TEXT else peer.send_binary)(pieces[0], fin=len(pieces) == 1)
        for index, piece in enumerate(pieces[1:], 2):
            peer.send_continuation(piece, fin=index == len(pieces))
    data_in = sent(peer)
    codec = wire.WebSocketCodec(LIMIT)
    received: list[Message] = []
    answers = b""
    for a, b in itertools.pairwise(sorted({0, len(data_in), *(cut for cut in cuts if cut < len(data_in))})):
        received += codec.receive(data_in[a:b])
        answers += codec.data_to_send()
    expected = [(payload, opcode is Opcode.TEXT) for opcode, payload in messages if opcode is not Opcode.PING]
    assert received == expected
    pongs = [frame.data for frame in read(answers) if frame.opcode is Opcode.PONG]
    assert pongs == [payload for opcode, payload in messages if opcode is Opcode.PING]
    assert codec.pings_in == len(pongs)
    assert not codec.ended


@given(st.binary(max_size=400), st.integers(1, 50))
def test_any_bytes_end_in_messages_or_in_a_close_code_and_never_in_an_exception(
    wire: Codec, data: bytes, step: int
) -> None:
    codec = wire.WebSocketCodec(LIMIT)
    answers = b""
    for start in range(0, len(data), step):
        for message in codec.receive(data[start : start + step]):
            assert len(message[0]) <= LIMIT
        answers += codec.data_to_send()
    code = close_code_of(answers)
    assert codec.ended is (code is not None)


@pytest.mark.parametrize("size", BORDERS)
@pytest.mark.parametrize("text", [True, False])
def test_a_frame_of_any_length_is_read_by_the_library(wire: Codec, size: int, text: bool) -> None:
    (frame,) = read(wire.encode_frame(b"x" * size, text))
    assert frame.opcode is (Opcode.TEXT if text else Opcode.BINARY)
    assert frame.fin
    assert bytes(frame.data) == b"x" * size


@pytest.mark.parametrize(("size", "head"), [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)])
def test_ws_10_a_frame_has_the_shortest_head(wire: Codec, size: int, head: int) -> None:
    assert len(wire.encode_frame(b"x" * size, False)) == head + size


@given(st.binary(max_size=300), st.booleans())
def test_a_frame_is_what_the_library_would_send(wire: Codec, payload: bytes, text: bool) -> None:
    expected = Frame(Opcode.TEXT if text else Opcode.BINARY, payload).serialize(mask=False)
    assert wire.encode_frame(payload, text) == expected


def test_a_connection_served_while_another_one_inflates_changes_nothing_of_its_bytes(wire: Codec) -> None:
    # zlib lets go of the GIL: another thread, with a hub of its own, wrote over what was still to be read.
    other, peer = wire.WebSocketCodec(100_000), client()
    peer.send_binary(b"z" * 50_000)
    others = sent(peer)

    def interrupted(data: bytes, max_bytes: int) -> bytes:
        assert other.receive(others) == [(b"z" * 50_000, False)]
        return inflate(data, max_bytes)

    codec = wire.WebSocketCodec(LIMIT, interrupted)
    peer.send_binary(b"behind it")
    compressed = compress(b"hello")
    data = bytes([0xC2, 0x80 | len(compressed)]) + bytes(4) + compressed + sent(peer)
    assert codec.receive(data) == [(b"hello", False), (b"behind it", False)]


def test_a_flood_of_pings_costs_no_more_than_its_bytes(wire: Codec) -> None:
    # Each pong was joined to all before it: 256 KiB of pings, one read of a transport, held the loop for 0.2 s.
    def cpu_s(pings: int) -> float:
        began = time.process_time()
        wire.WebSocketCodec(LIMIT).receive(b"\x89\x80\0\0\0\0" * pings)
        return time.process_time() - began

    few_s, many_s = (min(cpu_s(pings) for _ in range(3)) for pings in (4_000, 40_000))
    assert many_s < 40 * few_s


def test_ws_5_what_is_too_large_is_refused_before_it_comes(wire: Codec) -> None:
    codec = wire.WebSocketCodec(LIMIT)
    head = bytes([0x82, 0xFF]) + (1 << 40).to_bytes(8)
    assert codec.receive(head) == []
    assert close_code_of(codec.data_to_send()) == 1009
    assert codec.ended


def test_ws_5_the_limit_may_change_between_messages(wire: Codec) -> None:
    codec, peer = wire.WebSocketCodec(10), client()
    codec.limit(20)
    peer.send_binary(b"x" * 20)
    assert codec.receive(sent(peer)) == [(b"x" * 20, False)]
    codec.limit(10)
    peer.send_binary(b"x" * 11)
    assert codec.receive(sent(peer)) == []
    assert close_code_of(codec.data_to_send()) == 1009


def test_ws_6_empty_fragments_count(wire: Codec) -> None:
    codec, peer = wire.WebSocketCodec(LIMIT), client()
    peer.send_text(b"", fin=False)
    for _ in range(MAX_FRAGMENTS):
        peer.send_continuation(b"", fin=False)
    codec.receive(sent(peer))
    assert close_code_of(codec.data_to_send()) == 1008


def test_ws_6_another_number_of_fragments_may_be_allowed(wire: Codec) -> None:
    codec = wire.WebSocketCodec(LIMIT, None, 2)
    assert codec.receive(head(0x01, 1) + b"a" + head(0x80, 1) + b"b") == [(b"ab", True)]
    codec.receive(head(0x01, 0) + head(0x00, 0) + head(0x00, 0))
    assert close_code_of(codec.data_to_send()) == 1008


def test_ws_8_pings_are_counted_and_each_is_answered(wire: Codec) -> None:
    codec, peer = wire.WebSocketCodec(LIMIT), client()
    for number in range(1_000):
        peer.send_ping(str(number).encode())
    assert codec.receive(sent(peer)) == []
    assert codec.pings_in == 1_000
    pongs = [int(frame.data) for frame in read(codec.data_to_send()) if frame.opcode is Opcode.PONG]
    assert pongs == list(range(1_000))


def test_ws_9_a_goodbye_is_answered_with_its_code_and_reason(wire: Codec) -> None:
    codec, peer = wire.WebSocketCodec(LIMIT), client()
    peer.send_close(4_001, "à bientôt")
    codec.receive(sent(peer))
    (frame,) = read(codec.data_to_send())
    assert frame.opcode is Opcode.CLOSE
    assert bytes(frame.data) == (4_001).to_bytes(2) + "à bientôt".encode()
    assert codec.close_code == 4_001
    assert codec.ended


def test_ws_9_a_hub_that_says_goodbye_ends_when_it_is_answered(wire: Codec) -> None:
    codec, peer = wire.WebSocketCodec(LIMIT), client()
    codec.close(3_001, "the hub is shutting down")
    codec.close(3_008)
    assert not codec.ended
    peer.receive_data(codec.data_to_send())
    assert peer.close_rcvd is not None
    assert (peer.close_rcvd.code, peer.close_rcvd.reason) == (3_001, "the hub is shutting down")
    assert codec.receive(sent(peer)) == []
    assert codec.ended


def test_messages_that_come_behind_our_goodbye_are_still_read(wire: Codec) -> None:
    codec, peer = wire.WebSocketCodec(LIMIT), client()
    codec.close(1_000)
    peer.send_text(b"crossed on the way")
    assert codec.receive(sent(peer)) == [(b"crossed on the way", True)]


def test_a_connection_that_ended_without_goodbye_has_1006(wire: Codec) -> None:
    assert wire.WebSocketCodec(LIMIT).close_code == 1_006


def test_a_ping_of_ours_is_empty_and_its_pong_is_a_sign_of_life(wire: Codec) -> None:
    codec, peer = wire.WebSocketCodec(LIMIT), client()
    codec.ping()
    peer.receive_data(codec.data_to_send())
    assert codec.receive(sent(peer)) == []
    assert codec.frames_in == 1


def test_nothing_is_pinged_after_the_end(wire: Codec) -> None:
    codec = wire.WebSocketCodec(LIMIT)
    codec.fail(1_008, "too much")
    codec.data_to_send()
    codec.ping()
    assert codec.data_to_send() == b""


def test_ws_1_the_key_of_the_rfc_has_its_answer() -> None:
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize("key", ["", "x", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25j", "é" * 24, "=" * 24])
def test_ws_1_a_key_that_is_no_base64_of_16_bytes_has_none(key: str) -> None:
    assert accept_key(key) is None


def head(first: int, size: int, mask: bytes = b"\0\0\0\0") -> bytes:
    return bytes((first, 0x80 | size)) + mask


@pytest.mark.parametrize("bad", [b"\xff", b"\xc0", b"\xf4\x90", b"\xed\xa0", b"a\x80", "é".encode()[:1] + b"a"])
def test_ws_7_text_is_refused_at_its_first_bad_byte_before_its_frame_ends(wire: Codec, bad: bytes) -> None:
    codec = wire.WebSocketCodec(LIMIT)
    codec.receive(head(0x81, 100) + "Grüße ".encode())
    for byte in bad:
        assert not codec.ended
        codec.receive(bytes([byte]))
    assert codec.ended
    assert close_code_of(codec.data_to_send()) == 1007


def begins_text(data: bytes) -> bool:
    """Return whether some text begins with these bytes; by trying all that may follow."""
    follows = [b"", b"\x80", b"\xbf", b"\x80\x80", b"\xbf\xbf", b"\x80\x80\x80", b"\xbf\xbf\xbf"]
    return any(is_text(data + follow) for follow in follows)


def is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.parametrize("length", [1, 2, 3])
def test_ws_7_every_beginning_of_a_character_is_taken_and_nothing_else(wire: Codec, length: int) -> None:
    # All bytes that decide anything: the borders of the table of well-formed sequences (Unicode, 3-7).
    borders = [0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE]
    borders += [0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF]
    for beginning in itertools.product(borders, repeat=length):
        codec = wire.WebSocketCodec(LIMIT)
        codec.receive(head(0x01, 100) + bytes(beginning))
        assert codec.ended is not begins_text(bytes(beginning)), bytes(beginning).hex()


@pytest.mark.parametrize(("size", "form"), [(0, 126), (125, 126), (0, 127), (126, 127), (65_535, 127)])
def test_ws_4_a_length_that_is_not_in_its_shortest_form_is_1002(wire: Codec, size: int, form: int) -> None:
    codec = wire.WebSocketCodec(100_000)
    codec.receive(bytes((0x82, 0x80 | form)) + size.to_bytes(2 if form == 126 else 8))
    assert close_code_of(codec.data_to_send()) == 1002


@pytest.mark.parametrize("size", [126, 65_535])
def test_ws_4_the_shortest_lengths_of_each_form_are_taken(wire: Codec, size: int) -> None:
    codec = wire.WebSocketCodec(100_000)
    assert codec.receive(bytes((0x82, 0xFE)) + size.to_bytes(2) + bytes(4 + size)) == [(bytes(size), False)]
    assert codec.receive(bytes((0x82, 0xFF)) + (65_536).to_bytes(8) + bytes(4 + 65_536)) == [(bytes(65_536), False)]


def compressed(payload: bytes, opcode: int = 1, fin: bool = True) -> bytes:
    """Return a client's frame with RSV1."""
    assert len(payload) < 126
    return head((0x80 if fin else 0) | 0x40 | opcode, len(payload)) + payload


def test_ws_3_a_compressed_message_without_agreement_is_1002(wire: Codec) -> None:
    codec = wire.WebSocketCodec(LIMIT)
    assert codec.receive(compressed(compress(b"Hello"))) == []
    assert close_code_of(codec.data_to_send()) == 1002


def test_ws_3_compressed_and_plain_messages_may_follow_each_other(wire: Codec) -> None:
    codec = wire.WebSocketCodec(LIMIT, inflate)
    data = compressed(compress(b"Hello")) + head(0x82, 1) + b"x" + compressed(compress(b"\xff"), 2)
    assert codec.receive(data) == [(b"Hello", True), (b"x", False), (b"\xff", False)]
    assert not codec.ended


@pytest.mark.parametrize("cut", range(6))
def test_ws_3_only_the_first_fragment_of_a_compressed_message_is_marked(wire: Codec, cut: int) -> None:
    data = compress(b"Hello Hello")
    codec = wire.WebSocketCodec(LIMIT, inflate)
    ping = head(0x89, 0)
    pieces = compressed(data[:cut], fin=False) + ping + head(0x80, len(data) - cut) + data[cut:]
    assert codec.receive(pieces) == [(b"Hello Hello", True)]
    marked = wire.WebSocketCodec(LIMIT, inflate)
    assert marked.receive(compressed(data[:cut], fin=False) + compressed(data[cut:], 0)) == []
    assert close_code_of(marked.data_to_send()) == 1002


@pytest.mark.parametrize("opcode", [8, 9, 10])
def test_ws_3_a_control_frame_is_never_compressed(wire: Codec, opcode: int) -> None:
    codec = wire.WebSocketCodec(LIMIT, inflate)
    codec.receive(compressed(b"", opcode))
    assert close_code_of(codec.data_to_send()) == 1002


def test_ws_7_compressed_text_is_checked_when_it_is_inflated(wire: Codec) -> None:
    codec = wire.WebSocketCodec(LIMIT, inflate)
    assert codec.receive(compressed(compress(b"ab\xffcd"))) == []
    assert close_code_of(codec.data_to_send()) == 1007
    broken_off = wire.WebSocketCodec(LIMIT, inflate)
    assert broken_off.receive(compressed(compress("é".encode()[:1]))) == []
    assert close_code_of(broken_off.data_to_send()) == 1007


def test_text_that_begins_anew_behind_a_compressed_one_is_checked_from_its_start(wire: Codec) -> None:
    codec = wire.WebSocketCodec(LIMIT, inflate)
    data = compressed(compress("é".encode())) + head(0x81, 2) + "ü".encode() + compressed(compress("ñ".encode()))
    assert [payload.decode() for payload, _ in codec.receive(data)] == ["é", "ü", "ñ"]


@pytest.mark.parametrize(("error", "code"), [(1009, 1009), (1008, 1008), (1002, 1002)])
def test_ws_5_what_inflate_refuses_ends_the_connection_with_its_code(wire: Codec, error: int, code: int) -> None:
    def refuse(data: bytes, max_bytes: int) -> bytes:
        assert (data, max_bytes) == (b"abc", 77)
        raise InflateError(error, "no")

    codec = wire.WebSocketCodec(LIMIT, refuse)
    codec.limit(77)
    assert codec.receive(compressed(b"abc")) == []
    assert close_code_of(codec.data_to_send()) == code
    assert codec.ended


def test_ws_5_the_limit_holds_for_the_compressed_bytes_too(wire: Codec) -> None:
    def never(data: bytes, max_bytes: int) -> bytes:
        raise AssertionError

    codec = wire.WebSocketCodec(100, never)
    codec.receive(compressed(bytes(60), fin=False) + head(0x80, 41))
    assert close_code_of(codec.data_to_send()) == 1009


def test_a_frame_or_message_that_began_is_told(wire: Codec) -> None:
    codec = wire.WebSocketCodec(LIMIT)
    for piece, within in [(b"\x01", True), (b"\x81\0\0\0\0a", True), (b"\x80\x80\0\0\0", True), (b"\0", False)]:
        codec.receive(piece)
        assert codec.is_within_message is within
    codec.receive(head(0x89, 4) + b"abc")
    assert codec.is_within_message
    codec.receive(b"d")
    assert not codec.is_within_message


@given(st.binary(max_size=300), st.booleans())
def test_a_compressed_frame_is_marked_by_rsv1_alone(wire: Codec, payload: bytes, text: bool) -> None:
    plain, marked = wire.encode_frame(payload, text), wire.encode_frame(payload, text, True)
    assert marked[0] == plain[0] | 0x40
    assert marked[1:] == plain[1:]


def test_a_message_that_drips_in_costs_little_more_than_its_bytes(wire: Codec) -> None:
    # Kept as a list of pieces, a message of 1 MB that came two bytes at a time held 62 MB in the pure codec.
    size = 30_000
    codec = wire.WebSocketCodec(size)
    codec.receive(bytes((0x82, 0xFE)) + size.to_bytes(2) + bytes(4))
    tracemalloc.start()
    try:
        for _ in range(size // 2 - 1):
            codec.receive(b"ab")
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 4 * size
    assert codec.receive(b"ab") == [(b"ab" * (size // 2), False)]
