"""What waits to be sent over one connection, and when it leaves: at once, or gathered with what comes behind it."""

import asyncio
from collections import deque
from typing import Final

from chappe.client.connection import Frame

#: A message from this size on is not worth waiting for others: it leaves, and takes along what waits.
SMALL_BYTES: Final = 4_096
#: Bytes of messages that leave as one: a slow network is to carry them within the time that a pong has.
_MAX_BYTES: Final = 131_072
#: Messages that leave as one where each request costs: far below the 20,000 commands a hub takes at once.
_MAX_GATHERED: Final = 1_000


class Outgoing:
    """An ordered queue of frames; `put` from anywhere on the loop, `take` from one task.

    Args:
        window_s: how long a small frame waits for others; 0: it does not.
        window_frames: but never more than so many.
        gathers: whether all that waits while the last frames were sent leaves as one.
    """

    def __init__(self, *, window_s: float = 0.0, window_frames: int = 1, gathers: bool = False) -> None:
        self._window_s = window_s
        self._window_frames = window_frames
        self._max_frames = _MAX_GATHERED if gathers else window_frames if window_s else 1
        self._frames: deque[Frame] = deque()
        self._due_at = 0.0
        self._filled = asyncio.Event()
        self._due = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def is_due(self) -> bool:
        """Tell whether what waits need not wait for more."""
        return bool(self._frames) and (not self._window_s or self._due.is_set())

    def put(self, frame: Frame, *, urgent: bool = False) -> None:
        """Add a frame; an urgent one, like a large one, takes what waits before it along."""
        if not self._frames:
            self._due_at = asyncio.get_running_loop().time() + self._window_s
        self._frames.append(frame)
        self._empty.clear()
        self._filled.set()
        if urgent or len(frame) >= SMALL_BYTES or len(self._frames) >= self._window_frames:
            self._due.set()

    def flush(self) -> None:
        """Let what waits leave now."""
        if self._frames:
            self._due.set()

    async def take(self) -> list[Frame]:
        """Return what leaves next, one frame or more, when it is due. Cancelling it loses nothing.

        Taking again says that what was taken before has left.
        """
        if not self._frames:
            self._empty.set()
            await self._filled.wait()
        if self._window_s:
            await self._wait_until_due()
        taken: list[Frame] = []
        size = 0
        while self._frames and len(taken) < self._max_frames:
            size += len(self._frames[0])
            if taken and size > _MAX_BYTES:
                break
            taken.append(self._frames.popleft())
        if not self._frames:
            self._filled.clear()
            self._due.clear()
        return taken

    async def left(self) -> None:
        """Wait until all that was put has left, or nothing leaves any more."""
        await self._empty.wait()

    def end(self) -> None:
        """Say that nothing leaves any more."""
        self._empty.set()

    async def _wait_until_due(self) -> None:
        wait_s = self._due_at - asyncio.get_running_loop().time()
        if wait_s <= 0:
            return
        try:
            async with asyncio.timeout(wait_s):
                await self._due.wait()
        except TimeoutError:
            return
