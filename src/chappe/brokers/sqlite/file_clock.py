"""The broker's time: what ages on disk ages by it."""

from collections.abc import Callable

from chappe.hub.contracts import Clock, Timer


class FileClock:
    """The broker's time, in seconds since 1970: set by the wall clock at start, moved on by the monotonic one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._base_s = 0.0

    def begin(self, not_before_s: float) -> None:
        """Start at the wall clock's time, or where the file ended if that is later."""
        self._base_s = max(self._clock.wall_ms() / 1000, not_before_s) - self._clock.now()

    def now(self) -> float:
        """Return the broker's second; it never goes back."""
        return self._base_s + self._clock.now()

    def wall_ms(self) -> int:
        """Return milliseconds since 1970 UTC."""
        return self._clock.wall_ms()

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Call back once."""
        return self._clock.call_later(delay_s, callback)
