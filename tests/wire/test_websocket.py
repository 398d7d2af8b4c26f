"""The WebSocket codec against byte vectors, against the client of the `websockets` library, and against any split."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, OPEN, Protocol

from chappe.wire.websocket import (
    MAX_FRAGMENTS,
    MAX_REASON_BYTES,
    WebSocketCodec,
    accept_key,
    encode_frame,
    shorten_reason,
)
from tests.protocols.vectors import load, title

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
        return (message["text"].encode(), True)
    return (bytes.fromhex(message["hex"]), False)


@pytest.mark.parametrize("vector", VECTORS)
@pytest.mark.parametrize("step", [1, 3, 1_000_000])
def test_every_vector_holds_however_its_bytes_are_cut(vector: dict[str, Any], step: int) -> None:
    codec = WebSocketCodec(LIMIT)
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
    messages: list[tuple[Opcode, bytes]], cuts: list[int], data: st.DataObject
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
    wire = sent(peer)
    codec = WebSocketCodec(LIMIT)
    received: list[Message] = []
    answers = b""
    for a, b in itertools.pairwise(sorted({0, len(wire), *(cut for cut in cuts if cut < len(wire))})):
        received += codec.receive(wire[a:b])
        answers += codec.data_to_send()
    expected = [(payload, opcode is Opcode.TEXT) for opcode, payload in messages if opcode is not Opcode.PING]
    assert received == expected
    pongs = [frame.data for frame in read(answers) if frame.opcode is Opcode.PONG]
    assert pongs == [payload for opcode, payload in messages if opcode is Opcode.PING]
    assert codec.pings_in == len(pongs)
    assert not codec.ended


@given(st.binary(max_size=400), st.integers(1, 50))
def test_any_bytes_end_in_messages_or_in_a_close_code_and_never_in_an_exception(data: bytes, step: int) -> None:
    codec = WebSocketCodec(LIMIT)
    answers = b""
    for start in range(0, len(data), step):
        for message in codec.receive(data[start : start + step]):
            assert len(message[0]) <= LIMIT
        answers += codec.data_to_send()
    code = close_code_of(answers)
    assert codec.ended is (code is not None)


@pytest.mark.parametrize("size", BORDERS)
@pytest.mark.parametrize("text", [True, False])
def test_a_frame_of_any_length_is_read_by_the_library(size: int, text: bool) -> None:
    (frame,) = read(encode_frame(b"x" * size, text))
    assert frame.opcode is (Opcode.TEXT if text else Opcode.BINARY)
    assert frame.fin
    assert bytes(frame.data) == b"x" * size


@pytest.mark.parametrize(("size", "head"), [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)])
def test_ws_10_a_frame_has_the_shortest_head(size: int, head: int) -> None:
    assert len(encode_frame(b"x" * size, False)) == head + size


@given(st.binary(max_size=300), st.booleans())
def test_a_frame_is_what_the_library_would_send(payload: bytes, text: bool) -> None:
    expected = Frame(Opcode.TEXT if text else Opcode.BINARY, payload).serialize(mask=False)
    assert encode_frame(payload, text) == expected


def test_ws_5_what_is_too_large_is_refused_before_it_comes() -> None:
    codec = WebSocketCodec(LIMIT)
    head = bytes([0x82, 0xFF]) + (1 << 40).to_bytes(8)
    assert codec.receive(head) == []
    assert close_code_of(codec.data_to_send()) == 1009
    assert codec.ended


def test_ws_5_the_limit_may_change_between_messages() -> None:
    codec, peer = WebSocketCodec(10), client()
    codec.limit(20)
    peer.send_binary(b"x" * 20)
    assert codec.receive(sent(peer)) == [(b"x" * 20, False)]
    codec.limit(10)
    peer.send_binary(b"x" * 11)
    assert codec.receive(sent(peer)) == []
    assert close_code_of(codec.data_to_send()) == 1009


def test_ws_6_empty_fragments_count() -> None:
    codec, peer = WebSocketCodec(LIMIT), client()
    peer.send_text(b"", fin=False)
    for _ in range(MAX_FRAGMENTS):
        peer.send_continuation(b"", fin=False)
    codec.receive(sent(peer))
    assert close_code_of(codec.data_to_send()) == 1008


def test_ws_8_pings_are_counted_and_each_is_answered() -> None:
    codec, peer = WebSocketCodec(LIMIT), client()
    for number in range(1_000):
        peer.send_ping(str(number).encode())
    assert codec.receive(sent(peer)) == []
    assert codec.pings_in == 1_000
    pongs = [int(frame.data) for frame in read(codec.data_to_send()) if frame.opcode is Opcode.PONG]
    assert pongs == list(range(1_000))


def test_ws_9_a_goodbye_is_answered_with_its_code_and_reason() -> None:
    codec, peer = WebSocketCodec(LIMIT), client()
    peer.send_close(4_001, "à bientôt")
    codec.receive(sent(peer))
    (frame,) = read(codec.data_to_send())
    assert frame.opcode is Opcode.CLOSE
    assert bytes(frame.data) == (4_001).to_bytes(2) + "à bientôt".encode()
    assert codec.close_code == 4_001
    assert codec.ended


def test_ws_9_a_hub_that_says_goodbye_ends_when_it_is_answered() -> None:
    codec, peer = WebSocketCodec(LIMIT), client()
    codec.close(3_001, "the hub is shutting down")
    codec.close(3_008)
    assert not codec.ended
    peer.receive_data(codec.data_to_send())
    assert peer.close_rcvd is not None
    assert (peer.close_rcvd.code, peer.close_rcvd.reason) == (3_001, "the hub is shutting down")
    assert codec.receive(sent(peer)) == []
    assert codec.ended


def test_messages_that_come_behind_our_goodbye_are_still_read() -> None:
    codec, peer = WebSocketCodec(LIMIT), client()
    codec.close(1_000)
    peer.send_text(b"crossed on the way")
    assert codec.receive(sent(peer)) == [(b"crossed on the way", True)]


def test_a_connection_that_ended_without_goodbye_has_1006() -> None:
    assert WebSocketCodec(LIMIT).close_code == 1_006


def test_a_ping_of_ours_is_empty_and_its_pong_is_a_sign_of_life() -> None:
    codec, peer = WebSocketCodec(LIMIT), client()
    codec.ping()
    peer.receive_data(codec.data_to_send())
    assert codec.receive(sent(peer)) == []
    assert codec.frames_in == 1


def test_nothing_is_pinged_after_the_end() -> None:
    codec = WebSocketCodec(LIMIT)
    codec.fail(1_008, "too much")
    codec.data_to_send()
    codec.ping()
    assert codec.data_to_send() == b""


@given(st.text(max_size=300))
def test_ws_10_a_reason_is_cut_at_the_edge_of_a_character(reason: str) -> None:
    cut = shorten_reason(reason)
    assert reason.startswith(cut)
    assert len(cut.encode()) <= MAX_REASON_BYTES
    assert cut == reason or len(reason[: len(cut) + 1].encode()) > MAX_REASON_BYTES


def test_ws_1_the_key_of_the_rfc_has_its_answer() -> None:
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize("key", ["", "x", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25j", "é" * 24, "=" * 24])
def test_ws_1_a_key_that_is_no_base64_of_16_bytes_has_none(key: str) -> None:
    assert accept_key(key) is None
