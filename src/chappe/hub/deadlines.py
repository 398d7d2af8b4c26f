"""Which of many deadlines comes next."""

import heapq
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

#: Entries that were moved or dropped stay in the heap until there are this many more of them than live ones.
_SLACK: Final = 64


class Deadlines(Generic[K]):
    """One deadline for each key; setting, dropping and finding the next cost O(log n)."""

    __slots__ = ("_at", "_heap", "_sequence")

    def __init__(self) -> None:
        self._at: dict[K, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._sequence = 0

    def set(self, key: K, at: float) -> None:
        """Set a key's deadline, in place of the one it had."""
        # The sequence keeps keys of the same time in the order they were set and saves comparing keys.
        self._sequence += 1
        self._at[key] = (at, self._sequence)
        heapq.heappush(self._heap, (at, self._sequence, key))
        self._drop_stale()

    def discard(self, key: K) -> None:
        """Forget a key's deadline if it has one."""
        if self._at.pop(key, None) is not None:
            self._drop_stale()

    def next(self) -> float | None:
        """Return the earliest deadline, or None if there is none."""
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now: float) -> list[K]:
        """Remove the keys whose deadline is `now` or earlier and return them, earliest first."""
        due: list[K] = []
        while self._heap and self._heap[0][0] <= now:
            _, sequence, key = heapq.heappop(self._heap)
            if self._at.get(key, (0.0, 0))[1] == sequence:
                del self._at[key]
                due.append(key)
        self._drop_stale()
        return due

    def __len__(self) -> int:
        """Return how many keys have a deadline."""
        return len(self._at)

    def _is_live(self, entry: tuple[float, int, K]) -> bool:
        return self._at.get(entry[2], (0.0, 0))[1] == entry[1]

    def _drop_stale(self) -> None:
        # A lease renewed every second with an hour to run would otherwise leave 3,600 entries behind.
        if len(self._heap) > 2 * len(self._at) + _SLACK:
            self._heap = [entry for entry in self._heap if self._is_live(entry)]
            heapq.heapify(self._heap)
        # The first entry is always a live one, so that `next` never wakes anybody for nothing.
        while self._heap and not self._is_live(self._heap[0]):
            heapq.heappop(self._heap)
