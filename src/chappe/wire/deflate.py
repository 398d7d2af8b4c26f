"""Compression of WebSocket messages (permessage-deflate, RFC 7692), without state between messages.

No context is kept on either side, so that one deflated publication serves all its readers, and an idle connection holds
no window.
"""

import re
import zlib
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, TypeAlias

Inflate: TypeAlias = Callable[[bytes, int], bytes]
"""What a codec is given: (the bytes of a whole compressed message, the most it may become) -> the message."""

#: Our window: 4 KiB finds nearly all repetition there is in one message, and costs a reader an eighth of 15 bits.
WINDOW_BITS: Final = 12
#: A small hash table: it is cleared for each message.
_MEM_LEVEL: Final = 5
#: Larger messages are compressed less hard: 60 kB of JSON in 0.21 ms instead of 0.31, for 6 % more bytes. Levels below
#: make four times as much of what repeats itself.
_SMALL_BYTES: Final = 8_192
_QUICK_LEVEL: Final = 4
#: How many times its size a message may become; JSON seldom passes 20, a bomb reaches 1,000.
MAX_RATIO: Final = 100
#: Below, a ratio harms nobody: it is what a message that is not compressed may have by default.
RATIO_FREE_BYTES: Final = 1_048_576
#: Final blocks in one message. Legal (RFC 7692, 7.2.3.4), but each needs a decompressor of its own.
MAX_FINAL_BLOCKS: Final = 16

#: Made at once of a message that is inflated, and deflated at once of a large one: some 50 us.
_PIECE_BYTES: Final = 16_384

#: What a sender strips from the end of a message (RFC 7692, 7.2.1).
_TAIL: Final = b"\x00\x00\xff\xff"
#: An empty final block: a decompressor that reaches its end stood at the border of two blocks.
_END: Final = b"\x03\x00"

_WORD: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_NAME: Final = re.compile(rf"[ \t]*({_WORD})[ \t]*")
_PARAMETER: Final = re.compile(
    rf'[ \t]*;[ \t]*({_WORD})[ \t]*(?:=[ \t]*(?:({_WORD})|"((?:[^"\\]|\\.)*)")[ \t]*)?',
)
_SEPARATOR: Final = re.compile(r"[ \t]*(?:,|\Z)")
_ESCAPED: Final = re.compile(r"\\(.)")
#: Window sizes as they are written: no sign, no leading zero (RFC 7692, 7.1.2).
_WINDOWS: Final = frozenset(str(bits) for bits in range(8, 16))


class InflateError(Exception):
    """A compressed message is refused.

    Attributes:
        close_code: what ends the connection: 1002, 1008 or 1009.
        reason: why, for the close frame.
    """

    def __init__(self, close_code: int, reason: str) -> None:
        super().__init__(close_code, reason)
        self.close_code = close_code
        self.reason = reason


class Deflate(NamedTuple):
    """Compression that was agreed on.

    Attributes:
        answer: value of the answer's `Sec-WebSocket-Extensions`.
    """

    answer: str


def negotiate(offers: str) -> Deflate | None:
    """Accept the first acceptable offer of a `Sec-WebSocket-Extensions` header, or none.

    Raises:
        ValueError: the header is malformed; such a handshake must fail (RFC 6455, 9.1).
    """
    # The whole header is read before one is taken: what is malformed behind it is malformed.
    for name, parameters in list(_parse(offers)):
        if name == "permessage-deflate":
            windows = _acceptable(parameters)
            if windows is not None:
                return Deflate(
                    "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
                    + (f"; server_max_window_bits={WINDOW_BITS}" if windows.get("server_max_window_bits") else "")
                )
    return None


def compress(payload: bytes, breathe: Callable[[], None] | None = None) -> bytes:
    """Return a message as it stands in frames with RSV1 set (RFC 7692, 7.2.1); it may be longer than it was.

    Args:
        breathe: called between pieces, so that others do not wait for a large message.
    """
    level = zlib.Z_DEFAULT_COMPRESSION if len(payload) <= _SMALL_BYTES else _QUICK_LEVEL
    deflater = zlib.compressobj(level, zlib.DEFLATED, -WINDOW_BITS, _MEM_LEVEL)
    if breathe is None or len(payload) <= _PIECE_BYTES:
        data = deflater.compress(payload)
    else:
        pieces: list[bytes] = []
        for at in range(0, len(payload), _PIECE_BYTES):
            pieces.append(deflater.compress(payload[at : at + _PIECE_BYTES]))
            breathe()
        data = b"".join(pieces)
    return (data + deflater.flush(zlib.Z_SYNC_FLUSH))[: -len(_TAIL)] or b"\x00"


def inflate(data: bytes, max_bytes: int, breathe: Callable[[], None] | None = None) -> bytes:
    """Return the message that was compressed; never makes more bytes of it than it may.

    Args:
        data: of all its frames.
        max_bytes: the most the message may have.
        breathe: called between pieces, so that others do not wait for a large message.
    Raises:
        InflateError: 1009 for more than `max_bytes`, 1008 for more than `MAX_RATIO` times its size, 1002 for what is no
            deflated data, or breaks off within a block.
    """
    if not data:
        # No block at all. Nothing says that in the letter of the RFC, but nothing else can be meant.
        return b""
    ceiling = min(max_bytes, max(RATIO_FREE_BYTES, MAX_RATIO * len(data)))
    rest, plain = data + _TAIL + _END, b""
    for _ in range(MAX_FINAL_BLOCKS):
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            piece, rest = _inflated(inflater, rest, ceiling - len(plain) + 1, breathe)
        except zlib.error:
            raise InflateError(1002, "a compressed message is no deflated data") from None
        if piece is None:
            raise _too_large(ceiling + 1, max_bytes)
        plain = plain + piece if plain else piece
        if not inflater.eof:
            raise InflateError(1002, "a compressed message breaks off")
        # A sender may end with a final block of its own and strip nothing.
        if not rest or rest == _TAIL + _END:
            return plain
    raise InflateError(1008, f"a compressed message has more than {MAX_FINAL_BLOCKS} final blocks")


def _inflated(
    inflater: "zlib._Decompress", data: bytes, most: int, breathe: Callable[[], None] | None
) -> tuple[bytes | None, bytes]:
    """Return what a decompressor makes of bytes, None: so many or more; and what is behind its end."""
    at_once = max(most, len(data)) if breathe is None else _PIECE_BYTES
    pieces: list[bytes] = []
    left, at, given = most, 0, b""
    while True:
        if not given:
            # A slice: what is not used of it is copied each time.
            given = data[at : at + at_once]
            at += len(given)
        piece = inflater.decompress(given, min(left, at_once))
        left -= len(piece)
        if not left:
            return None, b""
        pieces.append(piece)
        given = inflater.unconsumed_tail
        if inflater.eof or (len(piece) < at_once and not given and at >= len(data)):
            return (piece if len(pieces) == 1 else b"".join(pieces)), inflater.unused_data + data[at:]
        if breathe is not None:
            breathe()


def _too_large(size: int, max_bytes: int) -> InflateError:
    if size > max_bytes:
        return InflateError(1009, f"a compressed message has more than {max_bytes} bytes")
    return InflateError(1008, f"a compressed message grows more than {MAX_RATIO} times")


def _acceptable(parameters: list[tuple[str, str | None]]) -> dict[str, str | None] | None:
    """Return the parameters of an offer by name, or None if it is to be declined (RFC 7692, 7)."""
    found = dict(parameters)
    if len(found) < len(parameters):
        return None
    for name, value in parameters:
        if name in ("server_no_context_takeover", "client_no_context_takeover"):
            good = value is None
        elif name == "server_max_window_bits":
            good = value in _WINDOWS and int(value or "") >= WINDOW_BITS
        elif name == "client_max_window_bits":
            good = value is None or value in _WINDOWS
        else:
            good = False
        if not good:
            return None
    return found


def _parse(header: str) -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """Read a list of extensions with their parameters (RFC 6455, 9.1); names are in lower case.

    Raises:
        ValueError: it is malformed.
    """
    position = 0
    while position < len(header):
        found = _NAME.match(header, position)
        if found is not None:
            name, parameters = found[1].lower(), []
            position = found.end()
            while (parameter := _PARAMETER.match(header, position)) is not None:
                parameters.append((parameter[1].lower(), _value(parameter)))
                position = parameter.end()
            yield name, parameters
        # An empty element says nothing (RFC 9110, 5.6.1.2).
        separator = _SEPARATOR.match(header, position)
        if separator is None:
            raise ValueError("malformed Sec-WebSocket-Extensions")
        position = separator.end()


def _value(parameter: re.Match[str]) -> str | None:
    quoted: str | None = parameter[3]
    if quoted is None:
        plain: str | None = parameter[2]
        return plain
    unquoted = _ESCAPED.sub(r"\1", quoted)
    # What is quoted must be a token all the same (RFC 6455, 9.1).
    if re.fullmatch(_WORD, unquoted) is None:
        raise ValueError("malformed Sec-WebSocket-Extensions")
    return unquoted
