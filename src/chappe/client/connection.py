"""What a client needs of one connection, whatever carries it; what comes after it is `Lifeline`'s affair."""

from typing import Literal, Protocol, TypeAlias

Frame: TypeAlias = str | bytes
"""A text or a binary message."""

Transport: TypeAlias = Literal["websocket", "sse", "polling"]
"""What carries a connection: a WebSocket; a stream of events and POST; long polling and POST."""


class Connection(Protocol):
    """An open connection."""

    @property
    def transport(self) -> Transport:
        """Return what carries it."""

    @property
    def subprotocol(self) -> str | None:
        """Return the subprotocol the server chose."""

    @property
    def gathers(self) -> bool:
        """Tell whether frames that wait had better leave as one: each `send` costs a request."""

    @property
    def heard_at(self) -> float:
        """Return when the peer was last heard, seconds of the loop's clock."""

    async def receive(self) -> Frame:
        """Return the next message; one task at a time. Cancelling it loses nothing.

        Raises:
            ConnectionLost: the connection is over; `close_code` says how.
        """

    async def send(self, frame: Frame) -> None:
        """Send a message; messages leave in the order of the calls.

        Raises:
            ConnectionLost: the connection is over; whether the message arrived is not known.
        """

    async def ping(self, timeout_s: float) -> float | None:
        """Measure a round trip in seconds; None if we ourselves do not read: nothing is known.

        Raises:
            TimeoutError: no answer within `timeout_s` although we read.
            ConnectionLost: the connection is over.
        """

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye, for two seconds at most, unless the connection is over; closing twice is fine."""

    def abort(self, reason: str) -> None:
        """Cut the connection at once, without a word; `receive` raises `ConnectionLost` with this reason."""
