"""MQTT over asyncio transports: the link between a socket and a client, where there is no native one."""

from collections.abc import Callable

from chappe.model.error_codes import Code
from chappe.model.frame import Bundle, Frame
from chappe.transports.portable import Commons, PortableLink, Receiver


class MqttLink(PortableLink):
    """One connection that carries packets and nothing around them: what it receives goes on as it comes.

    There is no ping of ours in MQTT: who is silent for too long is found by its keep alive.
    """

    __slots__ = ()

    def __init__(self, commons: Commons) -> None:
        """Prepare a link."""
        super().__init__(commons)

    def begin(self, receiver: Receiver, behind: bytes = b"") -> None:
        """Receive from here on."""
        self.receiver = receiver
        if behind:
            self.data_received(behind)

    # --- asyncio -----------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take bytes of the peer."""
        commons, receiver = self._commons, self.receiver
        self.last_heard = commons.time()
        commons.counters.bytes_in += len(data)
        if receiver is None or self.closing:
            return
        self._corked = commons.corks
        receiver.receive(data, False)
        self._corked = False
        if self._pending and commons.corks:
            self.flush()

    def eof_received(self) -> None:
        """End: a peer that writes no more has not said goodbye."""
        self._finish(1006)

    # --- Link --------------------------------------------------------------------------------------------------------

    def close(self, code: int, reason: str = "") -> None:
        """Send what is queued and end TCP, in bounded time; the packet that says goodbye is among what is queued."""
        if self.closing or self._transport is None:
            return
        self._gather_queued()
        self._finish(code)

    def fail(self, code: int, reason: str) -> None:
        """End the connection."""
        self._finish(code)

    def pause(self) -> None:
        """Stop reading."""
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

    def limit(self, frame_bytes: int) -> None:
        """Set nothing: the reader of packets has its own limit."""

    def probe(self, timeout_s: float, done: Callable[[bool], None]) -> None:
        """Answer that it is there."""
        self._commons.loop.call_soon(done, not self.closing)

    # --- Heartbeat ---------------------------------------------------------------------------------------------------

    def ping(self) -> None:
        """Send nothing: servers of MQTT have no ping."""

    # --- Inside ------------------------------------------------------------------------------------------------------

    def _bytes_of(self, frame: Frame) -> bytes:
        if isinstance(frame, Bundle):
            return b"".join(part.payload for part in frame.frames)
        return frame.payload

    def _close_slow(self) -> None:
        self._finish(Code.SLOW_CONSUMER)

    def _finish(self, code: int) -> None:
        """End TCP when what is written has gone, or in bounded time: a peer that reads nothing would keep it."""
        self.closing = True
        if self._transport is not None and not self._ending:
            self._end_in_time()
            self._corked = False
            self.flush()
            self._transport.close()
        self._tell_lost(code)

    def _forget(self) -> None:
        self._commons.on_gone(self)
        self._tell_lost(1006)
