"""WebSocket framing (RFC 6455) without I/O: the native codec where it was compiled, else its twin in Python.

`encode_frame` makes server frames, which are never masked and so can be shared by all connections. `WebSocketCodec` is
one connection's state behind its opening handshake, which the HTTP side has done.
"""

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING, Final

from chappe.wire.websocket_limits import MAX_FRAGMENTS, MAX_REASON_BYTES, shorten_reason

if TYPE_CHECKING:
    from chappe.wire.websocket_pure import WebSocketCodec, encode_frame

    NATIVE: Final[bool] = False
else:
    try:
        from chappe.wire._websocket import WebSocketCodec, encode_frame

        NATIVE = True
    except ImportError:
        # Where no compiler was there when it was installed.
        from chappe.wire.websocket_pure import WebSocketCodec, encode_frame

        NATIVE = False

__all__ = [
    "MAX_FRAGMENTS",
    "MAX_REASON_BYTES",
    "NATIVE",
    "WebSocketCodec",
    "accept_key",
    "encode_frame",
    "shorten_reason",
]

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_key(key: str) -> str | None:
    """Return the answer to a `Sec-WebSocket-Key`, or None if it is no base64 of 16 bytes (RFC 6455, 4.2.2)."""
    try:
        if len(base64.b64decode(key.encode(), validate=True)) != 16:
            return None
    except (binascii.Error, ValueError):
        return None
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()
