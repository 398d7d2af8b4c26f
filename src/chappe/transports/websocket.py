"""WebSocket connections over asyncio transports: the link between a socket and a session."""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from chappe.model.error_codes import Code
from chappe.model.frame import Frame
from chappe.model.limits import Limits
from chappe.transports.encoding import deflated, plain
from chappe.transports.flush import Flush
from chappe.transports.send_queue import SendQueue
from chappe.wire.deflate import inflate
from chappe.wire.websocket import WebSocketCodec

#: How long a peer has to answer our close frame, seconds (the `websockets` library: 10; browsers answer at once).
CLOSE_TIMEOUT_S: Final = 5.0
#: Pings a peer may send a second, on average over a window, before it is cut (quality, "Messages").
PINGS_PER_S: Final = 10
_PING_WINDOW_S: Final = 5.0
#: Frames are joined to one write up to here; it is also where asyncio's transports begin to say that they are full.
_JOINED_BYTES: Final = 65_536
#: A frame from here on (a file, a recovered gap) is not held against its reader while it is being written.
LARGE_FRAME_BYTES: Final = 262_144
#: The registered codes below 3000 that may be sent; 1005, 1006 and 1015 stand for frames that never came.
_SPECIFIED_CODES: Final = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})


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
        end_by: Callable[["WebSocketLink", float], None],
        on_gone: Callable[["WebSocketLink"], None],
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


class WebSocketLink(asyncio.Protocol):
    """One WebSocket connection behind its handshake: an asyncio protocol towards the socket, a `Link` towards the hub.

    Frames are gathered and written once, at the end of the tick; what answers the peer's own bytes, right behind them.

    Attributes:
        last_heard: loop time of the last bytes of the peer.
        message_began: loop time of the bytes in which an unfinished message was first seen; 0: none is.
        pinged_at: loop time of the last ping of ours.
        receiver: where messages go; None: not begun, or over.
        seat: what the server noted about it.
    """

    __slots__ = (
        "_allowance",
        "_codec",
        "_commons",
        "_corked",
        "_ending",
        "_deflates",
        "_gone",
        "_pending",
        "_pending_bytes",
        "_ping_window",
        "_probes",
        "_queue",
        "_transport",
        "_writable",
        "closing",
        "last_heard",
        "message_began",
        "opened_at",
        "pinged_at",
        "receiver",
        "seat",
    )

    def __init__(self, commons: Commons, deflates: bool = False) -> None:
        """Prepare a link; `deflates`: compression was agreed on."""
        limits = commons.limits
        self._commons = commons
        self._deflates = deflates
        self._codec = WebSocketCodec(limits.frame_bytes, inflate if deflates else None, limits.message_fragments)
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._queue: SendQueue | None = None
        self._transport: asyncio.Transport | None = None
        self._writable = True
        self._corked = False
        self._allowance = 0
        self._ending = False
        self._gone = False
        self._probes: list[tuple[asyncio.TimerHandle, Callable[[bool], None]]] | None = None
        self._ping_window = (0.0, 0)
        self.closing = False
        self.message_began = 0.0
        self.last_heard = self.opened_at = self.pinged_at = commons.time()
        self.receiver: Receiver | None = None
        self.seat: str | None = None

    def begin(self, receiver: Receiver, behind: bytes = b"") -> None:
        """Receive from here on; `behind` came with the request head and is received first."""
        self.receiver = receiver
        if behind:
            self.data_received(behind)

    def attach(self, transport: asyncio.Transport) -> None:
        """Take a transport over; from here on its bytes are frames."""
        self._transport = transport
        transport.set_protocol(self)

    # --- asyncio -----------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take bytes of the peer."""
        commons, codec, receiver = self._commons, self._codec, self.receiver
        self.last_heard = commons.time()
        commons.counters.bytes_in += len(data)
        pings = codec.pings_in
        messages = codec.receive(data)
        self._corked = commons.corks
        pings = codec.pings_in - pings
        if pings and not codec.ended:
            # A pong goes before the answer to the message that its ping came inside of (Autobahn 5.6).
            self._put_control()
        if self._probes:
            self._answer_probes(True)
        if messages or not codec.is_within_message:
            self.message_began = 0.0
        elif not self.message_began:
            self.message_began = self.last_heard
        if receiver is not None:
            for payload, text in messages:
                if self.closing:
                    break
                receiver.receive(payload, text)
        if pings:
            self._check_pings(pings)
        self._put_control()
        self._corked = False
        if self._pending and commons.corks:
            self.flush()
        if codec.ended:
            self._finish()

    def eof_received(self) -> None:
        """End: a peer that writes no more has not said goodbye."""
        self._finish()

    def pause_writing(self) -> None:
        """Queue from here on: the transport has enough to write."""
        self._writable = False

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
        code = self._codec.close_code
        # The wheel forgets a link late: until then it must not keep half a message, a full queue or the socket.
        self._codec = WebSocketCodec(0)
        self._queue = self._transport = None
        self._pending.clear()
        self._pending_bytes = 0
        self._answer_probes(False)
        self._commons.on_gone(self)
        self._tell_lost(code)

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

    def close(self, code: int, reason: str = "") -> None:
        """Send what is queued and a close frame; cut the connection if the peer does not answer in time.

        A code that no close frame may carry becomes 3503.
        """
        if self.closing or self._transport is None:
            return
        self.closing = True
        if self._queue is not None:
            while self._queue:
                self._gather(self._queue.pop())
        self._say_goodbye(code, reason)

    def fail(self, code: int, reason: str) -> None:
        """End the connection because of what the peer does; its answer is not waited for."""
        self._codec.fail(code, reason)
        self._put_control()
        self._finish()

    def pause(self) -> None:
        """Stop reading."""
        # What we do not read does not come late.
        self.message_began = 0.0
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._transport is not None:
            self._transport.resume_reading()

    def limit(self, frame_bytes: int) -> None:
        """Set the largest message taken from the peer."""
        self._codec.limit(frame_bytes)

    def probe(self, timeout_s: float, done: Callable[[bool], None]) -> None:
        """Ask for a sign of life."""
        loop = self._commons.loop
        if self.closing:
            loop.call_soon(done, False)
            return
        if self._probes is None:
            self._probes = []
        timer = loop.call_later(timeout_s, self._answer_probes, False)
        self._probes.append((timer, done))
        self.ping()

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for the peer to read."""
        written = self._transport.get_write_buffer_size() if self._transport is not None else 0
        return written + self._pending_bytes + (self._queue.queued_bytes if self._queue is not None else 0)

    # --- Heartbeat ---------------------------------------------------------------------------------------------------

    def ping(self) -> None:
        """Send a ping."""
        self.pinged_at = self._commons.time()
        self._codec.ping()
        self._put_control()

    def abort(self) -> None:
        """Cut the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

    # --- Inside ------------------------------------------------------------------------------------------------------

    def _gather(self, frame: Frame) -> None:
        commons = self._commons
        data = deflated(frame, commons.deflate_min_bytes) if self._deflates else plain(frame)
        commons.counters.messages_out += 1
        size = len(data)
        if size >= _JOINED_BYTES:
            # Shared as it is: joined to others it would be copied for every reader.
            self.flush()
            if size >= LARGE_FRAME_BYTES:
                self._allowance += size
            self._write(data)
            return
        pending = self._pending
        pending.append(data)
        self._pending_bytes += size
        if self._pending_bytes >= _JOINED_BYTES:
            self.flush()
        elif len(pending) == 1 and not self._corked:
            commons.flush.add(self)

    def _enqueue(self, frame: Frame) -> None:
        limits = self._commons.limits
        queue = self._queue
        if queue is None:
            queue = self._queue = SendQueue(limits.send_queue_bytes, limits.send_queue_messages)
        if not queue.put(frame, self._written_bytes()):
            queue.clear()
            self._give_up_slow()

    def _written_bytes(self) -> int:
        """Return how much of what was written or gathered counts against a slow peer."""
        assert self._transport is not None
        return max(0, self._transport.get_write_buffer_size() + self._pending_bytes - self._allowance)

    def _give_up_slow(self) -> None:
        self._commons.counters.slow_consumers += 1
        # Not from inside a fan-out: the end of a session changes the audience that is being served.
        self.closing = True
        self._commons.loop.call_soon(self._close_slow)

    def _put_control(self) -> None:
        data = self._codec.data_to_send()
        if not data:
            return
        if not self._writable and not self.closing and self._written_bytes() > self._commons.limits.send_queue_bytes:
            # Who pings and reads nothing would have its pongs pile up.
            self._give_up_slow()
            return
        if self._pending or self._corked:
            self._pending.append(data)
            self._pending_bytes += len(data)
        else:
            self._write(data)

    def _write(self, data: bytes) -> None:
        transport = self._transport
        # Lost, and `connection_lost` is on its way: asyncio would log every write.
        if transport is not None and not transport.is_closing():
            self._commons.counters.bytes_out += len(data)
            transport.write(data)

    def _close_slow(self) -> None:
        # The session ends now, not when the peer has read its megabyte.
        self._tell_lost(Code.SLOW_CONSUMER)
        self._say_goodbye(Code.SLOW_CONSUMER, "slow consumer")

    def _say_goodbye(self, code: int, reason: str) -> None:
        self._end_in_time()
        self._codec.close(closing_code(code), reason)
        self._put_control()
        if not self._corked:
            self.flush()

    def _finish(self) -> None:
        """End TCP when what is written has gone, or in bounded time: a peer that reads nothing would keep it."""
        self.closing = True
        if self._transport is not None:
            self._end_in_time()
            self.flush()
            self._transport.close()
        # The session ends now, not when the peer has read what waits for it.
        self._tell_lost(self._codec.close_code)

    def _end_in_time(self) -> None:
        if not self._ending and not self._gone:
            self._ending = True
            self._commons.end_by(self, CLOSE_TIMEOUT_S)

    def _tell_lost(self, code: int) -> None:
        receiver, self.receiver = self.receiver, None
        if receiver is not None:
            receiver.lost(code)

    def _answer_probes(self, alive: bool) -> None:
        probes, self._probes = self._probes, None
        for timer, done in probes or ():
            timer.cancel()
            done(alive)

    def _check_pings(self, count: int) -> None:
        began, pings = self._ping_window
        if self.last_heard - began > _PING_WINDOW_S:
            began, pings = self.last_heard, 0
        self._ping_window = (began, pings + count)
        if pings + count > PINGS_PER_S * _PING_WINDOW_S:
            self._codec.fail(1008, f"more than {PINGS_PER_S} pings a second")


def closing_code(code: int) -> int:
    """Return a code that a close frame may carry (RFC 6455, 7.4): the given one, else 3503."""
    if code in _SPECIFIED_CODES or 3_000 <= code <= 4_999:
        return code
    return Code.DISCONNECTED
