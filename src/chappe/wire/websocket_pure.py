"""The codec of WebSocket (RFC 6455) in Python: for machines without a C compiler, and to check the native one against.

Masks, close frames and control frames are those of the sans-I/O protocol of the `websockets` library. The frames are
read here: the library holds a frame back until it is whole, and text that is no UTF-8 shall be refused at once.
"""

import codecs
from typing import Final

from websockets.exceptions import ProtocolError
from websockets.frames import Close, CloseCode, Frame, Opcode

from chappe.wire.deflate import Inflate, InflateError
from chappe.wire.websocket_limits import MAX_FRAGMENTS, shorten_reason

try:
    from websockets.speedups import apply_mask
except ImportError:
    from websockets.utils import apply_mask

_make_utf8_decoder = codecs.getincrementaldecoder("utf-8")
_FIN: Final = 0x80
_RSV1: Final = 0x40
_OTHER_RSV: Final = 0x30
_MASKED: Final = 0x80
#: Control frames have this bit in their opcode (RFC 6455, 5.5).
_CONTROL: Final = 0x08
_MAX_CONTROL_BYTES: Final = 125
_OPCODES: Final = frozenset(Opcode)


class _Violation(Exception):
    """The peer broke a rule; the connection ends with this code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


def encode_frame(payload: bytes, text: bool, deflated: bool = False) -> bytes:
    """Return a server's unmasked, unfragmented data frame (RFC 6455, 5.2).

    Args:
        payload: of the message.
        text: whether it is text.
        deflated: whether the payload is compressed already.
    """
    size = len(payload)
    first = _FIN | (_RSV1 if deflated else 0) | (Opcode.TEXT if text else Opcode.BINARY)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65_536:
        return bytes((first, 126)) + size.to_bytes(2) + payload
    return bytes((first, 127)) + size.to_bytes(8) + payload


class WebSocketCodec:
    """One connection's receiving state, and its control frames.

    Call `receive` with whatever came, then send `data_to_send`; once `ended` is true and that is sent, close TCP: the
    server closes first (RFC 6455, 7.1.1).

    Attributes:
        frames_in: frames received whole, control frames included; any is a sign of life.
        pings_in: pings among them.
    """

    __slots__ = (
        "_buffer",
        "_close_rcvd",
        "_close_sent",
        "_compressed",
        "_fin",
        "_fragments",
        "_inflate",
        "_left",
        "_limit",
        "_mask",
        "_max_fragments",
        "_message",
        "_opcode",
        "_payload",
        "_size",
        "_text",
        "_utf8",
        "_writes",
        "ended",
        "frames_in",
        "pings_in",
    )

    def __init__(
        self, max_message_bytes: int, inflate: Inflate | None = None, max_fragments: int = MAX_FRAGMENTS
    ) -> None:
        """Begin behind the handshake; without `inflate` a compressed message is a protocol error."""
        self._limit = max_message_bytes
        self._max_fragments = max_fragments
        self._inflate = inflate
        self._buffer = bytearray()
        self._writes: list[bytes] = []
        # The frame that is being read.
        self._opcode: Opcode | None = None
        self._fin = False
        self._left = 0
        self._mask = b""
        self._payload: list[bytes] = []
        # The message that is being put together.
        self._message: bytes | bytearray = b""
        self._fragments = 0
        self._size = 0
        self._text = False
        self._compressed = False
        self._utf8 = _make_utf8_decoder()
        self._close_rcvd: Close | None = None
        self._close_sent = False
        self.ended = False
        self.frames_in = 0
        self.pings_in = 0

    def limit(self, max_message_bytes: int) -> None:
        """Set the largest message taken from here on, in bytes; a larger one ends the connection with 1009."""
        self._limit = max_message_bytes

    def receive(self, data: bytes) -> list[tuple[bytes, bool]]:
        """Take bytes of the peer; return the messages that are complete by them, in order, and whether each is text.

        Never raises: what breaks the protocol ends the connection with the code that RFC 6455 asks for, and what comes
        behind it is ignored.
        """
        messages: list[tuple[bytes, bool]] = []
        if self.ended:
            return messages
        self._buffer += data
        try:
            # Behind the end no frame begins, as nothing is left in the buffer.
            while self._opcode is not None or self._begin_frame():
                self._take_payload()
                if self._left:
                    break
                message = self._end_frame()
                if message is not None:
                    messages.append(message)
        except _Violation as violation:
            self.fail(violation.code, violation.reason)
        return messages

    def ping(self) -> None:
        """Ask for a pong."""
        if not self.ended:
            self._control(Opcode.PING, b"")

    def close(self, code: int, reason: str = "") -> None:
        """Say goodbye; does nothing if either side did already."""
        if not self._close_sent:
            self._close_sent = True
            self._control(Opcode.CLOSE, Close(code, shorten_reason(reason)).serialize())

    def fail(self, code: int, reason: str) -> None:
        """End the connection because of what the peer did."""
        self.close(code, reason)
        self._end()

    def data_to_send(self) -> bytes:
        """Return what must be sent now: pongs, pings, close frames."""
        writes, self._writes = self._writes, []
        return b"".join(writes)

    @property
    def is_within_message(self) -> bool:
        """Whether a frame, or a fragmented message, has begun and its end has not come."""
        return self._opcode is not None or bool(self._buffer) or self._fragments > 0

    @property
    def close_code(self) -> int:
        """How the connection ended: the peer's code, 1005 for none in its close frame, 1006 for no close frame."""
        return int(self._close_rcvd.code if self._close_rcvd is not None else CloseCode.ABNORMAL_CLOSURE)

    # --- One frame ---------------------------------------------------------------------------------------------------

    def _begin_frame(self) -> bool:
        """Read the head of a frame, if it is there; refuse what can be refused before the rest comes."""
        buffer = self._buffer
        if len(buffer) < 2:
            return False
        first, second = buffer[0], buffer[1]
        size, start = second & 0x7F, 2
        if size >= 126:
            self._check_head(first, second, 0)
            start, least = (4, 126) if size == 126 else (10, 65_536)
            if len(buffer) < start:
                return False
            size = int.from_bytes(buffer[2:start])
            if size < least:
                raise _Violation(CloseCode.PROTOCOL_ERROR, "length not in its shortest form")
        self._check_head(first, second, size)
        if len(buffer) < start + 4:
            return False
        self._opcode = Opcode(first & 0x0F)
        self._fin = bool(first & _FIN)
        self._mask = bytes(buffer[start : start + 4])
        self._left = size
        if not first & _CONTROL:
            self._fragments += 1
        if self._opcode in (Opcode.TEXT, Opcode.BINARY):
            self._text = self._opcode is Opcode.TEXT
            self._compressed = bool(first & _RSV1)
        del buffer[: start + 4]
        return True

    def _check_head(self, first: int, second: int, size: int) -> None:
        """Refuse a head; its length is 0 until it has come."""
        opcode, control = first & 0x0F, first & _CONTROL
        if not second & _MASKED:
            raise _Violation(CloseCode.PROTOCOL_ERROR, "a client's frame is not masked")
        if opcode not in _OPCODES:
            raise _Violation(CloseCode.PROTOCOL_ERROR, "reserved opcode")
        # Before what is wrong otherwise: a length with its top bit set is too large for anybody.
        if size > self._limit - (0 if control else self._size):
            raise _Violation(CloseCode.MESSAGE_TOO_BIG, "message too large")
        may_be_compressed = self._inflate is not None and opcode in (Opcode.TEXT, Opcode.BINARY)
        if first & _OTHER_RSV or (first & _RSV1 and not may_be_compressed):
            raise _Violation(CloseCode.PROTOCOL_ERROR, "reserved bits are set")
        if control:
            if not first & _FIN:
                raise _Violation(CloseCode.PROTOCOL_ERROR, "fragmented control frame")
            if size > _MAX_CONTROL_BYTES:
                raise _Violation(CloseCode.PROTOCOL_ERROR, "control frame too long")
        else:
            self._check_order(opcode == Opcode.CONT)

    def _check_order(self, continues: bool) -> None:
        if continues and not self._fragments:
            raise _Violation(CloseCode.PROTOCOL_ERROR, "a continuation of nothing")
        if self._fragments and not continues:
            raise _Violation(CloseCode.PROTOCOL_ERROR, "a new message inside another one")
        if self._fragments >= self._max_fragments:
            raise _Violation(CloseCode.POLICY_VIOLATION, "too many fragments")

    def _take_payload(self) -> None:
        """Unmask what is there of the payload; check text as it comes."""
        piece = bytes(self._buffer[: self._left])
        if not piece:
            return
        taken = len(piece)
        del self._buffer[:taken]
        self._left -= taken
        piece = apply_mask(piece, self._mask)
        # The next piece begins within the mask.
        turn = taken % 4
        self._mask = self._mask[turn:] + self._mask[:turn]
        assert self._opcode is not None
        if self._opcode & _CONTROL:
            self._payload.append(piece)
            return
        # Most messages come in one piece, which is handed on as it is. A piece of two bytes as an object costs sixty.
        if not self._size:
            self._message = piece
        elif isinstance(self._message, bytearray):
            self._message += piece
        else:
            self._message = bytearray(self._message) + piece
        self._size += taken
        if self._text and not self._compressed:
            self._check_text(piece, False)

    def _end_frame(self) -> tuple[bytes, bool] | None:
        """Act on a frame that is whole; return the message that ends with it, if one does."""
        opcode, self._opcode = self._opcode, None
        if opcode in (Opcode.CLOSE, Opcode.PING, Opcode.PONG):
            payload, self._payload = b"".join(self._payload), []
            self.frames_in += 1
            if opcode is Opcode.PING:
                self.pings_in += 1
                if not self._close_sent:
                    self._control(Opcode.PONG, payload)
            elif opcode is Opcode.CLOSE:
                self._receive_close(payload)
            return None
        message = self._end_message() if self._fin else None
        self.frames_in += 1
        return message

    def _end_message(self) -> tuple[bytes, bool]:
        payload, self._message = bytes(self._message), b""
        self._fragments = self._size = 0
        if self._compressed:
            assert self._inflate is not None
            try:
                payload = self._inflate(payload, self._limit)
            except InflateError as error:
                raise _Violation(error.close_code, error.reason) from None
            if self._text:
                self._check_text(payload, True)
        elif self._text:
            self._check_text(b"", True)
        return payload, self._text

    def _check_text(self, piece: bytes, final: bool) -> None:
        try:
            self._utf8.decode(piece, final)
        except UnicodeDecodeError:
            raise _Violation(CloseCode.INVALID_DATA, "text is no UTF-8") from None
        # The decoder waits for the third byte of a surrogate before it refuses it.
        pending = self._utf8.getstate()[0]
        if len(pending) == 2 and pending[0] == 0xED and pending[1] >= 0xA0:
            raise _Violation(CloseCode.INVALID_DATA, "text is no UTF-8")

    # --- Control frames ----------------------------------------------------------------------------------------------

    def _receive_close(self, payload: bytes) -> None:
        """End; a goodbye may come between the fragments of a message (RFC 6455, 5.4; Autobahn 7.1.5)."""
        try:
            self._close_rcvd = Close.parse(payload)
        except ProtocolError:
            raise _Violation(
                CloseCode.PROTOCOL_ERROR, "close frame of one byte" if len(payload) == 1 else "invalid close code"
            ) from None
        except UnicodeDecodeError:
            raise _Violation(CloseCode.INVALID_DATA, "close reason is no UTF-8") from None
        if not self._close_sent:
            self._close_sent = True
            self._control(Opcode.CLOSE, payload)
        self._end()

    def _control(self, opcode: Opcode, payload: bytes) -> None:
        self._writes.append(Frame(opcode, payload).serialize(mask=False))

    def _end(self) -> None:
        """Forget what has come: nothing of it is read any more."""
        self.ended = True
        self._buffer.clear()
        self._message = b""
        self._payload = []
