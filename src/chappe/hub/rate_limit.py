"""Rates that a peer may not pass."""

import math
from typing import Final

#: A bucket that could not hold one whole token would never let anything through.
_MIN_BURST: Final = 1.0


class Pace:
    """A rate that many share: each may take `burst` tokens at once and `rate_per_s` sustained.

    Whoever is held to it keeps one number, the moment at which its bucket is full again; a bucket of one's own would be
    an object for each of very many sessions. A full one is any moment that is over, such as 0.
    """

    __slots__ = ("_burst_s", "_token_s")

    def __init__(self, rate_per_s: float, burst: float) -> None:
        """Set the rate.

        Args:
            rate_per_s: tokens that come back each second; 0 is no limit.
            burst: tokens that may be taken at once, 1 at least.
        """
        self._token_s = 1.0 / rate_per_s if rate_per_s else 0.0
        self._burst_s = max(burst, _MIN_BURST) * self._token_s

    def take(self, full_at: float, now: float) -> float:
        """Take a token; return when the bucket is full again, or infinity if there is no token: then nothing changed.

        Args:
            full_at: what was returned last.
            now: monotonic seconds, as they pass.
        """
        if full_at < now:
            full_at = now
        full_at += self._token_s
        # A thousandth of a token is more than the additions lose.
        return full_at if full_at - now <= self._burst_s + 1e-3 * self._token_s else math.inf

    def owe(self, full_at: float, now: float, most_s: float) -> float:
        """Take a token that may not be there yet; return when the bucket is full again.

        Args:
            most_s: seconds for which there may be no token at the end; who owes that much owes no more.
        """
        return min(max(full_at, now) + self._token_s, now + self._burst_s + most_s)

    def given_back(self, full_at: float) -> float:
        """Return when the bucket is full if a token is given back."""
        return full_at - self._token_s

    def wait_s(self, full_at: float, now: float) -> float:
        """Return after how many seconds there is a token."""
        return max(0.0, full_at + self._token_s - self._burst_s - now)
