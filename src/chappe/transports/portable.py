"""What links over asyncio transports have in common: gathering, a queue for slow peers, and an end in bounded time."""

import asyncio
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Final, Protocol

from chappe.model.frame import Frame
from chappe.model.limits import Limits
from chappe.transports.flush import Flush
from chappe.transports.send_queue import SendQueue

#: How long a peer has to answer our goodbye, seconds (the `websockets` library: 10; browsers answer at once).
CLOSE_TIMEOUT_S: Final = 5.0
#: Frames are joined to one write up to here; it is also where asyncio's transports begin to say that they are full.
_JOINED_BYTES: Final = 65_536


class Receiver(Protocol):
    """What a link hands its messages to: a session, or `/echo`."""

    def receive(self, payload: bytes, text: bool) -> None:
        """Take one message."""

    def lost(self, code: int) -> None:
        """Learn that the connection is gone; called once."""

    def dropped(self, channel: str, count: int) -> None:
        """Learn that publications were dropped for a slow reader."""


class LinkCounters:
    """What all links of a server count together.

    Attributes:
        bytes_in, bytes_out: bytes of frames, without TLS and TCP.
        messages_out: frames handed to transports.
        slow_consumers: links closed because their queue was full.
        pong_timeouts, idle_timeouts: links closed because nothing came.
        message_timeouts: links closed because the end of a message did not come.
    """

    __slots__ = (
        "bytes_in",
        "bytes_out",
        "idle_timeouts",
        "message_timeouts",
        "messages_out",
        "pong_timeouts",
        "slow_consumers",
    )

    def __init__(self) -> None:
        self.bytes_in = 0
        self.bytes_out = 0
        self.messages_out = 0
        self.slow_consumers = 0
        self.pong_timeouts = 0
        self.idle_timeouts = 0
        self.message_timeouts = 0


class Commons:
    """What all portable links of one server share.

    Attributes:
        deflate_min_bytes: messages from this size on are compressed for who agreed to that.
        corks: whether what a link answers to bytes of its peer goes out right behind them, before the tick ends.
        end_by: cuts a link that does not end in time (`Heartbeat.end_by`).
        on_gone: called once for each link when its connection is over.
    """

    __slots__ = ("corks", "counters", "deflate_min_bytes", "end_by", "flush", "limits", "loop", "on_gone", "time")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
        counters: LinkCounters,
        flush: Flush,
        end_by: Callable[[Any, float], None],
        on_gone: Callable[[Any], None],
        deflate_min_bytes: int = 1_024,
    ) -> None:
        self.loop = loop
        self.deflate_min_bytes = deflate_min_bytes
        self.time = loop.time
        self.limits = limits
        self.counters = counters
        self.flush = flush
        self.corks = flush.window_s == 0
        self.end_by = end_by
        self.on_gone = on_gone


class PortableLink(asyncio.Protocol):
    """One connection: an asyncio protocol towards the socket, the sending half of a `Link` towards the hub.

    Frames are gathered and written once, at the end of the tick.

    Attributes:
        last_heard: loop time of the last bytes of the peer.
        message_began: loop time of the bytes in which an unfinished message was first seen; 0: none is.
        paused: nothing is read.
        pinged_at: loop time of the last ping of ours.
        receiver: where messages go; None: not begun, or over.
        seat: what the server noted about it.
    """

    __slots__ = (
        "_allowance",
        "_commons",
        "_corked",
        "_ending",
        "_gone",
        "_pending",
        "_pending_bytes",
        "_queue",
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

    def __init__(self, commons: Commons) -> None:
        """Prepare a link."""
        self._commons = commons
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._queue: SendQueue | None = None
        self._transport: asyncio.Transport | None = None
        self._writable = True
        self._corked = False
        self._allowance = 0
        self._ending = False
        self._gone = False
        self.closing = self.paused = False
        self.message_began = 0.0
        self.last_heard = self.opened_at = self.pinged_at = commons.time()
        self.receiver: Receiver | None = None
        self.seat: str | None = None

    def attach(self, transport: asyncio.Transport) -> None:
        """Take a transport over whose buffer is empty, or holds no more than the answer to the request."""
        self._transport = transport
        transport.set_protocol(self)

    def begin(self, receiver: Receiver, behind: bytes = b"") -> None:
        """Receive from here on; `behind` came with the request head and is received first."""
        self.receiver = receiver
        if behind:
            self.data_received(behind)

    # --- asyncio -----------------------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        """Queue from here on: the transport has enough to write.

        What it took until now is not held against its peer: a file, a recovered gap, or all that a tick brought.
        """
        self._writable = False
        if self._transport is not None:
            self._allowance = self._transport.get_write_buffer_size()

    def resume_writing(self) -> None:
        """Send what waited."""
        self._writable = True
        self._allowance = 0
        queue = self._queue
        if queue is None:
            return
        while queue and self._writable:
            self._gather(queue.pop())
        self.flush()
        if not queue:
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
        # The wheel forgets a link late: until then it must not keep a full queue or the socket.
        self._queue = self._transport = None
        self._pending.clear()
        self._pending_bytes = 0
        self._forget()

    # --- Link --------------------------------------------------------------------------------------------------------

    def send(self, frame: Frame) -> None:
        """Gather a frame, or queue it while the peer is slow; over the cap the frame's policy acts."""
        if self.closing:
            return
        if self._writable:
            self._gather(frame)
        else:
            self._enqueue(frame)

    def flush(self) -> None:
        """Write what was gathered."""
        pending = self._pending
        if pending:
            data = pending[0] if len(pending) == 1 else b"".join(pending)
            pending.clear()
            self._pending_bytes = 0
            self._write(data)

    def pause(self) -> None:
        """Stop reading."""
        # What we do not read does not come late.
        self.message_began = 0.0
        self.paused = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again; what was not read meanwhile is not held against the peer."""
        if self.paused:
            self.last_heard = self._commons.time()
        self.paused = False
        if self._transport is not None:
            self._transport.resume_reading()

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for the peer to read."""
        written = self._transport.get_write_buffer_size() if self._transport is not None else 0
        return written + self._pending_bytes + (self._queue.queued_bytes if self._queue is not None else 0)

    def abort(self) -> None:
        """Cut the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

    # --- What a carrier adds -----------------------------------------------------------------------------------------

    @abstractmethod
    def _bytes_of(self, frame: Frame) -> bytes:
        """Return a frame as this connection sends it."""

    @abstractmethod
    def _close_slow(self) -> None:
        """End a connection whose peer reads too slowly (3008); nothing is queued any more."""

    @abstractmethod
    def _forget(self) -> None:
        """Let go of what the connection had, tell `on_gone`, and then the receiver."""

    # --- For carriers ------------------------------------------------------------------------------------------------

    def _gather(self, frame: Frame) -> None:
        data = self._bytes_of(frame)
        self._commons.counters.messages_out += 1
        if len(data) >= _JOINED_BYTES:
            # Shared as it is: joined to others it would be copied for every reader.
            self.flush()
            self._write(data)
        else:
            self._put(data)

    def _put(self, data: bytes) -> None:
        """Write bytes with whatever else the tick brings."""
        pending = self._pending
        pending.append(data)
        self._pending_bytes += len(data)
        if self._pending_bytes >= _JOINED_BYTES:
            self.flush()
        elif len(pending) == 1 and not self._corked:
            self._commons.flush.add(self)

    def _gather_queued(self) -> None:
        """Write what was queued, however slow the peer is: nothing comes behind it but a goodbye."""
        if self._queue is not None:
            while self._queue:
                self._gather(self._queue.pop())

    def _enqueue(self, frame: Frame) -> None:
        limits = self._commons.limits
        queue = self._queue
        if queue is None:
            queue = self._queue = SendQueue(limits.send_queue_bytes, limits.send_queue_messages)
        if not queue.put(frame, self._written_bytes()):
            queue.clear()
            self._give_up_slow()

    def _written_bytes(self) -> int:
        """Return what was written or gathered since the transport had enough; it counts against a slow peer."""
        assert self._transport is not None
        return max(0, self._transport.get_write_buffer_size() + self._pending_bytes - self._allowance)

    def _give_up_slow(self) -> None:
        self._commons.counters.slow_consumers += 1
        # Not from inside a fan-out: the end of a session changes the audience that is being served.
        self.closing = True
        self._commons.loop.call_soon(self._close_slow)

    def _write(self, data: bytes) -> None:
        transport = self._transport
        # Lost, and `connection_lost` is on its way: asyncio would log every write.
        if transport is not None and not transport.is_closing():
            self._commons.counters.bytes_out += len(data)
            transport.write(data)

    def _end_in_time(self) -> None:
        if not self._ending and not self._gone:
            self._ending = True
            self._commons.end_by(self, CLOSE_TIMEOUT_S)

    def _tell_lost(self, code: int) -> None:
        receiver, self.receiver = self.receiver, None
        if receiver is not None:
            receiver.lost(code)
