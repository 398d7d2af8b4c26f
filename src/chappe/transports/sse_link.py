"""Streams of events over asyncio transports: the link between a socket and a session where there is no native one."""

from collections.abc import Callable
from typing import Final

from chappe.model.error_codes import Code
from chappe.model.frame import Bundle, Frame
from chappe.transports.portable import Commons, PortableLink, Receiver
from chappe.wire.sse import COMMENT, LAST_CHUNK, chunk

#: What a reader may say on its connection before it is cut: a stray request or two, and nothing is made of it.
MAX_SAID_BYTES: Final = 65_536
_HEARTBEAT: Final = chunk(COMMENT)


class SseLink(PortableLink):
    """One stream behind its response head.

    Its reader sends nothing: `last_heard` is the time of the last heartbeat, which nobody answers; TCP finds the dead.
    """

    __slots__ = ("_said_bytes",)

    def __init__(self, commons: Commons) -> None:
        """Prepare a link."""
        super().__init__(commons)
        self._said_bytes = 0

    def begin(self, receiver: Receiver, behind: bytes = b"") -> None:
        """Tell a receiver of the end from here on."""
        self.receiver = receiver

    # --- asyncio -----------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Pass over what the reader says; it has nothing to say here."""
        self._commons.counters.bytes_in += len(data)
        self._said_bytes += len(data)
        if self._said_bytes > MAX_SAID_BYTES:
            self.abort()

    def eof_received(self) -> None:
        """End: a reader that half-closes has gone, or will never know that it should."""
        self._end(1006)

    # --- Link --------------------------------------------------------------------------------------------------------

    def close(self, code: int, reason: str = "") -> None:
        """Send what is queued and end the body; cut the connection if the reader does not take it in time.

        A stream has no word for the code: its reader comes back by itself and is told then.
        """
        if self.closing or self._transport is None:
            return
        self._gather_queued()
        self._end(code)

    def fail(self, code: int, reason: str) -> None:
        """End the stream."""
        self.close(code, reason)

    def pause(self) -> None:
        """Nothing that is read here costs anything."""

    def resume(self) -> None:
        """Nothing that is read here costs anything."""

    def limit(self, frame_bytes: int) -> None:
        """No messages are taken here."""

    def probe(self, timeout_s: float, done: Callable[[bool], None]) -> None:
        """Answer that the reader lives: it cannot answer itself, and a dead one's connection ends."""
        self._commons.loop.call_soon(done, not self.closing)

    # --- Heartbeat ---------------------------------------------------------------------------------------------------

    def ping(self) -> None:
        """Send a comment; while something waits to be written, that will do."""
        self.pinged_at = self.last_heard = self._commons.time()
        if self._writable and not self.closing:
            self._put(_HEARTBEAT)

    # --- Inside ------------------------------------------------------------------------------------------------------

    def _bytes_of(self, frame: Frame) -> bytes:
        data = frame.sse
        if data is None:
            data = frame.sse = encode_frame(frame)
        return data

    def _close_slow(self) -> None:
        self._end(Code.SLOW_CONSUMER)

    def _end(self, code: int) -> None:
        """End the body and TCP when what is written has gone, or in bounded time."""
        self.closing = True
        if self._transport is not None and not self._ending:
            self._end_in_time()
            self._put(LAST_CHUNK)
            self.flush()
            self._transport.close()
        # The session ends now, not when the reader has taken its megabyte.
        self._tell_lost(code)

    def _forget(self) -> None:
        self._commons.on_gone(self)
        self._tell_lost(1006)


def encode_frame(frame: Frame) -> bytes:
    """Return a frame as the socket gets it: one chunk, for a bundle one for all its parts."""
    if isinstance(frame, Bundle):
        return chunk(b"".join(part.payload for part in frame.frames))
    return chunk(frame.payload)
