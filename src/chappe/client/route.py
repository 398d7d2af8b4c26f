"""Which transports to try, in which order, and what got through last on the network we are on."""

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from chappe.client.connection import Transport
from chappe.client.network import gateways, local_addresses
from chappe.client.options import Settings

Network: TypeAlias = tuple[str, ...]
"""What tells one network from another: the origin dialed, our own addresses, and the gateways."""

#: Seconds that it is remembered what got through: then the best transport has its chance again.
MEMORY_S: Final = 600.0
#: Networks remembered; the one that was used longest ago goes first.
_MAX_NETWORKS: Final = 256


class Memory:
    """What got through, by network; for all clients of the process."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Network, tuple[Transport, float]] = OrderedDict()

    def recall(self, network: Network, now: float) -> Transport | None:
        """Return what got through there within `MEMORY_S`, or None."""
        transport, until = self._entries.get(network, (None, 0.0))
        return transport if now < until else None

    def remember(self, network: Network, transport: Transport, now: float) -> None:
        """Learn what got through."""
        self._entries[network] = (transport, now + MEMORY_S)
        self._entries.move_to_end(network)
        if len(self._entries) > _MAX_NETWORKS:
            self._entries.popitem(last=False)

    def forget(self, network: Network | None = None) -> None:
        """Learn that what got through does not any more; None: on any network."""
        if network is None:
            self._entries.clear()
        else:
            self._entries.pop(network, None)


#: One for the process: a second client, or the same one after a restart of its own, does not wait again.
MEMORY: Final = Memory()


@dataclass(frozen=True)
class Step:
    """One transport to try.

    Attributes:
        timeout_s: from the dial to the acceptance.
    """

    transport: Transport
    timeout_s: float


class Route:
    """The transports of one client, best first."""

    def __init__(self, settings: Settings, memory: Memory = MEMORY) -> None:
        self._settings = settings
        self._memory = memory
        parts = urlsplit(settings.url)
        self._origin = f"{parts.scheme}://{parts.netloc}"

    def network(self) -> Network:
        """Return where we are now."""
        return (self._origin, *(local_addresses() or ()), *gateways())

    def steps(self) -> tuple[Step, ...]:
        """Return what to try now, in order: from the transport on that got through last."""
        transports = self._settings.transports
        known = self._memory.recall(self.network(), time.monotonic())
        first = transports.index(known) if known in transports else 0
        rest = transports[first:]
        return tuple(Step(transport, self._timeout_s(is_last=transport == rest[-1])) for transport in rest)

    def better_than(self, transport: Transport) -> tuple[Step, ...]:
        """Return what to try while a transport gets through, best first."""
        better = self._settings.transports[: self._settings.transports.index(transport)]
        return tuple(Step(name, self._timeout_s(is_last=False)) for name in better)

    def carried(self, transport: Transport) -> None:
        """Learn that a transport gets through."""
        if len(self._settings.transports) > 1:
            self._memory.remember(self.network(), transport, time.monotonic())

    def blocked(self) -> None:
        """Learn that nothing that was tried gets through: next time all of them are."""
        self._memory.forget(self.network())

    def _timeout_s(self, *, is_last: bool) -> float:
        longest = self._settings.open_timeout_s
        return longest if is_last else min(self._settings.websocket_timeout_s, longest)
