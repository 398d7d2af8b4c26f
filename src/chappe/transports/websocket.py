"""WebSocket connections over asyncio transports: the link between a socket and a session."""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from chappe.model.error_codes import Code
from chappe.model.frame import Bundle, Frame
from chappe.model.limits import Limits
from chappe.transports.send_queue import SendQueue
from chappe.wire.websocket import WebSocketCodec, encode_frame

#: How long a peer has to answer our close frame, seconds (the `websockets` library: 10; browsers answer at once).
CLOSE_TIMEOUT_S: Final = 5.0
#: Pings a peer may send a second, on average over a window, before it is cut (quality, "Messages").
PINGS_PER_S: Final = 10
_PING_WINDOW_S: Final = 5.0
#: A frame from here on (a file, a recovered gap) is not held against its reader while it is being written.
_LARGE_FRAME_BYTES: Final = 262_144
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


class WebSocketLink(asyncio.Protocol):
    """One WebSocket connection behind its handshake: an asyncio protocol towards the socket, a `Link` towards the hub.

    Attributes:
        last_heard: loop time of the last bytes of the peer.
        message_began: loop time of the bytes in which an unfinished message was first seen; 0: none is.
        pinged_at: loop time of the last ping of ours.
        receiver: where messages go; None: not begun, or over.
        seat: what the server noted about it.
    """

    __slots__ = (
        "_allowance",
        "_close_timer",
        "_codec",
        "_counters",
        "_gone",
        "_limits",
        "_loop",
        "_on_gone",
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

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
        counters: LinkCounters,
        on_gone: Callable[["WebSocketLink"], None],
    ) -> None:
        """Prepare a link; `on_gone` is called once when the connection is over."""
        self._loop = loop
        self._limits = limits
        self._counters = counters
        self._on_gone = on_gone
        self._codec = WebSocketCodec(limits.frame_bytes)
        self._queue: SendQueue | None = None
        self._transport: asyncio.Transport | None = None
        self._writable = True
        self._allowance = 0
        self._gone = False
        self._close_timer: asyncio.TimerHandle | None = None
        self._probes: list[tuple[asyncio.TimerHandle, Callable[[bool], None]]] | None = None
        self._ping_window = (0.0, 0)
        self.closing = False
        self.message_began = 0.0
        self.last_heard = self.opened_at = self.pinged_at = loop.time()
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
        self.last_heard = self._loop.time()
        self._counters.bytes_in += len(data)
        codec = self._codec
        pings = codec.pings_in
        messages = codec.receive(data)
        if codec.pings_in != pings and not codec.ended:
            # A pong goes before the answer to the message that its ping came inside of (Autobahn 5.6).
            self._flush_control()
        if self._probes:
            self._answer_probes(True)
        if messages or not codec.is_within_message:
            self.message_began = 0.0
        elif not self.message_began:
            self.message_began = self.last_heard
        for payload, text in messages:
            if self.closing or self.receiver is None:
                break
            self.receiver.receive(payload, text)
        if codec.pings_in != pings:
            self._check_pings(codec.pings_in - pings)
        self._flush_control()
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
        self._answer_probes(False)
        self._queue = None
        self._on_gone(self)
        self._tell_lost(self._codec.close_code)

    # --- Link --------------------------------------------------------------------------------------------------------

    def send(self, frame: Frame) -> None:
        """Write a frame, or queue it while the peer is slow; over the cap the frame's policy acts."""
        if self.closing:
            return
        if self._writable:
            self._write(frame)
            return
        queue = self._queue
        if queue is None:
            queue = self._queue = SendQueue(self._limits.send_queue_bytes, self._limits.send_queue_messages)
        assert self._transport is not None
        beyond_bytes = max(0, self._transport.get_write_buffer_size() - self._allowance)
        if not queue.put(frame, beyond_bytes):
            self._counters.slow_consumers += 1
            queue.clear()
            # Not from inside a fan-out: the end of a session changes the audience that is being served.
            self.closing = True
            self._loop.call_soon(self._close_slow)

    def close(self, code: int, reason: str = "") -> None:
        """Send what is queued and a close frame; cut the connection if the peer does not answer in time.

        A code that no close frame may carry becomes 3503.
        """
        if self.closing or self._transport is None:
            return
        self.closing = True
        if self._queue is not None:
            while self._queue:
                self._write(self._queue.pop())
        self._say_goodbye(code, reason)

    def fail(self, code: int, reason: str) -> None:
        """End the connection because of what the peer does; its answer is not waited for."""
        self._codec.fail(code, reason)
        self._flush_control()
        self._finish()

    def pause(self) -> None:
        """Stop reading."""
        # What we do not read does not come late.
        self.message_began = 0.0
        if self._transport is not None and not self._gone:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._transport is not None and not self._gone:
            self._transport.resume_reading()

    def limit(self, frame_bytes: int) -> None:
        """Set the largest message taken from the peer."""
        self._codec.limit(frame_bytes)

    def probe(self, timeout_s: float, done: Callable[[bool], None]) -> None:
        """Ask for a sign of life."""
        if self.closing:
            self._loop.call_soon(done, False)
            return
        if self._probes is None:
            self._probes = []
        timer = self._loop.call_later(timeout_s, self._answer_probes, False)
        self._probes.append((timer, done))
        self.ping()

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for the peer to read."""
        written = self._transport.get_write_buffer_size() if self._transport is not None else 0
        return written + (self._queue.queued_bytes if self._queue is not None else 0)

    # --- Heartbeat ---------------------------------------------------------------------------------------------------

    def ping(self) -> None:
        """Send a ping."""
        self.pinged_at = self._loop.time()
        self._codec.ping()
        self._flush_control()

    def abort(self) -> None:
        """Cut the connection without a word."""
        if self._transport is not None and not self._gone:
            self._transport.abort()

    # --- Inside ------------------------------------------------------------------------------------------------------

    def _write(self, frame: Frame) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            # Lost, and `connection_lost` is on its way: asyncio would log every write.
            return
        data = frame.websocket
        if data is None:
            data = frame.websocket = _encode(frame)
        self._counters.bytes_out += len(data)
        self._counters.messages_out += 1
        if len(data) >= _LARGE_FRAME_BYTES:
            self._allowance += len(data)
        transport.write(data)

    def _flush_control(self) -> None:
        data = self._codec.data_to_send()
        if data and self._transport is not None and not self._gone:
            self._transport.write(data)

    def _close_slow(self) -> None:
        # The session ends now, not when the peer has read its megabyte.
        self._tell_lost(Code.SLOW_CONSUMER)
        self._say_goodbye(Code.SLOW_CONSUMER, "slow consumer")

    def _say_goodbye(self, code: int, reason: str) -> None:
        self._arm_abort()
        self._codec.close(closing_code(code), reason)
        self._flush_control()

    def _finish(self) -> None:
        """End TCP when what is written has gone, or in bounded time: a peer that reads nothing would keep it."""
        self.closing = True
        if self._transport is not None and not self._gone:
            self._arm_abort()
            self._transport.close()
        # The session ends now, not when the peer has read what waits for it.
        self._tell_lost(self._codec.close_code)

    def _arm_abort(self) -> None:
        if self._close_timer is None and not self._gone:
            self._close_timer = self._loop.call_later(CLOSE_TIMEOUT_S, self.abort)

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


def _encode(frame: Frame) -> bytes:
    if isinstance(frame, Bundle):
        return b"".join(part.websocket or encode_frame(part.payload, part.text) for part in frame.frames)
    return encode_frame(frame.payload, frame.text)
