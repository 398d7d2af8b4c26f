"""Revoked tokens: refused by their id until they would have expired anyway."""

from collections.abc import Iterable
from typing import Final

#: How long a token is refused whose end nobody knows, seconds; who issues tokens that live longer tells their end.
UNKNOWN_S: Final = 30 * 86_400.0
#: Ids kept; beyond, those that would expire first are forgotten.
_MOST: Final = 100_000
#: So many more are taken before they are sorted again.
_SLACK: Final = 1_024

Entry = tuple[str, float]
"""The id of a token, and the seconds since 1970 until which it is refused."""


class Revocations:
    """The ids of tokens that are refused."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def add(self, entries: Iterable[Entry], wall_s: float) -> None:
        """Refuse tokens from here on; of two ends the later one counts."""
        for token_id, until in entries:
            self._until[token_id] = max(until, self._until.get(token_id, 0.0))
        if len(self._until) > _MOST + _SLACK:
            self._until = dict(sorted(self.entries(wall_s), key=lambda entry: entry[1])[-_MOST:])

    def refuses(self, token_id: str, wall_s: float) -> bool:
        """Tell whether a token is refused now."""
        until = self._until.get(token_id)
        if until is None:
            return False
        if until <= wall_s:
            del self._until[token_id]
            return False
        return True

    def entries(self, wall_s: float) -> list[Entry]:
        """Return what is refused now."""
        return [entry for entry in self._until.items() if entry[1] > wall_s]

    def __len__(self) -> int:
        """Return how many ids are kept, those included whose time is over and that nobody asked for since."""
        return len(self._until)
