"""What waits for a slow reader, and what happens when it is too much."""

from collections import OrderedDict
from itertools import islice
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

    __slots__ = ("_frames", "_latest", "_max_bytes", "_max_messages", "_next", "dropped", "queued_bytes")

    def __init__(self, max_bytes: int, max_messages: int) -> None:
        """Take the caps; `max_messages` 0 is no cap."""
        # By number in the order they came, so that one in the middle goes without a search.
        self._frames: OrderedDict[int, Frame] = OrderedDict()
        self._next = 0
        self._latest: dict[tuple[str | None, str | None], int] = {}
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
        is_latest = frame.policy is SlowConsumer.LATEST
        if is_latest:
            # What the frame makes worthless: an older one of its channel and key.
            older = self._latest.get((frame.channel, frame.key))
            if older is not None:
                self._drop(older)
        # Measured before the frame is added: one large frame may exceed the cap once.
        while self._is_over(beyond_bytes):
            if frame.policy is SlowConsumer.DISCONNECT or not self._drop_oldest():
                return False
        self._frames[self._next] = frame
        if is_latest:
            self._latest[frame.channel, frame.key] = self._next
        self._next += 1
        self.queued_bytes += size_of(frame)
        return True

    def pop(self) -> Frame:
        """Take the oldest frame."""
        _, frame = self._frames.popitem(last=False)
        self._forget(frame)
        return frame

    def take_dropped(self) -> dict[str, int]:
        """Return what was dropped since the last time, by channel."""
        dropped, self.dropped = self.dropped, {}
        return dropped

    def clear(self) -> None:
        """Forget everything."""
        self._frames.clear()
        self._latest.clear()
        self.queued_bytes = 0

    def __len__(self) -> int:
        return len(self._frames)

    def _is_over(self, beyond_bytes: int) -> bool:
        if self.queued_bytes + beyond_bytes > self._max_bytes:
            return True
        return 0 < self._max_messages <= len(self._frames)

    def _drop_oldest(self) -> bool:
        for number, waiting in islice(self._frames.items(), _SEARCHED):
            if waiting.policy is not SlowConsumer.DISCONNECT and waiting.channel is not None:
                self._drop(number)
                return True
        return False

    def _drop(self, number: int) -> None:
        frame = self._frames.pop(number)
        self._forget(frame)
        assert frame.channel is not None
        self.dropped[frame.channel] = self.dropped.get(frame.channel, 0) + 1

    def _forget(self, frame: Frame) -> None:
        self.queued_bytes -= size_of(frame)
        if frame.policy is SlowConsumer.LATEST:
            self._latest.pop((frame.channel, frame.key), None)


def size_of(frame: Frame) -> int:
    """Return a frame's payload bytes, those of all its parts for a bundle."""
    if isinstance(frame, Bundle):
        return sum(len(part.payload) for part in frame.frames)
    return len(frame.payload)
