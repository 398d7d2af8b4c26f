"""When portable links write: what one tick, or one window, brought for a link goes out in one piece."""

import asyncio
from collections import deque
from typing import Final, Protocol

#: Links written to in one turn of the loop, so that a fan-out to everybody does not block it (about 5 ms).
SLICE: Final = 1_000


class Flushable(Protocol):
    """A link that gathers what it is to write."""

    def flush(self) -> None:
        """Write it; does nothing when nothing waits."""


class Flush:
    """The links of one server that have something to write.

    One callback serves them all, at the end of the tick or when the window is over; no link has a timer of its own.

    Attributes:
        window_s: how long frames wait for company, in seconds; 0: to the end of the tick.
    """

    __slots__ = ("_links", "_loop", "_scheduled", "window_s")

    def __init__(self, loop: asyncio.AbstractEventLoop, window_s: float = 0.0) -> None:
        self._loop = loop
        self._links: deque[Flushable] = deque()
        self._scheduled = False
        self.window_s = window_s

    def add(self, link: Flushable) -> None:
        """Flush a link in time; asking again before that costs a call of its `flush` that finds nothing."""
        self._links.append(link)
        if not self._scheduled:
            self._scheduled = True
            if self.window_s > 0:
                self._loop.call_later(self.window_s, self._run)
            else:
                self._loop.call_soon(self._run)

    def _run(self) -> None:
        links = self._links
        # Taken out one by one: one that comes while others are written has its turn in the next slice or tick.
        try:
            for _ in range(min(len(links), SLICE)):
                links.popleft().flush()
        finally:
            # Also when one of them raises: nobody would be flushed any more.
            self._scheduled = bool(links)
            if links:
                self._loop.call_soon(self._run)
