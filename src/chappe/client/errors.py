"""What only a client can run into; everything else is the hub's own `ChappeError`."""

from typing import Final

from chappe.model.error_codes import ERRORS, Code
from chappe.model.errors import ChappeError, LocalProtocolError

#: The code WebSocket gives to a connection that ended without a closing handshake (RFC 6455, 7.4.1).
CUT: Final = 1006


class ConnectionLost(ChappeError):
    """There is no connection, or it went before the answer came.

    Attributes:
        code: what the hub said: its error, else the close code if it is one of Chappe's, else 108.
        close_code: the WebSocket close code; 1006 for a cut or a failed dial.
        final: whether dialing again is pointless: a refused token, a certificate nobody vouches for, a final code.
        retry_after_ms: how long the server asks us to wait; 0: it does not.
        other_way: whether, before the server accepted us, another transport may get through where this one did not.
    """

    def __init__(
        self,
        close_code: int,
        reason: str,
        *,
        final: bool = False,
        retry_after_ms: float = 0.0,
        other_way: bool = False,
        code: int = 0,
    ) -> None:
        told = (known for known in (code, close_code) if known in ERRORS)
        super().__init__(next(told, Code.NOT_AVAILABLE), reason)
        self.close_code = close_code
        self.final = final
        self.retry_after_ms = retry_after_ms
        self.other_way = other_way

    @property
    def retry(self) -> bool:
        """Whether the same request may succeed later."""
        return not self.final


class ClientClosed(ChappeError):
    """The client was closed by its own user, so nothing more can be sent or received."""

    def __init__(self, reason: str = "the client is closed, connect again") -> None:
        super().__init__(Code.NOT_AVAILABLE, reason)

    @property
    def retry(self) -> bool:
        """A closed client stays closed."""
        return False


class QueueFull(ChappeError):
    """A bounded queue of the client is full; nothing was sent."""

    def __init__(self, limit: str, maximum: int, reason: str) -> None:
        super().__init__(Code.LIMIT_EXCEEDED, reason, detail={"limit": limit, "maximum": maximum})


class Unconfirmed(ChappeError):
    """Nobody can tell any more whether a publication was stored: its idempotency key may be forgotten by now."""

    def __init__(self, channel: str, key: str) -> None:
        reason = f"the connection went before the answer to a publication to {channel}, it may or may not be stored"
        super().__init__(Code.NOT_AVAILABLE, reason, detail={"channel": channel, "key": key})

    @property
    def retry(self) -> bool:
        """Sending it once more could store it twice: read the history first."""
        return False


class TimedOut(ChappeError, TimeoutError):
    """The hub did not answer in time; a command that changes something may have been carried out."""

    def __init__(self, what: str, timeout_s: float) -> None:
        ChappeError.__init__(self, Code.SERVICE_TIMED_OUT, f"no answer to {what} within {timeout_s:g} s")


__all__ = ["ClientClosed", "ConnectionLost", "LocalProtocolError", "QueueFull", "TimedOut", "Unconfirmed"]
