"""Streams of events over asyncio transports: the link between a socket and a session where there is no native one."""

import asyncio
from collections.abc import Callable
from typing import Final

from chappe.model.error_codes import Code
from chappe.model.frame import Bundle, Frame
from chappe.model.limits import Limits
from chappe.transports.send_queue import SendQueue
from chappe.transports.websocket import CLOSE_TIMEOUT_S, LARGE_FRAME_BYTES, LinkCounters, Receiver
from chappe.wire.sse import COMMENT, LAST_CHUNK, chunk

#: What a reader may say on its connection before it is cut: a stray request or two, and nothing is made of it.
MAX_SAID_BYTES: Final = 65_536
_HEARTBEAT: Final = chunk(COMMENT)


class SseLink(asyncio.Protocol):
    """One stream behind its response head: an asyncio protocol towards the socket, a `Link` towards the hub.

    Attributes:
        last_heard, pinged_at: loop time of the last heartbeat. Nobody answers it; TCP finds the dead.
        message_began: 0: the peer sends no messages.
        receiver: whose end it is.
        seat: what the server noted about it.
    """

    __slots__ = (
        "_allowance",
        "_close_timer",
        "_counters",
        "_gone",
        "_limits",
        "_loop",
        "_on_gone",
        "_queue",
        "_said_bytes",
        "_transport",
        "_writable",
        "closing",
        "last_heard",
        "message_began",
        "opened_at",
        "paused",
        "pinged_at",
        "receiver",
        "seat",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
        counters: LinkCounters,
        on_gone: Callable[["SseLink"], None],
    ) -> None:
        """Prepare a link; `on_gone` is called once when the connection is over."""
        self._loop = loop
        self._limits = limits
        self._counters = counters
        self._on_gone = on_gone
        self._queue: SendQueue | None = None
        self._transport: asyncio.Transport | None = None
        self._writable = True
        self._allowance = 0
        self._gone = False
        self._close_timer: asyncio.TimerHandle | None = None
        self._said_bytes = 0
        self.closing = self.paused = False
        self.message_began = 0.0
        self.last_heard = self.opened_at = self.pinged_at = loop.time()
        self.receiver: Receiver | None = None
        self.seat: str | None = None

    def begin(self, receiver: Receiver, behind: bytes = b"") -> None:
        """Tell a receiver of the end from here on."""
        self.receiver = receiver

    def attach(self, transport: asyncio.Transport) -> None:
        """Take a transport over whose response head is written and whose buffer is empty."""
        self._transport = transport
        transport.set_protocol(self)

    # --- asyncio -----------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Pass over what the reader says; it has nothing to say here."""
        self._counters.bytes_in += len(data)
        self._said_bytes += len(data)
        if self._said_bytes > MAX_SAID_BYTES:
            self.abort()

    def eof_received(self) -> None:
        """End: a reader that half-closes has gone, or will never know that it should."""
        self._end(1006)

    def pause_writing(self) -> None:
        """Queue from here on: the transport has enough to write."""
        self._writable = False

    def resume_writing(self) -> None:
        """Send what waited."""
        self._writable = True
        self._allowance = 0
        queue = self._queue
        while queue and self._writable:
            self._write(queue.pop())
        if queue is not None and not queue:
            self._queue = None
            receiver = self.receiver
            for channel, count in queue.take_dropped().items():
                if receiver is not None:
                    receiver.dropped(channel, count)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        if self._gone:
            return
        self._gone = self.closing = True
        if self._close_timer is not None:
            self._close_timer.cancel()
        self._queue = self._transport = None
        self._on_gone(self)
        self._tell_lost(1006)

    # --- Link --------------------------------------------------------------------------------------------------------

    def send(self, frame: Frame) -> None:
        """Write a frame, or queue it while the reader is slow; over the cap the frame's policy acts."""
        if self.closing:
            return
        if self._writable:
            self._write(frame)
            return
        queue = self._queue
        if queue is None:
            queue = self._queue = SendQueue(self._limits.send_queue_bytes, self._limits.send_queue_messages)
        assert self._transport is not None
        if not queue.put(frame, max(0, self._transport.get_write_buffer_size() - self._allowance)):
            self._counters.slow_consumers += 1
            queue.clear()
            # Not from inside a fan-out: the end of a session changes the audience that is being served.
            self.closing = True
            self._loop.call_soon(self._end, Code.SLOW_CONSUMER)

    def close(self, code: int, reason: str = "") -> None:
        """Send what is queued and end the body; cut the connection if the reader does not take it in time.

        A stream has no word for the code: its reader comes back by itself and is told then.
        """
        if self.closing or self._transport is None:
            return
        if self._queue is not None:
            while self._queue:
                self._write(self._queue.pop())
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
        self._loop.call_soon(done, not self.closing)

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for the reader."""
        written = self._transport.get_write_buffer_size() if self._transport is not None else 0
        return written + (self._queue.queued_bytes if self._queue is not None else 0)

    # --- Heartbeat ---------------------------------------------------------------------------------------------------

    def ping(self) -> None:
        """Send a comment; while something waits to be written, that will do."""
        self.pinged_at = self.last_heard = self._loop.time()
        if self._writable and not self.closing:
            self._write_bytes(_HEARTBEAT)

    def abort(self) -> None:
        """Cut the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

    # --- Inside ------------------------------------------------------------------------------------------------------

    def _write(self, frame: Frame) -> None:
        data = frame.sse
        if data is None:
            data = frame.sse = encode_frame(frame)
        self._counters.messages_out += 1
        if len(data) >= LARGE_FRAME_BYTES:
            # A recovered gap is not held against its reader while it is being written.
            self._allowance += len(data)
        self._write_bytes(data)

    def _write_bytes(self, data: bytes) -> None:
        transport = self._transport
        # Lost, and `connection_lost` is on its way: asyncio would log every write.
        if transport is not None and not transport.is_closing():
            self._counters.bytes_out += len(data)
            transport.write(data)

    def _end(self, code: int) -> None:
        """End the body and TCP when what is written has gone, or in bounded time."""
        self.closing = True
        if self._transport is not None and self._close_timer is None:
            self._close_timer = self._loop.call_later(CLOSE_TIMEOUT_S, self.abort)
            self._write_bytes(LAST_CHUNK)
            self._transport.close()
        # The session ends now, not when the reader has taken its megabyte.
        self._tell_lost(code)

    def _tell_lost(self, code: int) -> None:
        receiver, self.receiver = self.receiver, None
        if receiver is not None:
            receiver.lost(code)


def encode_frame(frame: Frame) -> bytes:
    """Return a frame as the socket gets it: one chunk, for a bundle one for all its parts."""
    if isinstance(frame, Bundle):
        return chunk(b"".join(part.payload for part in frame.frames))
    return chunk(frame.payload)
