"""The shared subscriptions of one hub (MQTT 5, 4.8.2): of all members of a group one gets each message."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from chappe.hub.contracts import Timer
from chappe.hub.mqtt.away import Away, Sent
from chappe.hub.mqtt.claim_log import Counts
from chappe.hub.mqtt.group import Group
from chappe.hub.mqtt.items import Tally
from chappe.model.publication import Publication
from chappe.protocols.base import SincePosition
from chappe.protocols.mqtt.filters import Filter
from chappe.protocols.mqtt.window import Delivery, Flight

if TYPE_CHECKING:
    from chappe.hub.mqtt.client import MqttClient
    from chappe.hub.mqtt.service import MqttService

#: How often it is looked after what nobody claims, seconds.
AUDIT_S: Final = 1.0
#: Many groups are looked after in so many parts of that time: a thousand take 17 ms, and everybody would wait for that.
_PARTS: Final = 50
#: So many are looked after at once however few there are.
_PART: Final = 8


class Groups:
    """The groups that have members here, or something left to do, by the name of their filter."""

    def __init__(self, service: "MqttService") -> None:
        self._service = service
        self._groups: dict[str, Group] = {}
        self._tally = Tally()
        self._counts = Counts()
        self._gaps = 0
        self._timer: Timer | None = None
        # Those that are still to be looked after in this round.
        self._round: list[str] = []
        self._round_began = 0.0
        cluster = service.hub.cluster
        if cluster is not None:
            cluster.nodes.on_gone.append(self._node_is_gone)

    def get(self, name: str) -> Group | None:
        """Return a group that has members here, or something left to do."""
        return self._groups.get(name)

    def stop(self) -> None:
        """Say what is left to say, and nothing more."""
        if self._timer is not None:
            self._timer.cancel()
        for group in self._groups.values():
            group.log.flush_all()
            group.close()
        self._groups.clear()

    def metrics(self) -> dict[str, float]:
        """Return what is counted here, by name of the metric."""
        groups, tally, counts = self._groups.values(), self._tally, self._counts
        return {
            "chappe_mqtt_groups": sum(bool(group.members) for group in groups),
            "chappe_mqtt_group_awaited": sum(group.awaited for group in groups),
            "chappe_mqtt_group_elsewhere_total": tally.elsewhere,
            "chappe_mqtt_group_conflicts_total": tally.conflicts,
            "chappe_mqtt_group_passed_on_total": tally.passed_on,
            "chappe_mqtt_group_taken_over_total": tally.taken_over,
            "chappe_mqtt_group_forgotten_total": tally.forgotten,
            "chappe_mqtt_group_lost_total": tally.lost,
            "chappe_mqtt_group_gaps_total": self._gaps + sum(group.gaps for group in groups),
            "chappe_mqtt_group_entries_total": counts.entries,
            "chappe_mqtt_group_entries_failed_total": counts.failures,
            "chappe_mqtt_group_entries_missed_total": counts.gaps,
            "chappe_mqtt_group_entries_malformed_total": counts.malformed,
            "chappe_mqtt_group_entries_too_large_total": counts.too_large,
        }

    # --- Members -----------------------------------------------------------------------------------------------------

    def arrived(
        self, client: "MqttClient", one: Filter, place: SincePosition | None, begin: SincePosition | None
    ) -> None:
        """Let a client be a member, now that it follows the filter from a place on.

        Args:
            begin: from where its session was a member; the group begins there if nobody else knows where it is.
        """
        self._open(one.name).arrived(client, one, place, begin)

    def begins_at(self, client: "MqttClient", one: Filter) -> SincePosition | None:
        """Return from where a client was a member."""
        group = self._groups.get(one.name)
        return group.members.begins.get(client) if group is not None else None

    def interrupted(self, client: "MqttClient", one: Filter) -> None:
        """Learn that a member follows its filter no more, and will again."""
        group = self._groups.get(one.name)
        if group is not None:
            group.interrupted(client)

    def quit(self, client: "MqttClient", one: Filter) -> None:
        """Let a client be a member no more, by its own wish; what it was sent it may still acknowledge."""
        group = self._groups.get(one.name)
        if group is not None:
            group.quit(client)

    def left(self, client: "MqttClient", stays: bool, code: int) -> None:
        """Learn that a connection ends: what it had of QoS 1 for its groups goes to others.

        Args:
            stays: its session outlives it.
            code: why it ends.
        """
        flights = client.outbound.window.flights.values() if client.outbound is not None else ()
        for name in _names(client.filters.all(), flights):
            group = self._groups.get(name)
            if group is not None:
                group.left(client, stays, code)

    def forget(self, away: Away) -> None:
        """Learn that a session without a connection is over."""
        flights = {each.packet_id: each for each in away.flights}
        for name in _names((one for one, _ in away.filters), away.flights):
            self._open(name).forget(away.client_id, flights, away.sent.get(name, ()))

    def settle(self, away: Away) -> None:
        """Learn that this node looks after a session now, which was written down elsewhere."""
        for name in _names((one for one, _ in away.filters if one.qos), ()):
            self._open(name).settle(away.client_id)

    # --- Messages ----------------------------------------------------------------------------------------------------

    def take(self, client: "MqttClient", one: Filter, publication: Publication, qos: int) -> None:
        """Take a message that a member brings, made with a QoS."""
        group = self._groups.get(one.name)
        if group is not None:
            group.take(client, publication, qos)

    def done(self, delivery: Delivery) -> None:
        """Learn that a message needs no other member any more."""
        group = self._groups.get(delivery.group) if delivery.group else None
        if group is not None:
            group.done(delivery.publication)

    def settled(self, flights: Iterable[Flight]) -> None:
        """Learn that what a session was sent with QoS 2 is written down with it."""
        for flight in flights:
            if flight.delivery is not None:
                self.done(flight.delivery)

    def unsent(self, flights: Iterable[Flight], sent: Sent) -> None:
        """Learn that another node took a session over: what is not in its record there was not sent, and will not be.

        Args:
            sent: what that record knows to have been sent.
        """
        for flight in flights:
            group = self._groups.get(flight.delivery.group) if flight.delivery is not None else None
            if group is not None and flight.delivery is not None:
                group.unsent(flight.delivery.publication, sent)

    def go_on(self, client: "MqttClient") -> None:
        """Learn that a client has room."""
        for one in client.filters.groups():
            group = self._groups.get(one.name)
            if group is not None:
                group.made_room(client)

    # --- Inside ------------------------------------------------------------------------------------------------------

    def _open(self, name: str) -> Group:
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = Group(self._service, name, self._tally, self._counts)
            group.open()
            if self._timer is None:
                self._begin_round(AUDIT_S)
        return group

    def _node_is_gone(self, node: str) -> None:
        """Look after all groups now: what the node had goes to others."""
        if self._timer is not None:
            self._timer.cancel()
            self._round.clear()
            self._begin_round(0.0)

    def _begin_round(self, in_s: float) -> None:
        clock = self._service.hub.clock
        self._round_began = clock.now() + in_s
        self._timer = clock.call_later(in_s, self._audit)

    def _audit(self) -> None:
        """Look after some of the groups; those that are idle are kept no more."""
        if not self._round:
            self._round = list(self._groups)
        for _ in range(min(len(self._round), max(_PART, -(-len(self._groups) // _PARTS)))):
            group = self._groups.get(self._round.pop())
            if group is None:
                continue
            try:
                self._audit_one(group)
            except Exception as error:
                # The other groups need their time all the same.
                self._service.hub.report(error, "a shared group could not be looked after")
        if self._round:
            self._timer = self._service.hub.clock.call_later(AUDIT_S / _PARTS, self._audit)
        elif self._groups:
            self._begin_round(max(0.0, self._round_began + AUDIT_S - self._service.hub.clock.now()))
        else:
            self._timer = None

    def _audit_one(self, group: Group) -> None:
        group.audit()
        if group.is_idle:
            self._gaps += group.gaps
            group.close()
            del self._groups[group.name]


def _names(filters: Iterable[Filter], flights: Iterable[Flight]) -> list[str]:
    """Return the groups of filters, and those of messages on their way."""
    names = dict.fromkeys(one.name for one in filters if one.group)
    names.update(dict.fromkeys(each.delivery.group for each in flights if each.delivery and each.delivery.group))
    return list(names)
