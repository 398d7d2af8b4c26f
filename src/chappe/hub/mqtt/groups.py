"""Shared subscriptions (MQTT 5, 4.8.2): of all members of a group one gets each message.

Every member follows the filter as any client does, with its own rights. Whichever brings a message first, the group
takes it once, and hands it to the member whose turn it is; where nodes share a broker, `sharing` tells whether it is
this node's to hand on at all.
"""

from collections import deque
from collections.abc import Callable, Iterable
from functools import reduce
from typing import TYPE_CHECKING, Final

from chappe.hub.contracts import Read, ReadLog, ReadLogResult, ReadResult
from chappe.hub.mqtt.away import before, place_of
from chappe.hub.mqtt.choosing import Place, place_in_log
from chappe.hub.mqtt.kinds import QOS_1, QOS_2
from chappe.hub.mqtt.ledger import Ledger
from chappe.hub.mqtt.records import Record, earlier, places_of_groups
from chappe.hub.mqtt.seen import Seen
from chappe.hub.mqtt.shares import ONLY_AWAY, Alone
from chappe.hub.mqtt.sharing import Sharing
from chappe.model.error_codes import Code
from chappe.model.position import Position
from chappe.model.publication import Publication
from chappe.protocols.base import SincePosition
from chappe.protocols.mqtt.fanout import PublicationFrame
from chappe.protocols.mqtt.filters import Filter
from chappe.protocols.mqtt.messages import was_retained
from chappe.protocols.mqtt.window import Delivery, Flight, Stage

if TYPE_CHECKING:
    from chappe.hub.mqtt.client import MqttClient
    from chappe.hub.mqtt.service import MqttService

#: Messages without a place that are told apart: copies of one come soon after each other.
_REMEMBERED: Final = 64
#: How long a session may be on its way to another node, seconds: as long as that waits for it.
_MOVE_S: Final = 10.0
#: What that costs grows with the members, so above so many it is found out anew only so often, seconds.
_FEW_MEMBERS: Final = 16
_SERVED_S: Final = 0.5
#: Groups without a member whose place is remembered; above, the oldest is forgotten.
_MOST_PLACES: Final = 10_000


class Group:
    """The members of one shared subscription here.

    Attributes:
        members: who is connected and follows, in the order in which they came; the first has waited longest.
        away: client ids of sessions that are members and have no connection.
        seen: messages that came or were told of.
        ledger: those that members at other nodes are to acknowledge.
        held: messages that came while the other nodes are asked what they know; None: they are not.
        ask_now: asks them at once, while a new node waits to know who they are.
        done_meanwhile: what was done with at other nodes while they are asked.
        unheard: nodes with members that did not say what they know: they may have been dead already.
        is_ending: this node is going: others take what comes.
    """

    __slots__ = (
        "_copies",
        "_served",
        "ask_now",
        "away",
        "done_meanwhile",
        "held",
        "is_ending",
        "ledger",
        "members",
        "name",
        "pattern",
        "seen",
        "unheard",
    )

    def __init__(self, one: Filter, ledger: Ledger) -> None:
        self.name = one.name
        self.pattern = one.pattern
        self.members: dict[MqttClient, Filter] = {}
        self.away: set[str] = set()
        self.seen = Seen()
        self.ledger = ledger
        self.held: list[tuple[Publication, int]] | None = None
        self.ask_now: Callable[[], None] | None = None
        self.done_meanwhile: set[Place] = set()
        self.unheard: set[str] = set()
        self.is_ending = False
        self._served: tuple[float, SincePosition | None] = (0.0, None)
        self._copies: deque[Publication] = deque(maxlen=_REMEMBERED)

    def is_new(self, publication: Publication) -> bool:
        """Take a message that the feed or the log brought; False: it came before, by another member."""
        if publication.offset:
            return self.seen.take(place_in_log(publication))
        if any(each is publication for each in self._copies):
            return False
        self._copies.append(publication)
        return True

    def next(self) -> "MqttClient | None":
        """Return whose turn it is: the first with room for a message, or simply the first."""
        chosen = next((each for each in self.members if _has_room(each)), None) or next(iter(self.members), None)
        if chosen is not None:
            self.members[chosen] = self.members.pop(chosen)
        return chosen

    @property
    def share(self) -> int:
        """What other nodes are told: the highest QoS that a member was granted, or that none is for what comes now."""
        return ONLY_AWAY if self.is_ending else max((one.qos for one in self.members.values()), default=ONLY_AWAY)

    def underway(self) -> list[Delivery]:
        """Return what members have not acknowledged and another one could still get."""
        found: list[Delivery] = []
        for client in self.members:
            if client.outbound is not None:
                window = client.outbound.window
                found += _movable(window.flights.values(), self.name)
                found += [each for each in window.waiting if each.group == self.name]
        return found

    def served(self, now: float) -> SincePosition | None:
        """Return before what message nobody has anything to do any more.

        None: that is not known, since there are nodes that did not say what they have.
        """
        if self.held is not None or self.unheard:
            return None
        made_at, known = self._served
        if known is None or len(self.members) <= _FEW_MEMBERS or now - made_at >= _SERVED_S:
            windows = [each.outbound.window for each in self.members if each.outbound is not None]
            deliveries = [each for window in windows for each in window.waiting]
            deliveries += [it.delivery for window in windows for it in window.flights.values() if it.delivery]
            publications = [each.publication for each in deliveries if each.group == self.name]
            publications += [each.publication for each in self.ledger.entries.values() if each.publication is not None]
            # Who has just come may have been told of messages that the feed has not brought yet.
            found = [place_of(client, one) for client, one in self.members.items()]
            places = [each for each in found if each is not None]
            place = reduce(earlier, places) if places else None
            self._served = now, before(place, self.pattern, publications)
        return self._served[1]

    def unfinished(self) -> set[Place]:
        """Return where messages are that somebody is still to get, or to acknowledge."""
        found = {place_in_log(publication) for publication, _ in self.held or ()}
        found.update(place_in_log(each.publication) for each in self.underway())
        return found.union(self.ledger.entries)


class Groups:
    """The groups of one hub, by the name of their filter.

    Attributes:
        places: up to where groups were served that have no member connected anywhere.
        passed_on: messages that a member did not acknowledge and that another one got for it.
    """

    def __init__(self, service: "MqttService") -> None:
        self._service = service
        self._groups: dict[str, Group] = {}
        self.places: dict[str, SincePosition] = {}
        # From where those go on that will be members.
        self._joining: dict[tuple[MqttClient, str], SincePosition | None] = {}
        # Up to where groups were served when a member went whose session is being written down.
        self._leaving: dict[tuple[MqttClient, str], SincePosition | None] = {}
        self.passed_on = 0
        cluster = service.hub.cluster
        self._sharing = Sharing(service, self, cluster) if cluster is not None else Alone()

    def get(self, name: str) -> Group | None:
        """Return a group that has members here, or sessions of members."""
        return self._groups.get(name)

    def place_of(self, client: "MqttClient", one: Filter) -> SincePosition | None:
        """Return up to where a group was served: all of it, as long as a client is a member."""
        group = self._groups.get(one.name)
        if group is not None and client in group.members:
            return group.served(self._service.hub.clock.now())
        return self.places.get(one.name) or self._leaving.get((client, one.name))

    def all(self) -> list[Group]:
        """Return all of them."""
        return list(self._groups.values())

    def stop(self) -> None:
        """Tell other nodes nothing more."""
        self._sharing.stop()

    def metrics(self) -> dict[str, float]:
        """Return what is counted here, by name of the metric."""
        return {
            "chappe_mqtt_groups": len(self._groups),
            "chappe_mqtt_group_passed_on_total": self.passed_on,
            **self._sharing.metrics(),
        }

    # --- Members -----------------------------------------------------------------------------------------------------

    def join(self, client: "MqttClient", one: Filter) -> SincePosition | None:
        """Return from where a client goes on that will be a member, if nobody is there meanwhile."""
        group = self._groups.get(one.name)
        is_served = (group is not None and group.members) or self._sharing.has_others(one.name)
        place = None if is_served else self.places.get(one.name)
        self._joining[client, one.name] = place
        return place

    def joins_at(self, client: "MqttClient", one: Filter) -> SincePosition | None:
        """Return what `join` returned, until the client has arrived."""
        return self._joining.get((client, one.name))

    def arrived(self, client: "MqttClient", one: Filter, since: SincePosition | None = None) -> None:
        """Let a client be a member, now that it follows the filter; what it missed comes right behind this.

        Args:
            since: from where what the group missed has to be read, if it does not come with what the client missed.
        """
        group = self._make(one)
        is_first = not group.members
        group.members[client] = one
        group.away.discard(client.client_id)
        place = self.places.pop(one.name, None)
        if place is not None and self._joining.get((client, one.name)) != place:
            # Others left the group while this one came.
            since = since or place
        self._joining.pop((client, one.name), None)
        if is_first:
            group.seen.pause()
            self._sharing.begin(group)
        self._sharing.changed(group)
        if since is not None:
            self.catch_up(group, since)

    def quit(self, client: "MqttClient", one: Filter) -> None:
        """Let a client be a member no more, by its own wish; what it was sent it may still acknowledge."""
        self._joining.pop((client, one.name), None)
        group = self._groups.get(one.name)
        if group is not None:
            self._end(client, group, one, movable=False, code=0)

    def left(self, client: "MqttClient", stays: bool, code: int) -> None:
        """Learn that a connection of members ends: what it had for its groups goes to others, if there are any.

        Args:
            stays: its session outlives it.
            code: why it ends.
        """
        filters = {one.name: one for one in client.filters.all() if one.group}
        for name in filters:
            self._joining.pop((client, name), None)
        for one in filters.values():
            group = self._groups.get(one.name)
            if group is None:
                continue
            if stays and one.qos:
                group.away.add(client.client_id)
            is_alone = not self._sharing.has_others(one.name) and set(group.members) <= {client}
            self._end(client, group, one, movable=not (stays and is_alone), code=code)
        if client.outbound is not None and not stays:
            # Of filters that it had given up.
            rest = [each for each in client.outbound.window.flights.values() if each.delivery and each.delivery.group]
            self._pass_flights(rest, filters)

    def written(self) -> None:
        """Learn that what is left of a session has been noted."""
        self._leaving.clear()

    def forget(self, client_id: str, flights: Iterable[Flight] = ()) -> None:
        """Learn that a session without a connection is over; what it did not acknowledge of QoS 1 goes to others."""
        self._pass_flights(list(flights), {})
        for group in self.all():
            if client_id in group.away:
                group.away.discard(client_id)
                self._tidy(group)

    def moved(self, client_id: str) -> None:
        """Learn that another node looks after a session; that one tells of its groups as soon as it knows them."""
        for group in self.all():
            if client_id in group.away:
                group.away.discard(client_id)
                self._service.hub.clock.call_later(_MOVE_S, lambda group=group: self._tidy(group))  # type: ignore[misc]

    def restore(self, client_id: str, one: Filter, sent: Iterable[Place]) -> None:
        """Make a group of a session that was written down, if it is not here; what it was sent is its own."""
        group = self._make(one)
        group.away.add(client_id)
        for place in sent:
            group.seen.add(place)
            group.ledger.pop(place)
            self._sharing.finished(one.name, place)
        self._sharing.changed(group)

    def restore_sent(self, records: Iterable[Record]) -> None:
        """Learn from all sessions that were written down what their clients were sent: it is their own."""
        for record in records:
            for each in record.underway:
                group = self._groups.get(each.group) if each.group else None
                if group is not None:
                    group.seen.add(each.place)

    def restore_places(self, records: list[Record], node: str | None = None) -> None:
        """Learn from all sessions that were written down where groups were served that nobody serves now.

        Args:
            node: is gone, though it may not have been noticed yet.
        """
        self._sharing.learn_places(records, node)
        for name, place in places_of_groups(records).items():
            group = self._groups.get(name)
            is_served = (group is not None and group.members) or self._sharing.has_others(name)
            if not is_served and name not in self.places:
                self.keep_place(name, place)

    def keep_place(self, name: str, place: SincePosition) -> None:
        """Remember up to where a group was served that has no member connected."""
        self.places[name] = place
        if len(self.places) > _MOST_PLACES:
            del self.places[next(iter(self.places))]

    # --- Messages ----------------------------------------------------------------------------------------------------

    def take(self, client: "MqttClient", one: Filter, frame: PublicationFrame) -> None:
        """Take a message that a member brings; whichever brings it first, one gets it."""
        group = self._groups.get(one.name)
        publication = frame.publication
        if group is None or client not in group.members or not group.is_new(publication):
            return
        qos = frame.qos or 0
        if self._sharing.is_ours(group, publication, qos):
            self.assign(group, publication, qos, client, frame)

    def assign(
        self,
        group: Group,
        publication: Publication,
        qos: int,
        bringer: "MqttClient | None" = None,
        frame: PublicationFrame | None = None,
    ) -> None:
        """Give a message, made with a QoS, to the member whose turn it is; `frame` is how `bringer` has it."""
        heir = group.next()
        if heir is None:
            return
        one = group.members[heir]
        outbound = heir.make_personal()
        identifiers = (one.identifier,) if one.identifier else ()
        retain = one.retain_as_published and was_retained(publication)
        delivery = Delivery(publication, min(qos, one.qos), retain, identifiers, one.name)
        outbound.put(delivery, frame if bringer is not None and bringer.encoder is heir.encoder else None)
        if qos and not delivery.qos:
            self._sharing.finished(group.name, place_in_log(publication))

    def catch_up(self, group: Group, place: SincePosition) -> None:
        """Read from a place on what nobody got yet, and give it to members."""
        hub = self._service.hub

        def found(result: ReadResult | ReadLogResult) -> None:
            if not group.members:
                # Whoever is there, or comes, goes on from there instead.
                self.keep_place(group.name, earlier(place, self.places.get(group.name)))
                self._sharing.ended(group, [], place)
            for each in result.publications:
                qos = self._service.qos_of(each) if hub.channels.is_readable(each.channel) else 0
                if qos and group.members and group.is_new(each) and self._sharing.is_ours(group, each, qos):
                    self.assign(group, each, qos)

        limit = hub.limits.recovery_publications
        if place.position is not None:
            hub.broker.read_log(ReadLog(group.pattern, place.position, limit), found)
        else:
            since = Position(place.epoch, place.offset)
            hub.broker.read(Read(group.pattern, hub.namespaces.of(group.pattern), since, limit), found)

    def done(self, delivery: Delivery) -> None:
        """Learn that a message needs no other member any more."""
        if delivery.group:
            # Of QoS 2 the others know before its member answers, so that nobody else gets it if this node dies.
            place, at_once = place_in_log(delivery.publication), delivery.qos == QOS_2
            self._sharing.finished(delivery.group, place, at_once=at_once)

    # --- Inside ------------------------------------------------------------------------------------------------------

    def _make(self, one: Filter) -> Group:
        group = self._groups.get(one.name)
        if group is None:
            options = self._service.options
            ledger = Ledger(options.session_queue_messages, options.session_queue_bytes)
            group = self._groups[one.name] = Group(one, ledger)
        return group

    def _end(self, client: "MqttClient", group: Group, one: Filter, *, movable: bool, code: int) -> None:
        """Take a member away, and see to it that what it had is not lost.

        Args:
            movable: what it was sent with QoS 1 goes to others too.
            code: why it goes.
        """
        if client in group.members:
            self._leaving[client, one.name] = group.served(self._service.hub.clock.now())
        was_member = group.members.pop(client, None) is not None
        has_others = self._sharing.has_others(group.name)
        orphans = self._orphans(client, group, movable)
        unserved = [each.publication for each in orphans]
        unserved += [publication for publication, _ in group.held or ()] if not group.members else []
        place = before(place_of(client, one), one.pattern, unserved)
        if client.outbound is not None:
            client.outbound.window.withdraw(group.name)
            for flight in client.outbound.window.flights.values():
                if flight.delivery is not None and flight.delivery.group == group.name:
                    # It stays with its member, whether that was told before or not.
                    self.done(flight.delivery)
        group.is_ending = group.is_ending or (code == Code.SHUTDOWN and has_others)
        if group.is_ending or (has_others and not group.members):
            self._sharing.ended(group, orphans, place if was_member else None)
        elif group.members:
            for each in orphans:
                self._pass_on(group, each)
            self._close_gap(group, place_of(client, one))
        elif was_member:
            self._nobody_is_there(group, orphans, place)
        self._tidy(group)

    def _close_gap(self, group: Group, place: SincePosition | None) -> None:
        """Read on from where a member was that went, if all others began behind what the feed has not brought yet."""
        places = (place_of(client, one) for client, one in group.members.items())
        if place is not None and not any(each is not None and earlier(each, place) == each for each in places):
            self.catch_up(group, place)

    def _orphans(self, client: "MqttClient", group: Group, movable: bool) -> list[Delivery]:
        """Return what a client that goes leaves to others.

        What was sent with QoS 2 stays with its member, or goes with it [MQTT-4.8.2-4, MQTT-4.8.2-5].
        """
        if client.outbound is None:
            return []
        window = client.outbound.window
        waiting = [each for each in window.waiting if each.group == group.name]
        sent = _movable(window.flights.values(), group.name) if movable else []
        for packet_id, flight in tuple(window.flights.items()):
            if flight.delivery is not None and any(flight.delivery is each for each in sent):
                del window.flights[packet_id]
        return [*sent, *waiting]

    def _pass_on(self, group: Group, delivery: Delivery) -> None:
        self.passed_on += 1
        self.assign(group, delivery.publication, self._service.qos_of(delivery.publication))

    def _pass_flights(self, flights: list[Flight], handled: dict[str, Filter]) -> None:
        """Give what was sent with QoS 1 to members of groups that the session is none of any more."""
        for name in {each.delivery.group for each in flights if each.delivery and each.delivery.group} - set(handled):
            group = self._groups.get(name)
            orphans = _movable(flights, name)
            if group is not None and group.members:
                for each in orphans:
                    self._pass_on(group, each)
            elif orphans and self._sharing.has_others(name):
                self._sharing.give(name, [place_in_log(each.publication) for each in orphans])
            elif group is not None:
                self._unsee(group, orphans)
                place = before(self.places.get(name), group.pattern, [each.publication for each in orphans])
                if place is not None:
                    self.keep_place(name, place)

    def _nobody_is_there(self, group: Group, orphans: list[Delivery], place: SincePosition | None) -> None:
        """Remember up to where a group was served: whoever comes first reads on from there."""
        self._unsee(group, orphans)
        if place is not None:
            self.keep_place(group.name, place)
        self._sharing.ended(group, [], place)

    def _unsee(self, group: Group, orphans: Iterable[Delivery]) -> None:
        for each in orphans:
            group.seen.remove(place_in_log(each.publication))

    def _tidy(self, group: Group) -> None:
        """Tell the others what became of a group, and forget it if nobody is a member any more."""
        if group.members or group.away:
            self._sharing.changed(group)
        elif self._groups.get(group.name) is group:
            del self._groups[group.name]
            if self._sharing.is_over(group):
                self.places.pop(group.name, None)


def _movable(flights: Iterable[Flight], group: str) -> list[Delivery]:
    """Return what was sent with QoS 1: another may get it (MQTT 5, 4.8.2)."""
    return [
        each.delivery
        for each in flights
        if each.delivery is not None
        and each.delivery.group == group
        and each.delivery.qos == QOS_1
        and each.stage is Stage.SENT
    ]


def _has_room(client: "MqttClient") -> bool:
    outbound = client.outbound
    return outbound is None or (not outbound.window.waiting and outbound.window.has_room)
