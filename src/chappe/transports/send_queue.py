"""What waits for a slow reader, and what happens when it is too much."""

from collections import deque
from typing import Final

from chappe.model.frame import Bundle, Frame, SlowConsumer

#: Frames looked at for one that may be dropped; behind so many answers a reader is beyond help.
_SEARCHED: Final = 1_000


class SendQueue:
    """Frames that a peer has not read yet, in order, counted in bytes.

    Attributes:
        queued_bytes: bytes of payload that wait here.
        dropped: publications dropped since `take_dropped` was asked, by channel.
    """

    __slots__ = ("_frames", "_max_bytes", "_max_messages", "dropped", "queued_bytes")

    def __init__(self, max_bytes: int, max_messages: int) -> None:
        """Take the caps; `max_messages` 0 is no cap."""
        self._frames: deque[Frame] = deque()
        self._max_bytes = max_bytes
        self._max_messages = max_messages
        self.queued_bytes = 0
        self.dropped: dict[str, int] = {}

    def put(self, frame: Frame, beyond_bytes: int) -> bool:
        """Queue a frame, dropping others if the policy of its channel says so.

        Args:
            beyond_bytes: bytes that wait behind this queue, in the transport and the kernel, and count too.
        Returns:
            False: the queue is over its cap and nothing may be dropped: the connection must end.
        """
        if frame.policy is SlowConsumer.LATEST:
            self._replace(frame)
        # Measured before the frame is added: one large frame may exceed the cap once.
        while self._is_over(beyond_bytes):
            if frame.policy is SlowConsumer.DISCONNECT or not self._drop_oldest():
                return False
        self._frames.append(frame)
        self.queued_bytes += size_of(frame)
        return True

    def pop(self) -> Frame:
        """Take the oldest frame."""
        frame = self._frames.popleft()
        self.queued_bytes -= size_of(frame)
        return frame

    def take_dropped(self) -> dict[str, int]:
        """Return what was dropped since the last time, by channel."""
        dropped, self.dropped = self.dropped, {}
        return dropped

    def clear(self) -> None:
        """Forget everything."""
        self._frames.clear()
        self.queued_bytes = 0

    def __len__(self) -> int:
        return len(self._frames)

    def _is_over(self, beyond_bytes: int) -> bool:
        if self.queued_bytes + beyond_bytes > self._max_bytes:
            return True
        return 0 < self._max_messages <= len(self._frames)

    def _replace(self, frame: Frame) -> None:
        """Take out what the frame makes worthless: an older one of its channel and key."""
        for waiting in self._frames:
            if waiting.policy is SlowConsumer.LATEST and waiting.channel == frame.channel and waiting.key == frame.key:
                self._drop(waiting)
                return

    def _drop_oldest(self) -> bool:
        for index, waiting in enumerate(self._frames):
            if index > _SEARCHED:
                return False
            if waiting.policy is not SlowConsumer.DISCONNECT and waiting.channel is not None:
                self._drop(waiting)
                return True
        return False

    def _drop(self, frame: Frame) -> None:
        # By identity: frames have no equality of their own.
        self._frames.remove(frame)
        self.queued_bytes -= size_of(frame)
        assert frame.channel is not None
        self.dropped[frame.channel] = self.dropped.get(frame.channel, 0) + 1


def size_of(frame: Frame) -> int:
    """Return a frame's payload bytes, those of all its parts for a bundle."""
    if isinstance(frame, Bundle):
        return sum(len(part.payload) for part in frame.frames)
    return len(frame.payload)
