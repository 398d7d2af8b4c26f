"""A seeded programme of faults: every connection is cut now and then, and whoever was cut is offline for a while."""

import random
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True)
class Fate:
    """What becomes of one connection.

    Attributes:
        lifetime_s: it ends after this time.
        reset: with a reset, otherwise in order.
    """

    lifetime_s: float
    reset: bool


class FaultProgramme:
    """Decides what `FaultProxy.follow` does; the same seed decides the same, connection by connection.

    A connection lives between nothing and twice `cut_every_s`, evenly. After a cut one new connection is held (it is
    accepted, and leads nowhere) until `offline_s` have passed since the cut: a client that is cut comes back soon and
    so takes the place of its own cut. Follow a programme when all clients are there: one that comes for the first time
    would take the place of another.

    Attributes:
        cuts: how many connections it has ended.
    """

    def __init__(
        self, seed: int, *, cut_every_s: float = 15.0, offline_s: float = 2.0, reset_share: float = 0.5
    ) -> None:
        """Prepare the dice.

        Args:
            seed: of all decisions.
            cut_every_s: the mean time from being forwarded to being cut.
            offline_s: how long a client is kept from the server after each cut.
            reset_share: how many of the cuts are resets, 0 to 1.
        Raises:
            ValueError: a time below 0 or a share outside of 0 to 1.
        """
        if cut_every_s < 0 or offline_s < 0:
            raise ValueError(f"times of {cut_every_s} s and {offline_s} s, expected 0 or more")
        if not 0 <= reset_share <= 1:
            raise ValueError(f"a share of {reset_share}, expected 0 to 1")
        self.cuts = 0
        self._dice = random.Random(seed)  # noqa: S311 - not for secrets
        self._cut_every_s = cut_every_s
        self._offline_s = offline_s
        self._reset_share = reset_share
        self._back_at: deque[float] = deque()

    def fate(self) -> Fate:
        """Decide about the next connection."""
        return Fate(self._dice.uniform(0, 2 * self._cut_every_s), self._dice.random() < self._reset_share)

    def count_cut(self, now: float) -> None:
        """Take down that a connection was cut."""
        self.cuts += 1
        self._back_at.append(now + self._offline_s)

    def offline_s(self, now: float) -> float:
        """Return how long the connection that has just come is held."""
        return max(self._back_at.popleft() - now, 0.0) if self._back_at else 0.0
