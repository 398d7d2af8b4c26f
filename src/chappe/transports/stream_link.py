"""What links have in common whose carrier has no close and no ping of its own: streams of events, packets of MQTT."""

from collections.abc import Callable
from typing import ClassVar

from chappe.model.error_codes import Code
from chappe.model.frame import Bundle, Frame
from chappe.transports.portable import PortableLink


class StreamLink(PortableLink):
    """One connection on which the bytes of frames follow each other; how it ends is known from TCP alone.

    Attributes:
        LAST: what is written behind everything else.
    """

    __slots__ = ()

    LAST: ClassVar[bytes] = b""

    def eof_received(self) -> None:
        """End: a peer that writes no more has gone, or will never know that it should."""
        self._end(1006)

    def close(self, code: int, reason: str = "") -> None:
        """Send what is queued and end TCP; cut the connection if the peer does not take it in time.

        There is no word for the code here: a protocol that has one has sent it, and it is among what is queued.
        """
        if self.closing or self._transport is None:
            return
        self._gather_queued()
        self._end(code)

    def fail(self, code: int, reason: str) -> None:
        """End the connection."""
        self.close(code, reason)

    def limit(self, frame_bytes: int) -> None:
        """Set nothing: no messages are put together here."""

    def probe(self, timeout_s: float, done: Callable[[bool], None]) -> None:
        """Answer that the peer lives: it cannot be asked, and a dead one's connection ends."""
        self._commons.loop.call_soon(done, not self.closing)

    def _bytes_of(self, frame: Frame) -> bytes:
        if isinstance(frame, Bundle):
            return b"".join(part.payload for part in frame.frames)
        return frame.payload

    def _close_slow(self) -> None:
        self._end(Code.SLOW_CONSUMER)

    def _end(self, code: int) -> None:
        """End TCP when what is written has gone, or in bounded time: a peer that reads nothing would keep it."""
        self.closing = True
        if self._transport is not None and not self._ending:
            self._end_in_time()
            self._corked = False
            if self.LAST:
                self._put(self.LAST)
            self.flush()
            self._transport.close()
        # The session ends now, not when the peer has read what waits for it.
        self._tell_lost(code)

    def _forget(self) -> None:
        self._commons.on_gone(self)
        self._tell_lost(1006)
