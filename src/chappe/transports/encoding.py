"""Frames as WebSocket connections send them, made once and shared: plain, and compressed for who agreed to that."""

from collections.abc import Callable
from typing import Final

from chappe.model.frame import Bundle, Frame
from chappe.wire.deflate import compress
from chappe.wire.websocket import encode_frame

#: Of a message of twice the size and more, so much is tried first: 64 KiB that are compressed already (images, other
#: archives) would take 2 ms to find out that it was for nothing.
_SAMPLE_BYTES: Final = 2_048


def plain(frame: Frame) -> bytes:
    """Return what a connection without compression sends."""
    data = frame.websocket
    if data is None:
        if isinstance(frame, Bundle):
            data = b"".join([plain(part) for part in frame.frames])
        else:
            data = encode_frame(frame.payload, frame.text)
        frame.websocket = data
    return data


def deflated(frame: Frame, min_bytes: int, breathe: Callable[[], None] | None = None) -> bytes:
    """Return what a connection with compression sends: plain where compression would not pay.

    Args:
        frame: a bundle is compressed frame by frame, each a message of its own.
        min_bytes: the same for all connections of a hub, which share what is made.
        breathe: called between pieces of a large message, so that others do not wait for it.
    """
    data = frame.websocket_deflated
    if data is None:
        if isinstance(frame, Bundle):
            data = b"".join([deflated(part, min_bytes, breathe) for part in frame.frames])
        else:
            data = _smaller(frame, min_bytes, breathe)
        frame.websocket_deflated = data
    return data


def _smaller(frame: Frame, min_bytes: int, breathe: Callable[[], None] | None) -> bytes:
    if len(frame.payload) >= min_bytes and not _is_dense(frame.payload):
        compressed = compress(frame.payload, breathe)
        if len(compressed) < len(frame.payload):
            return encode_frame(compressed, frame.text, True)
    return plain(frame)


def _is_dense(payload: bytes) -> bool:
    """Whether a large message looks as if it could not be made smaller, by its beginning."""
    return len(payload) >= 2 * _SAMPLE_BYTES and len(compress(payload[:_SAMPLE_BYTES])) > _SAMPLE_BYTES * 15 // 16
