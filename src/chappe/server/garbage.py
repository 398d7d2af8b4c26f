"""Python's cyclic garbage collector in a process that is the hub's own."""

import gc
from typing import Final

#: Objects made before a young collection, and collections of one generation before one of the next, which is larger.
#: Publishing makes next to no cycles, so the figures cost no throughput; they are about pauses. With 20,000 to 50,000
#: sessions these gave 2 ms in steady traffic and 17 ms at most; Python's own ran full collections of 109 ms, and
#: (10,000, 20, 100) had some of 79 ms.
_THRESHOLDS: Final = (5_000, 5, 50)


class Garbage:
    """What is done to the collector when a server has started, and undone when it stops.

    Modules, settings and the built application stay to the end. Looking through them costs each full collection tens of
    milliseconds in which nobody is served: `settle` puts them where no collection looks.
    """

    def __init__(self) -> None:
        self._thresholds: tuple[int, int, int] | None = None

    def settle(self) -> None:
        """Collect what starting left behind, then set aside what is there."""
        gc.collect()
        gc.freeze()
        self._thresholds = gc.get_threshold()
        gc.set_threshold(*_THRESHOLDS)

    def restore(self) -> None:
        """Leave the collector as it was; does nothing if it was not touched."""
        if self._thresholds is not None:
            gc.set_threshold(*self._thresholds)
            gc.unfreeze()
            self._thresholds = None
