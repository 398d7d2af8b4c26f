"""Shared subscriptions (MQTT 5, 4.8.2): of all members of a group one gets each message.

Every member follows the filter as any client does, with its own rights; when a message comes, the group names the one
that sends it on.
"""

from typing import TYPE_CHECKING, Final

from chappe.hub.mqtt.away import place_of
from chappe.model.publication import Publication
from chappe.protocols.base import SincePosition
from chappe.protocols.mqtt.filters import Filter
from chappe.protocols.mqtt.window import Delivery

if TYPE_CHECKING:
    from chappe.hub.mqtt.client import MqttClient
    from chappe.hub.mqtt.service import MqttService

#: Messages whose member is remembered: members that catch up ask late.
_REMEMBERED: Final = 4_096


class Group:
    """The members of one shared subscription here.

    Attributes:
        members: who is connected, in the order in which they came; the first has waited longest for its turn.
        away: client ids of sessions that are members and have no connection.
        place: up to where the group was served, once no member is connected; None: from now on.
    """

    __slots__ = ("_chosen", "away", "members", "name", "place")

    def __init__(self, name: str) -> None:
        self.name = name
        self.members: dict[MqttClient, Filter] = {}
        self.away: set[str] = set()
        self.place: SincePosition | None = None
        self._chosen: dict[tuple[str, str, int, int], MqttClient] = {}

    def choose(self, publication: Publication) -> "MqttClient | None":
        """Return the member that sends a message on; the same one whoever asks."""
        key = (publication.channel, publication.epoch, publication.offset, publication.log)
        chosen = self._chosen.get(key)
        if chosen is not None and (chosen in self.members or chosen.client_id in self.away):
            return chosen
        chosen = self.next()
        if chosen is not None:
            if len(self._chosen) >= _REMEMBERED:
                del self._chosen[next(iter(self._chosen))]
            self._chosen[key] = chosen
        return chosen

    def next(self) -> "MqttClient | None":
        """Return whose turn it is: the first with room for a message, or simply the first."""
        chosen = next((each for each in self.members if _has_room(each)), None) or next(iter(self.members), None)
        if chosen is not None:
            self.members[chosen] = self.members.pop(chosen)
        return chosen

    @property
    def is_over(self) -> bool:
        """Whether nobody is a member any more."""
        return not self.members and not self.away


class Groups:
    """The groups of one hub, by the name of their filter."""

    def __init__(self, service: "MqttService") -> None:
        self._service = service
        self._groups: dict[str, Group] = {}

    def join(self, client: "MqttClient", one: Filter) -> SincePosition | None:
        """Let a client be a member; return from where it goes on if nobody was there meanwhile."""
        group = self._groups.get(one.name)
        if group is None:
            group = self._groups[one.name] = Group(one.name)
        group.members[client] = one
        group.away.discard(client.client_id)
        place, group.place = group.place, None
        return place

    def quit(self, client: "MqttClient", one: Filter) -> None:
        """Let a client be a member no more, by its own wish."""
        group = self._groups.get(one.name)
        if group is not None:
            group.members.pop(client, None)
            self._tidy(group)

    def left(self, client: "MqttClient") -> None:
        """Learn that a connection of members ended: what it had for its groups and did not send goes to others."""
        session_stays = client.client_id in self._service.sessions.away
        for one in client.filters.all():
            group = self._groups.get(one.name) if one.group else None
            if group is None:
                continue
            place = place_of(client, one)
            group.members.pop(client, None)
            if session_stays and one.qos:
                group.away.add(client.client_id)
            self._pass_on(client, group, session_stays)
            if not group.members:
                group.place = place
            self._tidy(group)

    def forget(self, client_id: str) -> None:
        """Learn that a session without a connection is over."""
        for group in tuple(self._groups.values()):
            group.away.discard(client_id)
            self._tidy(group)

    def restore(self, client_id: str, one: Filter, place: SincePosition | None) -> None:
        """Make a group of a session that was written down, if it is not here."""
        group = self._groups.get(one.name)
        if group is None:
            group = self._groups[one.name] = Group(one.name)
        group.away.add(client_id)
        if not group.members and group.place is None:
            group.place = place

    def place_of(self, name: str) -> SincePosition | None:
        """Return up to where a group was served that has no member connected."""
        group = self._groups.get(name)
        return group.place if group is not None else None

    def is_for(self, client: "MqttClient", one: Filter, publication: Publication) -> bool:
        """Tell whether a message is a client's to send on."""
        group = self._groups.get(one.name)
        return group is not None and group.choose(publication) is client

    def _pass_on(self, client: "MqttClient", group: Group, session_stays: bool) -> None:
        """Give what a member did not send to another one; what it sent stays its own while its session lasts."""
        outbound = client.outbound
        if outbound is None:
            return
        window = outbound.window
        orphans = [] if session_stays else [each.delivery for each in window.flights.values()]
        orphans += window.waiting
        for delivery in orphans:
            if delivery is None or delivery.group != group.name:
                continue
            heir = group.next()
            if heir is not None:
                one = group.members[heir]
                qos = min(delivery.qos, one.qos)
                identifiers = (one.identifier,) if one.identifier else ()
                heir.make_personal().put(Delivery(delivery.publication, qos, False, identifiers, group.name))
        if group.members:
            window.withdraw(group.name)

    def _tidy(self, group: Group) -> None:
        if group.is_over and self._groups.get(group.name) is group:
            del self._groups[group.name]


def _has_room(client: "MqttClient") -> bool:
    outbound = client.outbound
    return outbound is None or (not outbound.window.waiting and outbound.window.has_room)
