"""Frames as WebSocket connections send them, made once and shared: plain, and compressed for who agreed to that."""

from chappe.model.frame import Bundle, Frame
from chappe.wire.deflate import compress
from chappe.wire.websocket import encode_frame


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


def deflated(frame: Frame, min_bytes: int) -> bytes:
    """Return what a connection with compression sends: plain where compression would not pay.

    Args:
        frame: a bundle is compressed frame by frame, each a message of its own.
        min_bytes: the same for all connections of a hub, which share what is made.
    """
    data = frame.websocket_deflated
    if data is None:
        if isinstance(frame, Bundle):
            data = b"".join([deflated(part, min_bytes) for part in frame.frames])
        else:
            data = _smaller(frame, min_bytes)
        frame.websocket_deflated = data
    return data


def _smaller(frame: Frame, min_bytes: int) -> bytes:
    if len(frame.payload) >= min_bytes:
        compressed = compress(frame.payload)
        if len(compressed) < len(frame.payload):
            return encode_frame(compressed, frame.text, True)
    return plain(frame)
