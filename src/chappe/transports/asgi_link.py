"""Links over ASGI messages, for other servers and for what ours cannot take over: queued, and sent by one task."""

import abc
import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from chappe.model.error_codes import Code
from chappe.model.frame import Bundle, Frame
from chappe.model.limits import Limits
from chappe.transports.portable import CLOSE_TIMEOUT_S, Receiver
from chappe.transports.send_queue import SendQueue, size_of

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class AsgiLink(abc.ABC):
    """A `Link` whose frames are sent as ASGI messages by `write`, which one task runs.

    Attributes:
        receiver: learns of the end.
        idle_s: how long nothing is sent before `idle_message` is; None: for ever.
    """

    idle_s: float | None = None

    def __init__(self, limits: Limits) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue = SendQueue(limits.send_queue_bytes, limits.send_queue_messages)
        self._wake = asyncio.Event()
        self._writing_bytes = 0
        self._goodbye: tuple[int, str] | None = None
        self._writer: asyncio.Task[None] | None = None
        self._close_timer: asyncio.TimerHandle | None = None
        self.receiver: Receiver | None = None
        self.closing = False

    def begin(self, receiver: Receiver, behind: bytes = b"") -> None:
        """Tell a receiver of the end from here on."""
        self.receiver = receiver

    def start(self, send: Send) -> asyncio.Task[None]:
        """Begin to write; return the task that does, which ends after the close message or when it cannot be sent."""
        self._writer = self._loop.create_task(self.write(send))
        return self._writer

    async def detach(self, code: int) -> None:
        """End writing and tell the receiver that the connection is gone."""
        self.closing = True
        if self._close_timer is not None:
            self._close_timer.cancel()
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        self._tell_lost(code)

    def send(self, frame: Frame) -> None:
        """Queue a frame; over the cap the frame's policy acts."""
        if self.closing:
            return
        if not self._queue.put(frame, self._writing_bytes):
            self._queue.clear()
            self.close(Code.SLOW_CONSUMER, "slow consumer")
            # Not from inside a fan-out: the end of a session changes the audience that is being served.
            self._loop.call_soon(self._tell_lost, Code.SLOW_CONSUMER)
            return
        self._wake.set()

    def close(self, code: int, reason: str = "") -> None:
        """Send what is queued, then the goodbye; give up on a peer that does not read it in time."""
        if not self.closing:
            self.closing = True
            self._goodbye = (code, reason)
            self._wake.set()
            self._close_timer = self._loop.call_later(CLOSE_TIMEOUT_S, self._give_up)

    @abc.abstractmethod
    def pause(self) -> None:
        """Stop asking the server for messages."""

    @abc.abstractmethod
    def resume(self) -> None:
        """Ask again."""

    @abc.abstractmethod
    def limit(self, frame_bytes: int) -> None:
        """Set the largest message taken."""

    def probe(self, timeout_s: float, done: Callable[[bool], None]) -> None:
        """Answer at once: whoever the server has not given up is alive.

        ASGI cannot send a ping, and a quiet peer is no dead one: taking its name would be worse than keeping a dead
        peer's until the server's own pings find it.
        """
        self._loop.call_soon(done, not self.closing)

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for the peer to read."""
        return self._queue.queued_bytes + self._writing_bytes

    async def write(self, send: Send) -> None:
        """Send what is queued until the link is closed; ends after the close message."""
        while True:
            try:
                async with asyncio.timeout(self.idle_s):
                    await self._wake.wait()
            except TimeoutError:
                await send(self.idle_message())
                continue
            self._wake.clear()
            while len(self._queue):
                frame = self._queue.pop()
                for part in frame.frames if isinstance(frame, Bundle) else (frame,):
                    # Of a recovered gap what is being written now; the rest is not held against its reader.
                    self._writing_bytes = size_of(part)
                    await send(self.message_of(part))
                self._writing_bytes = 0
            for channel, count in self._queue.take_dropped().items():
                if self.receiver is not None:
                    self.receiver.dropped(channel, count)
            if self._goodbye is not None and not len(self._queue):
                await send(self.last_message(*self._goodbye))
                return

    @abc.abstractmethod
    def message_of(self, frame: Frame) -> dict[str, Any]:
        """Return the ASGI message of a frame."""

    @abc.abstractmethod
    def last_message(self, code: int, reason: str) -> dict[str, Any]:
        """Return the ASGI message that ends the connection."""

    def idle_message(self) -> dict[str, Any]:
        """Return what is sent when there was nothing to send for `idle_s`."""
        raise NotImplementedError

    def _give_up(self) -> None:
        if self._writer is not None:
            self._writer.cancel()

    def _tell_lost(self, code: int) -> None:
        receiver, self.receiver = self.receiver, None
        if receiver is not None:
            receiver.lost(code)
