"""The members of one group at one node, and whose turn it is."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from chappe.hub.mqtt.claims import NOTHING
from chappe.protocols.base import SincePosition
from chappe.protocols.mqtt.filters import Filter

if TYPE_CHECKING:
    from chappe.hub.mqtt.client import MqttClient


class Members:
    """Who is connected and follows the filter.

    Attributes:
        filters: by client, in the order in which they came or had their last message: the first has waited longest.
        begins: from where the session of each was a member.
        broken: those that follow anew, because the feed was interrupted.
    """

    def __init__(self) -> None:
        self.filters: dict[MqttClient, Filter] = {}
        self.begins: dict[MqttClient, SincePosition | None] = {}
        self.broken: set[MqttClient] = set()
        # From where each brings everything.
        self._places: dict[MqttClient, SincePosition | None] = {}
        # Those that said that they have room since nobody had any; None: some may have.
        self._ready: dict[MqttClient, None] | None = None

    def put(self, client: "MqttClient", one: Filter, place: SincePosition | None, begin: SincePosition | None) -> None:
        """Let a client be a member that brings everything from a place on."""
        self.filters[client] = one
        self.made_room(client)
        self._places[client] = place
        self.begins.setdefault(client, begin)

    def remove(self, client: "MqttClient") -> None:
        """Let it be none."""
        self.filters.pop(client, None)
        self._places.pop(client, None)
        self.begins.pop(client, None)
        self.broken.discard(client)

    @property
    def share(self) -> int:
        """The highest QoS that one was granted; `NOTHING` if there is none."""
        return max((one.qos for one in self.filters.values()), default=NOTHING)

    @property
    def begin(self) -> SincePosition | None:
        """From where a session was a member; None: nobody knows."""
        return next((each for each in self.begins.values() if each is not None), None)

    def bring(self, is_enough: Callable[[SincePosition | None], bool]) -> bool:
        """Tell whether somebody brings everything from a place that is early enough."""
        return any(map(is_enough, self._places.values()))

    def next_with_room(self) -> "MqttClient | None":
        """Return whose turn it is among those that take a message now, and let it wait again."""
        # When nobody had room, not all are asked again for each message that one acknowledges.
        asked = self.filters if self._ready is None else self._ready
        chosen = next((each for each in asked if each in self.filters and _has_room(each)), None)
        if chosen is None:
            self._ready = {}
        return self._turn(chosen)

    def made_room(self, client: "MqttClient") -> None:
        """Learn that a client takes a message now, if it is a member."""
        if self._ready is not None and client in self.filters:
            self._ready[client] = None

    def look_again(self) -> None:
        """Ask all again who has room."""
        self._ready = None

    def next(self) -> "MqttClient | None":
        """Return whose turn it is: the first with room for a message, or simply the first."""
        return self.next_with_room() or self._turn(next(iter(self.filters), None))

    def _turn(self, chosen: "MqttClient | None") -> "MqttClient | None":
        if chosen is not None:
            self.filters[chosen] = self.filters.pop(chosen)
        return chosen

    def __contains__(self, client: object) -> bool:
        return client in self.filters

    def __len__(self) -> int:
        return len(self.filters)


def _has_room(client: "MqttClient") -> bool:
    """Tell whether a client takes a message now; what comes before a SUBACK, or what it left on its way, is first."""
    outbound, asking = client.outbound, client.asking
    if outbound is None:
        return True
    is_busy = outbound.is_resuming or (asking is not None and asking.is_waiting)
    return not is_busy and not outbound.window.waiting and outbound.window.has_room
