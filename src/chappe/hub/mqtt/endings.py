"""Where groups were served last, by nodes that left them or that are gone."""

from typing import Final

from chappe.hub.cluster.bus import Bus
from chappe.hub.cluster.nodes import Nodes
from chappe.hub.contracts import Clock
from chappe.hub.mqtt.records import Record, earlier, places_of_groups
from chappe.hub.mqtt.shares import LAST
from chappe.protocols.base import SincePosition

#: Nodes that leave a group so soon after each other may not have heard of it, seconds; and so many are remembered.
_SAME_TIME_S: Final = 5.0
_MOST_ENDS: Final = 1_000
#: Nodes that are gone and remembered.
_MOST_LAST: Final = 100


class Endings:
    """What one node knows of that."""

    def __init__(self, bus: Bus, nodes: Nodes, clock: Clock) -> None:
        self._bus = bus
        self._nodes = nodes
        self._clock = clock
        # When a group was left to others, and where; the one that was left first comes first.
        self._ends: dict[str, tuple[float, SincePosition]] = {}
        self._last: dict[str, dict[str, SincePosition]] = {}
        bus.on(LAST, lambda sender, body, answer: self._remember(*body), tuple[str, dict[str, SincePosition]])

    def note(self, name: str, place: SincePosition | None) -> None:
        """Remember where a node left a group to others: they may be leaving it at the same time."""
        if place is not None:
            place = self.place_of(name, place)
            self._ends.pop(name, None)
            self._ends[name] = self._clock.now(), place
            if len(self._ends) > _MOST_ENDS:
                del self._ends[next(iter(self._ends))]

    def place_of(self, name: str, place: SincePosition) -> SincePosition:
        """Return the earlier of a place and of where the group was left just now."""
        ended_at, noted = self._ends.get(name, (0.0, None))
        return earlier(place, noted) if self._clock.now() - ended_at < _SAME_TIME_S else place

    def heard(self, node: str) -> None:
        """Learn that a node is alive."""
        self._last.pop(node, None)

    def last_of(self, node: str) -> dict[str, SincePosition]:
        """Return up to where a node that is gone had served its groups."""
        return self._last.get(node, {})

    def learn(self, records: list[Record], node: str | None = None) -> None:
        """Remember up to where nodes that are gone had served groups, and tell it: their records change soon.

        Args:
            node: is gone, though it may not have been noticed yet.
        """
        by_node: dict[str, list[Record]] = {}
        for record in records:
            is_gone = record.node == node or record.node not in (*self._nodes.others, self._bus.node)
            if is_gone and record.node not in self._last:
                by_node.setdefault(record.node, []).append(record)
        for gone, found in by_node.items():
            places = places_of_groups(found)
            if places:
                self._remember(gone, places)
                self._bus.tell(LAST, (gone, places))

    def _remember(self, node: str, places: dict[str, SincePosition]) -> None:
        self._last.setdefault(node, places)
        if len(self._last) > _MOST_LAST:
            del self._last[next(iter(self._last))]
