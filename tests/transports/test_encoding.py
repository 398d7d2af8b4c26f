"""Frames are encoded once for all who are sent them, and compressed where that pays."""

import json
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame as WireFrame
from websockets.protocol import CLIENT, OPEN, Protocol

from chappe.model.frame import Bundle, Frame
from chappe.transports.encoding import deflated, plain
from chappe.wire.deflate import compress

LONG = json.dumps([{"name": f"user {n}"} for n in range(100)]).encode()
SHORT = b'{"type":"pong"}'


def read(data: bytes) -> list[WireFrame]:
    """Return what a client that agreed to compression reads."""
    peer = Protocol(CLIENT, state=OPEN, max_size=None)
    peer.extensions = [PerMessageDeflate(True, True, 12, 12)]
    peer.receive_data(data)
    assert peer.parser_exc is None
    return [event for event in peer.events_received() if isinstance(event, WireFrame)]


def test_a_frame_is_encoded_once_in_either_form() -> None:
    frame = Frame(LONG, True)
    assert plain(frame) is plain(frame)
    assert deflated(frame, 1_024) is deflated(frame, 1_024)
    assert len(deflated(frame, 1_024)) < len(plain(frame))


def test_below_the_threshold_and_where_it_would_grow_both_share_the_plain_bytes() -> None:
    noise = bytes(range(256)) * 8
    for frame, min_bytes in [(Frame(SHORT, True), 1_024), (Frame(noise[:200], False), 0), (Frame(b"", True), 0)]:
        assert deflated(frame, min_bytes) is plain(frame)


def test_what_is_compressed_already_is_not_tried_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def counted(payload: bytes, breathe: Callable[[], None] | None = None) -> bytes:
        tried.append(len(payload))
        return compress(payload, breathe)

    monkeypatch.setattr("chappe.transports.encoding.compress", counted)
    dense, text = Frame(random.Random(1).randbytes(60_000), False), Frame(LONG * 20, True)
    assert deflated(dense, 1_024) is plain(dense)
    assert tried == [2_048]
    assert len(deflated(text, 1_024)) < len(text.payload) / 4
    assert tried == [2_048, 2_048, len(text.payload)]


def test_a_bundle_is_compressed_frame_by_frame() -> None:
    bundle = Bundle.of([Frame(LONG, True), Frame(SHORT, True), Frame(LONG, False)])
    assert [bytes(frame.data) for frame in read(deflated(bundle, 1_024))] == [LONG, SHORT, LONG]
    assert deflated(bundle, 1_024) is deflated(bundle, 1_024)


@given(st.binary(max_size=3_000), st.booleans(), st.integers(0, 2_000))
def test_what_is_sent_is_what_was_to_be_sent(payload: bytes, text: bool, min_bytes: int) -> None:
    (frame,) = read(deflated(Frame(payload, text), min_bytes))
    assert bytes(frame.data) == payload
