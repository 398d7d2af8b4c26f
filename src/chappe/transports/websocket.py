"""WebSocket connections over asyncio transports: the link between a socket and a session."""

import asyncio
from collections.abc import Callable
from typing import Final

from chappe.model.error_codes import Code
from chappe.model.frame import Frame
from chappe.transports.encoding import deflated, plain
from chappe.transports.portable import Commons, PortableLink
from chappe.wire.deflate import inflate
from chappe.wire.websocket import WebSocketCodec

#: Pings a peer may send a second, on average over a window, before it is cut (quality, "Messages").
PINGS_PER_S: Final = 10
_PING_WINDOW_S: Final = 5.0
#: The registered codes below 3000 that may be sent; 1005, 1006 and 1015 stand for frames that never came.
_SPECIFIED_CODES: Final = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})


class WebSocketLink(PortableLink):
    """One WebSocket connection behind its handshake.

    What answers the peer's own bytes goes out right behind them, before the tick ends.
    """

    __slots__ = ("_codec", "_deflates", "_ping_window", "_probes")

    def __init__(self, commons: Commons, deflates: bool = False) -> None:
        """Prepare a link; `deflates`: compression was agreed on."""
        super().__init__(commons)
        limits = commons.limits
        self._deflates = deflates
        self._codec = WebSocketCodec(limits.frame_bytes, inflate if deflates else None, limits.message_fragments)
        self._probes: list[tuple[asyncio.TimerHandle, Callable[[bool], None]]] | None = None
        self._ping_window = (0.0, 0)

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

    # --- Link --------------------------------------------------------------------------------------------------------

    def close(self, code: int, reason: str = "") -> None:
        """Send what is queued and a close frame; cut the connection if the peer does not answer in time.

        A code that no close frame may carry becomes 3503.
        """
        if self.closing or self._transport is None:
            return
        self.closing = True
        self._gather_queued()
        self._say_goodbye(code, reason)

    def fail(self, code: int, reason: str) -> None:
        """End the connection because of what the peer does; its answer is not waited for."""
        self._codec.fail(code, reason)
        self._put_control()
        self._finish()

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

    # --- Heartbeat ---------------------------------------------------------------------------------------------------

    def ping(self) -> None:
        """Send a ping."""
        self.pinged_at = self._commons.time()
        self._codec.ping()
        self._put_control()

    # --- Inside ------------------------------------------------------------------------------------------------------

    def _bytes_of(self, frame: Frame) -> bytes:
        return deflated(frame, self._commons.deflate_min_bytes) if self._deflates else plain(frame)

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

    def _forget(self) -> None:
        code = self._codec.close_code
        # With the half of a message that it may hold.
        self._codec = WebSocketCodec(0)
        self._answer_probes(False)
        self._commons.on_gone(self)
        self._tell_lost(code)

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
