"""A message encoded once, shared by every connection it goes to."""

import enum
from collections.abc import Sequence

import msgspec


class SlowConsumer(enum.Enum):
    """What happens to a reader whose send queue is full."""

    DISCONNECT = "disconnect"  #: close 3008; it comes back and recovers
    DROP_OLDEST = "drop_oldest"  #: the oldest waiting publications go; the reader is told how many
    LATEST = "latest"  #: of each channel and key only the newest waits; the reader is told how many went


class Frame(msgspec.Struct, eq=False, gc=False):
    """One encoded message of a protocol, ready for a carrier.

    A frame is immutable; the carriers keep their own encoding of it here, so that a fan-out frames it once.

    Attributes:
        payload: the protocol's bytes.
        text: whether a carrier that tells text from binary sends text.
        channel: the channel it was published in, or None: an answer, never dropped.
        key: frames of one channel with the same key replace each other under the policy `latest`.
        policy: what to do with it when the reader's queue is full; set by the hub for publications.
        websocket, websocket_deflated, sse: bytes as that carrier sends them, filled by the carrier at first use.
    """

    payload: bytes
    text: bool
    channel: str | None = None
    key: str | None = None
    policy: SlowConsumer = SlowConsumer.DISCONNECT
    websocket: bytes | None = None
    websocket_deflated: bytes | None = None
    sse: bytes | None = None

    def __repr__(self) -> str:
        return f"<Frame {len(self.payload)} bytes {'text' if self.text else 'binary'}>"


class Bundle(Frame, kw_only=True, gc=False):
    """Several frames that a link takes whole or not at all, in order.

    A recovered gap goes as one bundle: like one large message it may exceed a send queue's cap once.
    """

    frames: tuple[Frame, ...]

    @classmethod
    def of(cls, frames: Sequence[Frame]) -> "Bundle":
        """Return these frames as one."""
        return cls(b"", True, frames=tuple(frames))
