"""WebSocket framing (RFC 6455) without I/O, over the sans-I/O protocol of the `websockets` library.

`encode_frame` makes server frames, which are never masked and so can be shared by all connections. `WebSocketCodec` is
one connection's state behind its opening handshake, which the HTTP side has done.
"""

import base64
import binascii
import codecs
import hashlib
from typing import Final, NamedTuple

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import OPEN, SERVER, Protocol

#: Fragments of one message, empty ones included (CVE-2026-48779: endless tiny fragments).
MAX_FRAGMENTS: Final = 64
#: Bytes of a close reason: a control frame has 125, the code takes two (RFC 6455, 5.5.1).
MAX_REASON_BYTES: Final = 123

_make_utf8_decoder = codecs.getincrementaldecoder("utf-8")
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Received(NamedTuple):
    """One whole message of the peer."""

    payload: bytes
    text: bool


def accept_key(key: str) -> str | None:
    """Return the answer to a `Sec-WebSocket-Key`, or None if it is no base64 of 16 bytes (RFC 6455, 4.2.2)."""
    try:
        if len(base64.b64decode(key.encode(), validate=True)) != 16:
            return None
    except (binascii.Error, ValueError):
        return None
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()


def encode_frame(payload: bytes, text: bool) -> bytes:
    """Return a server's unmasked, unfragmented data frame (RFC 6455, 5.2)."""
    size = len(payload)
    opcode = 0x81 if text else 0x82
    if size < 126:
        return bytes((opcode, size)) + payload
    if size < 65_536:
        return bytes((opcode, 126)) + size.to_bytes(2) + payload
    return bytes((opcode, 127)) + size.to_bytes(8) + payload


def shorten_reason(reason: str) -> str:
    """Return a close reason that fits, cut at a character's edge."""
    return reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")


class _Peer(Protocol):
    """The library's protocol, corrected."""

    def recv_frame(self, frame: Frame) -> None:
        """Take a frame; a goodbye may come between the fragments of a message (RFC 6455, 5.4; Autobahn 7.1.5)."""
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        super().recv_frame(frame)


class WebSocketCodec:
    """One connection's receiving state, and its control frames.

    Call `receive` with whatever came, then send `data_to_send`; once `ended` is true and that is sent, close TCP: the
    server closes first (RFC 6455, 7.1.1).

    Attributes:
        frames_in: frames received, control frames included; any is a sign of life.
        pings_in: pings among them.
    """

    __slots__ = ("_buffer", "_fragments", "_protocol", "_text", "_utf8", "ended", "frames_in", "pings_in")

    def __init__(self, max_message_bytes: int) -> None:
        self._protocol = _Peer(SERVER, state=OPEN, max_size=max_message_bytes)
        self._buffer: list[bytes] = []
        self._fragments = 0
        self._text = False
        self._utf8 = _make_utf8_decoder()
        self.ended = False
        self.frames_in = 0
        self.pings_in = 0

    def limit(self, max_message_bytes: int) -> None:
        """Set the largest message taken from here on, in bytes; a larger one ends the connection with 1009."""
        self._protocol.max_message_size = max_message_bytes

    def receive(self, data: bytes) -> list[Received]:
        """Take bytes of the peer; return the messages that are complete by them, in order.

        Never raises: what breaks the protocol ends the connection with the code that RFC 6455 asks for, and what comes
        behind it is ignored.
        """
        protocol = self._protocol
        protocol.receive_data(data)
        messages: list[Received] = []
        for frame in protocol.events_received():
            self.frames_in += 1
            if not isinstance(frame, Frame) or self.ended:
                continue
            if frame.opcode is Opcode.PING:
                self.pings_in += 1
            elif frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                message = self._assemble(frame)
                if message is not None:
                    messages.append(message)
        if protocol.eof_sent:
            self.ended = True
        return messages

    def ping(self) -> None:
        """Ask for a pong."""
        if not self.ended:
            self._protocol.send_ping(b"")

    def close(self, code: int, reason: str = "") -> None:
        """Say goodbye; does nothing if either side did already."""
        if self._protocol.state is OPEN:
            self._protocol.send_close(code, shorten_reason(reason))

    def fail(self, code: int, reason: str) -> None:
        """End the connection because of what the peer did."""
        self._protocol.fail(code, shorten_reason(reason))
        self.ended = True

    def data_to_send(self) -> bytes:
        """Return what must be sent now: pongs, pings, close frames."""
        writes = self._protocol.data_to_send()
        return b"".join(writes) if writes else b""

    @property
    def is_within_message(self) -> bool:
        """Whether a frame, or a fragmented message, has begun and its end has not come."""
        return bool(self._protocol.reader.buffer) or self._fragments > 0

    @property
    def close_code(self) -> int:
        """How the connection ended: the peer's code, 1005 for none in its close frame, 1006 for no close frame."""
        received = self._protocol.close_rcvd
        return int(received.code) if received is not None else int(CloseCode.ABNORMAL_CLOSURE)

    def _assemble(self, frame: Frame) -> Received | None:
        if frame.opcode is not Opcode.CONT:
            self._text = frame.opcode is Opcode.TEXT
            if frame.fin:
                return self._whole(bytes(frame.data))
        self._fragments += 1
        if self._fragments > MAX_FRAGMENTS:
            self.fail(CloseCode.POLICY_VIOLATION, f"more than {MAX_FRAGMENTS} fragments")
            return None
        # Checked piece by piece, so that what is no text is refused before the rest of it comes.
        if self._text and not self._is_utf8(frame):
            return None
        self._buffer.append(bytes(frame.data))
        if not frame.fin:
            return None
        payload = b"".join(self._buffer)
        self._buffer = []
        self._fragments = 0
        return Received(payload, self._text)

    def _whole(self, payload: bytes) -> Received | None:
        if self._text and not payload.isascii():
            try:
                payload.decode()
            except UnicodeDecodeError:
                self.fail(CloseCode.INVALID_DATA, "text is no UTF-8")
                return None
        return Received(payload, self._text)

    def _is_utf8(self, frame: Frame) -> bool:
        if frame.opcode is Opcode.TEXT:
            self._utf8.reset()
        try:
            self._utf8.decode(frame.data, frame.fin)
        except UnicodeDecodeError:
            self.fail(CloseCode.INVALID_DATA, "text is no UTF-8")
            return False
        return True
