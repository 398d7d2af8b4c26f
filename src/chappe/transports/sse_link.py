"""Streams of events over asyncio transports: the link between a socket and a session where there is no native one."""

from typing import Final

from chappe.model.frame import Bundle, Frame
from chappe.transports.portable import Commons, Receiver
from chappe.transports.stream_link import StreamLink
from chappe.wire.sse import COMMENT, LAST_CHUNK, chunk

#: What a reader may say on its connection before it is cut: a stray request or two, and nothing is made of it.
MAX_SAID_BYTES: Final = 65_536
_HEARTBEAT: Final = chunk(COMMENT)


class SseLink(StreamLink):
    """One stream behind its response head.

    Its reader sends nothing: `last_heard` is the time of the last heartbeat, which nobody answers; TCP finds the dead.
    """

    __slots__ = ("_said_bytes",)

    LAST = LAST_CHUNK

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

    # --- Link --------------------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Nothing that is read here costs anything."""

    def resume(self) -> None:
        """Nothing that is read here costs anything."""

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


def encode_frame(frame: Frame) -> bytes:
    """Return a frame as the socket gets it: one chunk, for a bundle one for all its parts."""
    if isinstance(frame, Bundle):
        return chunk(b"".join(part.payload for part in frame.frames))
    return chunk(frame.payload)
