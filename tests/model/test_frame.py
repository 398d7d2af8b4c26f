"""A frame is encoded once and shared."""

import pytest

from chappe.model.frame import Bundle, Frame, SlowConsumer


def test_an_answer_has_no_channel_and_is_never_dropped() -> None:
    frame = Frame(b'{"type":"pong"}', text=True)
    assert frame.channel is None
    assert frame.policy is SlowConsumer.DISCONNECT


def test_a_publications_frame_knows_its_channel_and_key() -> None:
    frame = Frame(b"data", text=False, channel="cursors/1", key="ada")
    assert (frame.payload, frame.text, frame.channel, frame.key) == (b"data", False, "cursors/1", "ada")


def test_carriers_have_a_place_each_for_their_encoding() -> None:
    frame = Frame(b"data", text=True)
    assert frame.websocket is None
    assert frame.sse is None
    frame.websocket = b"\x81\x04data"
    assert frame.sse is None


def test_a_frame_has_no_room_for_anything_else() -> None:
    with pytest.raises(AttributeError):
        Frame(b"", text=True).colour = "red"  # type: ignore[attr-defined]


def test_a_frame_shows_its_size_and_never_its_payload() -> None:
    assert repr(Frame(b"secret", text=True)) == "<Frame 6 bytes text>"


def test_a_bundle_keeps_the_order_of_its_frames() -> None:
    frames = [Frame(bytes([number]), text=False) for number in range(5)]
    bundle = Bundle.of(frames)
    frames.reverse()
    assert [frame.payload for frame in bundle.frames] == [b"\x00", b"\x01", b"\x02", b"\x03", b"\x04"]
