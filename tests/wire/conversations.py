"""What clients may send, right and wrong, and what a codec makes of it, in a form that can be compared."""

import itertools
import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import CLIENT, OPEN, SERVER, Protocol

from chappe.wire.deflate import inflate
from tests.wire.codecs import Codec

#: The largest message that is taken.
LIMIT = 2_000
DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)


class Outcome(NamedTuple):
    """What became of some bytes.

    Attributes:
        closed: payload of our close frame; None: we sent none.
        peer_code: how the connection ended as the codec tells it.
        frames_in, pings_in, within: what is told of a connection that goes on; 0 and False of one that ended.
    """

    messages: tuple[tuple[bytes, bool], ...]
    pongs: tuple[bytes, ...]
    closed: bytes | None
    ended: bool
    peer_code: int
    frames_in: int = 0
    pings_in: int = 0
    within: bool = False

    @property
    def code(self) -> int | None:
        """The code of our close frame; 1005: it has none."""
        return None if self.closed is None else int.from_bytes(self.closed[:2]) if self.closed else 1005


def frame(opcode: int, payload: bytes, fin: bool = True, rsv: int = 0, mask: bytes = b"\0\0\0\0") -> bytes:
    """Return a client's frame; `rsv` is 4 for RSV1."""
    size = len(payload)
    length = bytes((0x80 | size,)) if size < 126 else bytes((0xFE,)) + size.to_bytes(2)
    masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    return bytes(((0x80 if fin else 0) | rsv << 4 | opcode,)) + length + mask + masked


def read_sent(data: bytes) -> tuple[tuple[bytes, ...], bytes | None]:
    """Return the pongs and the close frame's payload in what a server sent."""
    peer = Protocol(CLIENT, state=OPEN, max_size=None)
    peer.receive_data(data)
    frames = [event for event in peer.events_received() if isinstance(event, Frame)]
    closes = [bytes(event.data) for event in frames if event.opcode is Opcode.CLOSE]
    pongs = tuple(bytes(event.data) for event in frames if event.opcode is Opcode.PONG)
    return pongs, closes[-1] if closes else None


def outcome_of(wire: Codec, pieces: Sequence[bytes], deflate: bool) -> Outcome:
    """Give pieces to a new codec."""
    codec = wire.WebSocketCodec(LIMIT, inflate if deflate else None)
    messages: list[tuple[bytes, bool]] = []
    answers = b""
    for piece in pieces:
        messages += codec.receive(piece)
        answers += codec.data_to_send()
    pongs, closed = read_sent(answers)
    ended = Outcome(tuple(messages), pongs, closed, codec.ended, codec.close_code)
    if codec.ended:
        return ended
    return ended._replace(frames_in=codec.frames_in, pings_in=codec.pings_in, within=codec.is_within_message)


def outcome_of_library(data: bytes, deflate: bool) -> Outcome:
    """Give bytes to the library's protocol, and put its frames together as its connections do."""
    peer = Protocol(SERVER, state=OPEN, max_size=LIMIT)
    if deflate:
        peer.extensions = [PerMessageDeflate(True, True, 15, 15)]
    peer.receive_data(data)
    messages: list[tuple[bytes, bool]] = []
    payload, text, frames, pings = b"", False, 0, 0
    for event in peer.events_received():
        assert isinstance(event, Frame)
        frames += 1
        pings += event.opcode is Opcode.PING
        if event.opcode not in DATA:
            continue
        if event.opcode is not Opcode.CONT:
            payload, text = b"", event.opcode is Opcode.TEXT
        payload += bytes(event.data)
        if not event.fin:
            continue
        if text and not _is_text(payload):
            pongs, _ = read_sent(b"".join(peer.data_to_send()))
            refused = Close(1007, "text is no UTF-8").serialize()
            return Outcome(tuple(messages), pongs[:pings], refused, True, 1006)
        messages.append((payload, text))
    ended = peer.eof_sent
    pongs, closed = read_sent(b"".join(peer.data_to_send()))
    code = peer.close_rcvd.code if peer.close_rcvd is not None else 1006
    found = Outcome(tuple(messages), pongs, closed, ended, int(code))
    if ended:
        return found
    return found._replace(frames_in=frames, pings_in=pings)


def _is_text(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


def _deflated(payload: bytes, bits: int, final: bool) -> bytes:
    deflater = zlib.compressobj(wbits=-bits)
    if final:
        return deflater.compress(payload) + deflater.flush() + b"\0"
    return (deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]


MASKS = st.binary(min_size=4, max_size=4)
PAYLOADS = st.one_of(
    st.tuples(st.just(Opcode.TEXT), st.text(max_size=60).map(str.encode)),
    st.tuples(st.just(Opcode.BINARY), st.binary(max_size=300)),
    st.tuples(
        st.just(Opcode.BINARY), st.builds(lambda unit, n: (unit * n)[:1_500], st.binary(max_size=9), st.just(200))
    ),
)


@st.composite
def messages(draw: Callable[..., Any], deflate: bool) -> bytes:
    """Return a message in fragments, with control frames between them."""
    opcode, payload = draw(PAYLOADS)
    rsv = 0
    if deflate and draw(st.booleans()):
        rsv, payload = 4, _deflated(payload, draw(st.integers(9, 15)), draw(st.booleans()))
    edges = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=4)))
    ends = [*edges, len(payload)]
    data, start = b"", 0
    for index, end in enumerate(ends):
        first, last = index == 0, index == len(ends) - 1
        data += frame(opcode if first else 0, payload[start:end], last, rsv if first else 0, draw(MASKS))
        if not last:
            data += b"".join(draw(st.lists(controls(), max_size=1)))
        start = end
    return data


def controls() -> st.SearchStrategy[bytes]:
    """Return pings and pongs."""
    return st.builds(
        lambda opcode, payload, mask: frame(opcode, payload, mask=mask),
        st.sampled_from([Opcode.PING, Opcode.PONG]),
        st.binary(max_size=125),
        MASKS,
    )


def goodbyes() -> st.SearchStrategy[bytes]:
    """Return close frames, with code and reason or without."""
    codes = st.sampled_from([1000, 1001, 1003, 3000, 4999])
    payloads = st.one_of(
        st.just(b""), st.builds(lambda code, reason: Close(code, reason).serialize(), codes, st.text(max_size=20))
    )
    return st.builds(lambda payload, mask: frame(Opcode.CLOSE, payload, mask=mask), payloads, MASKS)


#: What breaks a rule wherever it stands, whether or not compression was agreed on.
FLAWS: dict[str, bytes] = {
    "RSV2": frame(Opcode.TEXT, b"a", rsv=2),
    "RSV3": frame(Opcode.BINARY, b"a", rsv=1),
    "RSV1 on a ping": frame(Opcode.PING, b"", rsv=4),
    "RSV1 on a continuation": frame(Opcode.TEXT, b"a", fin=False) + frame(Opcode.CONT, b"b", rsv=4),
    "opcode 3": frame(3, b"a"),
    "opcode 11": frame(11, b"a"),
    "no mask": b"\x81\x01a",
    "a ping of 126 bytes": frame(Opcode.PING, bytes(126)),
    "a ping in fragments": frame(Opcode.PING, b"", fin=False),
    "a message inside another": frame(Opcode.TEXT, b"a", fin=False) + frame(Opcode.TEXT, b"b"),
    "one byte too many": frame(Opcode.BINARY, bytes(LIMIT + 1)),
    "fragments of one byte too many": frame(Opcode.BINARY, bytes(LIMIT), fin=False) + frame(Opcode.CONT, b"a"),
    "no UTF-8": frame(Opcode.TEXT, b"\xff"),
    "half a character": frame(Opcode.TEXT, "é".encode()[:1]),
    "close with 1005": frame(Opcode.CLOSE, (1005).to_bytes(2)),
    "close of one byte": frame(Opcode.CLOSE, b"\x03"),
    "close with a reason that is no UTF-8": frame(Opcode.CLOSE, (1000).to_bytes(2) + b"\xff"),
}


@st.composite
def conversations(draw: Callable[..., Any], deflate: bool) -> bytes:
    """Return what a client sends; at its end a goodbye, a flaw, or nothing."""
    ends = st.one_of(st.just(b""), goodbyes(), st.sampled_from(sorted(FLAWS.values())))
    parts = draw(st.lists(st.one_of(messages(deflate), controls()), max_size=5))
    return b"".join(parts) + bytes(draw(ends)) + b"".join(draw(st.lists(controls(), max_size=1)))


@st.composite
def mutated(draw: Callable[..., Any], deflate: bool) -> bytes:
    """Return such bytes with some of them changed, put in or left out."""
    data = bytearray(draw(conversations(deflate)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        kind = draw(st.sampled_from(["change", "insert", "remove"]))
        if kind == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=4))
        elif kind == "remove":
            del data[at : at + draw(st.integers(1, 4))]
        elif at < len(data):
            data[at] ^= 1 << draw(st.integers(0, 7))
    return bytes(data)


def cut(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """Return bytes in pieces, cut where it is said; some of them may be empty."""
    edges = [0, *sorted(min(at, len(data)) for at in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]
