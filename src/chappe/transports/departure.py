"""Learning that the client of a request is gone without a task that waits for it."""

from collections.abc import Callable, MutableMapping
from typing import Any, Final

#: Where an app finds the departure of its client in `scope["extensions"]`, under a server of ours.
EXTENSION: Final = "chappe.departure"


class Departure:
    """Who is told when one connection is lost."""

    __slots__ = ("_happened", "_told")

    def __init__(self) -> None:
        # In the order in which they asked; pipelined requests of one connection may wait at once.
        self._told: dict[Callable[[], None], None] = {}
        self._happened = False

    def tell(self, callback: Callable[[], None]) -> None:
        """Call back once if the connection is lost before `forget`; now, if it was lost while middleware thought."""
        if self._happened:
            callback()
            return
        self._told[callback] = None

    def forget(self, callback: Callable[[], None]) -> None:
        """Do not call back any more; does nothing if it was called already."""
        self._told.pop(callback, None)

    def happened(self) -> None:
        """Tell everybody."""
        self._happened = True
        told, self._told = self._told, {}
        for callback in told:
            callback()


def departure_of(scope: MutableMapping[str, Any]) -> Departure | None:
    """Return the departure of the client of a request, or None under a server that has none."""
    found = scope.get("extensions", {}).get(EXTENSION)
    return found if isinstance(found, Departure) else None
