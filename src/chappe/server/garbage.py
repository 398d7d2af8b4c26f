"""Python's cyclic garbage collector in a process that is the hub's own."""

import gc
from typing import Final

#: Objects made before a young collection. Publishing makes next to no cycles, so the figure costs nothing either way
#: (62 k publications a CPU-second with 700, 5,000, 20,000 and none at all); a rare collection interrupts rarely.
_YOUNG: Final = 10_000
#: Collections of one generation before one of the next, which is larger.
_OLDER: Final = 20


class Garbage:
    """What is done to the collector when a server has started, and undone when it stops.

    Modules, settings and the built application stay to the end. Looking through them took 44 ms in each full
    collection (Python 3.11), in which nobody was served: `settle` puts them where no collection looks.
    """

    def __init__(self) -> None:
        self._thresholds: tuple[int, int, int] | None = None

    def settle(self) -> None:
        """Collect what starting left behind, then set aside what is there."""
        gc.collect()
        gc.freeze()
        self._thresholds = gc.get_threshold()
        gc.set_threshold(_YOUNG, _OLDER, _OLDER)

    def restore(self) -> None:
        """Leave the collector as it was; does nothing if it was not touched."""
        if self._thresholds is not None:
            gc.set_threshold(*self._thresholds)
            gc.unfreeze()
            self._thresholds = None
