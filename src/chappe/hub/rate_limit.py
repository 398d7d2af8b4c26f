"""Rates that a peer may not pass."""

from typing import Final

#: A bucket that could not hold one whole token would never let anything through.
_MIN_BURST: Final = 1.0


class TokenBucket:
    """Allows `burst` at once and `rate_per_s` sustained.

    It is on the way of every message: two float operations, no allocation beyond them.
    """

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate_per_s: float, burst: float, now: float) -> None:
        """Begin full.

        Args:
            rate_per_s: tokens that come back each second; 0 is no limit.
            burst: tokens that may be taken at once, 1 at least.
            now: monotonic seconds.
        """
        self._rate = rate_per_s
        self._burst = max(burst, _MIN_BURST)
        self._tokens = self._burst
        self._at = now

    def take(self, now: float, amount: float = 1.0) -> bool:
        """Take tokens if there are enough; return False and take none otherwise.

        More than `burst` at once is never allowed. A clock that goes backwards gives no tokens and takes none: time
        counts on from where the clock is then.
        """
        if not self._rate:
            return True
        tokens = self._tokens
        elapsed = now - self._at
        self._at = now
        if elapsed > 0:
            tokens += elapsed * self._rate
            if tokens > self._burst:
                tokens = self._burst
        if tokens < amount:
            self._tokens = tokens
            return False
        self._tokens = tokens - amount
        return True

    def wait_s(self, amount: float = 1.0) -> float:
        """Return after how many seconds from the last `take` so many tokens are there; infinite if never."""
        if not self._rate or self._tokens >= amount:
            return 0.0
        if amount > self._burst:
            return float("inf")
        return (amount - self._tokens) / self._rate
