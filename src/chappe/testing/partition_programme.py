"""Partitions: what stands behind a `FaultProxy` cannot be reached for a while, in each of the ways networks have."""

import contextlib
import enum
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from chappe.testing.fault_proxy import FaultProxy

_DELAY_S: Final = 0.3


class Partition(enum.StrEnum):
    """A way in which the other side is away."""

    CUT = "cut"
    """Connections are reset, new ones refused: somebody says so."""
    HALF_OPEN = "half-open"
    """Nothing passes and nothing is told; what was sent meanwhile is lost, new connections lead nowhere."""
    STALL = "stall"
    """The same, but what was sent arrives after all once it is over."""
    DELAY = "delay"
    """Everything arrives, much later."""

    @property
    def is_total(self) -> bool:
        """Whether nothing at all arrives while it lasts."""
        return self is not Partition.DELAY


@contextlib.asynccontextmanager
async def partitioned(proxy: FaultProxy, how: Partition, *, delay_s: float = _DELAY_S) -> AsyncIterator[None]:
    """Keep the sides of a proxy apart until the block ends.

    Args:
        proxy: between the two; its own `refusing`, `holding` and `delay_s` are overwritten.
        how: what the network does.
        delay_s: for `Partition.DELAY`, in each direction.
    """
    left = proxy.connections
    if how is Partition.CUT:
        proxy.refusing = True
        proxy.reset()
    elif how is Partition.HALF_OPEN:
        proxy.holding = True
        proxy.half_open()
    elif how is Partition.STALL:
        proxy.holding = True
        proxy.stall()
    else:
        proxy.delay(delay_s)
    try:
        yield
    finally:
        proxy.refusing = proxy.holding = False
        proxy.delay(0.0)
        proxy.resume()
        if how is Partition.HALF_OPEN:
            for connection in left:
                connection.reset()


class PartitionProgramme:
    """One partition after the other, each kind as often as the others.

    Attributes:
        partitions: how many there were so far.
    """

    def __init__(
        self,
        proxy: FaultProxy,
        rounds: int,
        *,
        kinds: Sequence[Partition] = tuple(Partition),
        delay_s: float = _DELAY_S,
    ) -> None:
        """Take what shall be done; each kind happens `rounds` times.

        Raises:
            ValueError: no kinds, or less than one round.
        """
        if rounds < 1 or not kinds:
            raise ValueError(f"{rounds} rounds of {len(kinds)} kinds, expected 1 or more of each")
        self.partitions = 0
        self._proxy = proxy
        self._delay_s = delay_s
        self._kinds = [*kinds] * rounds

    async def run(
        self, during: Callable[[Partition], Awaitable[None]], after: Callable[[Partition], Awaitable[None]]
    ) -> None:
        """Do all of them.

        Args:
            during: called while a partition lasts, which ends when this returns: wait there for what shall happen.
            after: called when it is over; the next one comes when this returns.
        """
        for kind in self._kinds:
            async with partitioned(self._proxy, kind, delay_s=self._delay_s):
                self.partitions += 1
                await during(kind)
            await after(kind)
