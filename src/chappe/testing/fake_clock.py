"""A clock that stands still until a test moves it."""

import asyncio
import heapq
from collections.abc import Callable


class FakeTimer:
    """A pending call of a `FakeClock`."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Forget the call; does nothing when it was made already."""
        self.callback = None


class FakeClock:
    """Time for tests: fulfils the hub's `Clock`, moves only in `advance`, fires timers in the order they are due.

    Timers due at the same moment fire in the order in which they were asked for. The wall clock moves along; `set_wall`
    makes it jump as an administrator or a time server would, and no timer notices.
    """

    def __init__(self, now: float = 1_000.0, wall_ms: int = 1_795_348_800_000) -> None:
        self._now = now
        self._wall_offset_ms = wall_ms - now * 1000
        self._timers: list[tuple[float, int, FakeTimer]] = []
        self._asked = 0

    def now(self) -> float:
        """Return monotonic seconds."""
        return self._now

    def wall_ms(self) -> int:
        """Return milliseconds since 1970 UTC."""
        return round(self._now * 1000 + self._wall_offset_ms)

    def set_wall(self, wall_ms: int) -> None:
        """Set what the wall clock shows now; `now` and the timers stay."""
        self._wall_offset_ms = wall_ms - self._now * 1000

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> FakeTimer:
        """Call back once, in the `advance` that reaches `delay_s` seconds from now."""
        timer = FakeTimer(callback)
        self._asked += 1
        heapq.heappush(self._timers, (self._now + max(delay_s, 0.0), self._asked, timer))
        return timer

    def advance(self, seconds: float = 0.0) -> None:
        """Let time pass and make the calls that fall due, those they ask for in turn included.

        Each call sees the moment it was due as `now`. A call that raises ends the advance at its moment.
        """
        end = self._now + seconds
        while self._timers and self._timers[0][0] <= end:
            due, _, timer = heapq.heappop(self._timers)
            callback, timer.callback = timer.callback, None
            if callback is not None:
                self._now = max(self._now, due)
                callback()
        self._now = max(self._now, end)

    async def sleep(self, seconds: float) -> None:
        """Let time pass, then let other tasks run once: a stand-in for `asyncio.sleep`."""
        self.advance(seconds)
        await asyncio.sleep(0)

    @property
    def pending(self) -> int:
        """Timers that wait and were not cancelled."""
        return sum(timer.callback is not None for _, _, timer in self._timers)
