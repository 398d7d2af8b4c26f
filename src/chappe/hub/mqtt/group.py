"""One shared subscription at one node (MQTT 5, 4.8.2): its members here, and what they claim of its messages.

A message is handed to a member when the claim of this node for it has come back by the group's log, and was the first.
Which node claims a message at once is computed (`choosing`); the others do when it was not claimed for a while. That
decides who is quick, and nothing else.
"""

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from chappe.hub.mqtt.away import Sent
from chappe.hub.mqtt.choosing import Place, identity_of, owner_of, place_in_log
from chappe.hub.mqtt.claim_log import ClaimLog, Counts, SharedClaimLog
from chappe.hub.mqtt.claims import NOTHING, Changes, Claim, Entry, Wanted
from chappe.hub.mqtt.intake import Intake
from chappe.hub.mqtt.items import Item, Items, Tally
from chappe.hub.mqtt.kinds import QOS_1, QOS_2
from chappe.hub.mqtt.members import Members
from chappe.model.error_codes import Code
from chappe.model.publication import Publication
from chappe.protocols.base import SincePosition
from chappe.protocols.mqtt.filters import Filter, split_shared
from chappe.protocols.mqtt.messages import was_retained
from chappe.protocols.mqtt.window import Delivery, Flight, Stage

if TYPE_CHECKING:
    from chappe.hub.mqtt.client import MqttClient
    from chappe.hub.mqtt.service import MqttService

#: How often the group's place is told while messages go on, seconds.
_FLOOR_S: Final = 0.25
#: Messages without a place that are told apart: copies of one come soon after each other.
_REMEMBERED: Final = 64


class Group:
    """The members of one shared subscription here.

    Attributes:
        members: who is connected and follows.
        log: whose each message is.
        is_ending: this node is going: others take what comes.
    """

    def __init__(self, service: "MqttService", name: str, tally: Tally, counts: Counts) -> None:
        self.name = name
        self.pattern = split_shared(name)[1]
        self.members = Members()
        self.is_ending = False
        self._service = service
        self._hub = hub = service.hub
        self._tally = tally
        broker = hub.broker
        if broker.shared or broker.durable:
            age_s = float(service.options.session_expiry_max_s or 604_800)
            self.log: ClaimLog = SharedClaimLog(hub, name, self, age_s, counts)
        else:
            self.log = ClaimLog(hub, name, self)
        self._intake = Intake(hub, self.pattern, self._accept)
        self._is_taking = False
        self._items = Items(service, tally, self._lose, self.go_on)
        # Claims on their way, and what is under way to members or waits in their sessions.
        self._asked: dict[Place, MqttClient] = {}
        self._mine: dict[Place, Claim] = {}
        self._told_share = self._own_share = NOTHING
        self._floor_at = 0.0
        self._is_going = self._goes_again = False
        self._copies: deque[Publication] = deque(maxlen=_REMEMBERED)
        self._plain: list[Publication] = []
        self._plain_order = 0

    def open(self) -> None:
        """Read the log of the group."""
        self.log.open()

    def close(self) -> None:
        """Read it no more."""
        self._intake.stop()
        self.log.close()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to do for it here."""
        return not self.members and not self._mine and not self._asked and self.log.is_ready and self.log.is_idle

    @property
    def awaited(self) -> int:
        """How many messages others have and are not done with."""
        return self._items.claimed - len(self._mine)

    @property
    def gaps(self) -> int:
        """How often the log had no more what was to be read."""
        return self._intake.gaps

    # --- Members -----------------------------------------------------------------------------------------------------

    def arrived(
        self, client: "MqttClient", one: Filter, place: SincePosition | None, begin: SincePosition | None
    ) -> None:
        """Let a client be a member, now that it follows the filter from a place on; see `Groups.arrived`."""
        self.members.put(client, one, place, begin)
        self._items.is_wanted = True
        if client in self.members.broken:
            self.members.broken.discard(client)
            self._intake.resume()
        if client.expiry_s and one.qos:
            self._keep(client.client_id)
        self._tell()

    def left(self, client: "MqttClient", stays: bool, code: int) -> None:
        """Learn that the connection of somebody who is or was a member ends.

        What was sent with QoS 1 goes to others [MQTT 5, 4.8.2]; with QoS 2 it stays with its session, or ends with it.
        """
        self._remove(client)
        self.is_ending = self.is_ending or (code == Code.SHUTDOWN and self._hub.cluster is not None)
        self.give_back(client.outbound.window.flights if client.outbound is not None else {}, stays=stays)
        if not stays:
            self._end(client.client_id, (client.sent or {}).get(self.name, ()))
        self._tell()

    def quit(self, client: "MqttClient") -> None:
        """Let a client be a member no more, by its own wish; what it was sent it may still acknowledge."""
        self._remove(client)
        self._end(client.client_id)
        self._tell()

    def forget(self, client_id: str, flights: dict[int, Flight], sent: Iterable[Place]) -> None:
        """Learn that a session without a connection is over, and what it was sent with QoS 2."""
        self.give_back(flights, stays=False)
        self._end(client_id, sent)
        self.log.flush()

    def give_back(self, flights: dict[int, Flight], *, stays: bool) -> None:
        """Let others have what a session was sent with QoS 1, and nobody what it was sent with QoS 2 if it is over."""
        for packet_id, flight in tuple(flights.items()):
            delivery = flight.delivery
            if delivery is None or delivery.group != self.name or flight.stage is not Stage.SENT:
                continue
            if delivery.qos == QOS_1:
                del flights[packet_id]
                self._give_up(place_in_log(delivery.publication))
            elif not stays:
                self.done(delivery.publication)

    def settle(self, client_id: str) -> None:
        """Learn that this node looks after a session now: what others claimed for it and never sent is free.

        Nobody but this node writes the session down any more, so what its record does not know was not sent, and will
        not be.
        """
        if self.log.is_ready:
            claims = self.log.claims.claims
            self._forget_unclaimed(client_id)
            for place, claim in tuple(claims.items()):
                if claim.client_id == client_id:
                    self._settle(place, claim)

    def _forget_unclaimed(self, client_id: str) -> None:
        sessions = self._service.sessions
        unclaimed = sessions.sent_of(client_id, self.name) - self.log.claims.claims.keys()
        sessions.forget_sent(client_id, self.name, unclaimed)

    def _settle(self, place: Place, claim: Claim) -> None:
        sessions = self._service.sessions
        if claim.node == self._hub.node or not claim.client_id or not sessions.looks_after(claim.client_id):
            return
        is_sent = place in sessions.sent_of(claim.client_id, self.name)

        def sure(stored: bool) -> None:
            if not stored or self.log.claims.claims.get(place) is not claim:
                return
            if is_sent:
                self.log.draft.done.append((*place, claim.order))
            else:
                self.log.draft.freed.append(((*place, claim.order), claim.offset))
            self.log.flush()

        # What we believe to look after may be another node's by now: then this fails.
        sessions.make_sure(claim.client_id, sure)

    def _remove(self, client: "MqttClient") -> None:
        was_broken = client in self.members.broken
        self.members.remove(client)
        if not self.members:
            self._stop_taking()
        elif was_broken or not self.members.bring(self._intake.is_before):
            # What the others' answers told of the feed has maybe not brought yet.
            self._intake.resume()

    def _keep(self, client_id: str) -> None:
        if client_id not in self.log.claims.kept or client_id in self.log.draft.ended:
            self.log.draft.keep(client_id)

    def _end(self, client_id: str, sent: Iterable[Place] | None = None) -> None:
        """Say that a client is no member any more; with what it was sent: and that its session is over."""
        draft, is_ready = self.log.draft, self.log.is_ready
        if not is_ready or client_id in self.log.claims.kept or client_id in draft.kept:
            draft.end(client_id)
        if sent is None:
            return
        claims = self.log.claims.claims
        for place in sent:
            claim = claims.get(place)
            if claim is not None or not is_ready:
                # Where it is among the others the log knows.
                draft.done.append((*place, claim.order if claim is not None else 0))
        if not is_ready or any(claim.client_id == client_id for claim in claims.values()):
            # What was claimed for it elsewhere, and is not in its record, was never sent.
            draft.over[client_id] = None

    @property
    def _share(self) -> int:
        return NOTHING if self.is_ending else self.members.share

    def _tell(self) -> None:
        """Tell the others if the group is now more or less to them here than before."""
        share, draft = self._share, self.log.draft
        self._own_share = share
        if share != self._told_share:
            self._told_share = share
            draft.share = share
            if share != NOTHING:
                draft.since = self._intake.begins_at(self.members.begin)
        self.log.flush()

    # --- Messages ----------------------------------------------------------------------------------------------------

    def take(self, client: "MqttClient", publication: Publication, qos: int) -> None:
        """Take a message that a member brings; whichever brings it first, one gets it."""
        if client not in self.members:
            return
        if not publication.offset or not min(qos, self._known_share):
            self._take_plain(publication)
        if publication.offset:
            self._intake.fed(publication)

    def done(self, publication: Publication) -> None:
        """Learn that a message needs no other member any more."""
        place, order = place_in_log(publication), self._intake.order(publication)
        self._mine.pop(place, None)
        if place[2] and not self.log.claims.is_done(place, order):
            self.log.draft.done.append((*place, order))
            self.log.flush_soon()

    def unsent(self, publication: Publication, sent: Sent) -> None:
        """Learn that a message was not sent, if its session does not know it."""
        place = place_in_log(publication)
        claim = self._mine.get(place)
        if claim is not None and claim.client_id and place not in sent.get(self.name, ()):
            self._give_up(place)
            self.log.flush()

    def go_on(self) -> None:
        """Claim what members have room for."""
        if self._is_going:
            self._goes_again = True
            return
        self._is_going = True
        try:
            while True:
                self._goes_again = False
                if self._items.ready and self._can_claim:
                    self._claim()
                self.log.flush()
                if not self._goes_again:
                    break
        finally:
            self._is_going = False
        if self._items.has_much_room:
            # Not for each that goes: messages are read in pages.
            self._intake.go_on()

    def made_room(self, client: "MqttClient") -> None:
        """Learn that a client takes a message now, if it is a member."""
        self.members.made_room(client)
        self.go_on()

    def audit(self) -> None:
        """Claim what nobody does, and find out what did not come."""
        self.log.check()
        if not self.log.is_ready:
            return
        self.members.look_again()
        if self._items.has_room and not self._items.ready:
            # What is in memory others have, and do not get on with.
            self._intake.go_on()
        self._items.audit()
        self._expel()
        self._tell_floor(self._hub.clock.now())
        self.go_on()

    def _expel(self) -> None:
        """Say of nodes that are gone that they are, so that others get what they had."""
        cluster = self._hub.cluster
        for node, present in self.log.claims.nodes.items():
            is_gone = node != self._hub.node and (cluster is None or not cluster.nodes.is_alive(node))
            if is_gone and (node, present.offset) not in self.log.draft.gone:
                self.log.draft.gone.append((node, present.offset))

    def interrupted(self, client: "MqttClient") -> None:
        """Learn that a member follows no more, because the feed may have lost messages; it arrives anew."""
        if client in self.members:
            self.members.broken.add(client)
            self._intake.pause()

    @property
    def _known_share(self) -> int:
        """The highest QoS that any member was granted, as far as it is known."""
        return max(self._own_share, self.log.claims.share)

    @property
    def _can_claim(self) -> bool:
        return self.log.is_ready and not self.is_ending and self._hub.node in self.log.claims.nodes

    # --- QoS 0 -------------------------------------------------------------------------------------------------------

    def _take_plain(self, publication: Publication) -> None:
        """Give a message to a member at once, if this node is to; nobody repeats it."""
        if any(each is publication for each in self._copies):
            return
        self._copies.append(publication)
        order = publication.log
        if publication.offset:
            if order and order <= self._plain_order:
                return
            self._plain_order = order
        if self._can_claim:
            self._give_plain(publication)
        elif len(self._plain) < self._service.options.session_queue_messages:
            # Who else is here is not known yet.
            self._plain.append(publication)

    def _give_plain(self, publication: Publication) -> None:
        if owner_of(identity_of(publication), self.log.claims.nodes) == self._hub.node:
            heir = self.members.next()
            if heir is not None:
                self._send(heir, publication, 0)
        else:
            self._tally.elsewhere += 1

    # --- What comes --------------------------------------------------------------------------------------------------

    def _accept(self, publication: Publication) -> bool:
        """Take a message that is to be claimed; False: there is no room."""
        qos = self._service.qos_of(publication) if self._hub.channels.is_readable(publication.channel) else 0
        if not min(qos, self._known_share):
            return True
        place, order = place_in_log(publication), self._intake.order(publication)
        if self.log.is_ready and self.log.claims.is_done(place, order):
            return True
        is_taken = self._items.take(place, order, publication)
        if self._items.ready:
            self.go_on()
        return is_taken

    # --- Claiming ----------------------------------------------------------------------------------------------------

    def _claim(self) -> None:
        while self._items.ready:
            client = self.members.next_with_room()
            if client is None:
                return
            place, _ = self._items.ready.popitem(last=False)
            item = self._items.all[place]
            assert item.publication is not None
            qos = min(self._service.qos_of(item.publication), self.members.filters[client].qos)
            is_kept = qos == QOS_2 and self._service.sessions.is_kept(client)
            self._asked[place] = client
            if client.outbound is not None:
                client.outbound.window.reserved += 1
            wanted = Wanted((*place, item.order), qos, client.client_id if is_kept else "")
            self.log.draft.claims.append(wanted)

    def _unask(self, place: Place) -> "MqttClient | None":
        """Take back that a member keeps room for a message."""
        client = self._asked.pop(place, None)
        if client is not None and client.outbound is not None:
            client.outbound.window.reserved -= 1
            self.members.made_room(client)
        return client

    def _launch(self, place: Place, claim: Claim, item: Item) -> None:
        """Send what is ours now."""
        client = self._asked.get(place)
        if client is not None and claim.client_id in ("", client.client_id):
            self._unask(place)
        else:
            # Asked for when the log was another one; the one that is asked for since then is still to come.
            client = None
        publication = item.publication
        one = self.members.filters.get(client) if client is not None else None
        qos = min(self._service.qos_of(publication), one.qos) if publication is not None and one is not None else -1
        is_kept = qos == QOS_2 and client is not None and self._service.sessions.is_kept(client)
        is_as_claimed = qos == claim.qos and is_kept == bool(claim.client_id)
        if client is None or publication is None or not is_as_claimed or client.session.is_over or self.is_ending:
            self._mine[place] = claim
            self._give_up(place)
            return
        self._mine[place] = claim
        if claim.client_id:
            client.sent = client.sent or {}
            client.sent.setdefault(self.name, set()).add(place)
        self._send(client, publication, qos)
        if not qos:
            self.done(publication)

    def _send(self, client: "MqttClient", publication: Publication, qos: int) -> None:
        one = self.members.filters[client]
        identifiers = (one.identifier,) if one.identifier else ()
        retain = one.retain_as_published and was_retained(publication)
        client.make_personal().launch(Delivery(publication, qos, retain, identifiers, self.name))

    def _give_up(self, place: Place) -> None:
        """Let others have a message that is ours."""
        claim = self._mine.pop(place, None)
        if claim is not None:
            self._tally.passed_on += 1
            self.log.draft.freed.append(((*place, claim.order), claim.offset))

    # --- What the log says -------------------------------------------------------------------------------------------

    def applied(self, entry: Entry, changes: Changes) -> None:
        """Take what the next entry of the log did."""
        is_own = entry.node == self._hub.node
        claims = self.log.claims.claims
        for place in changes.finished:
            self._finished(place)
        # A place may be freed and claimed in one entry, in either order: what stands in the end is in force.
        for place, order in changes.freed:
            self._freed(place, order)
        for place, claim in changes.won:
            if claims.get(place) is claim:
                self._claimed(place, claim)
            elif is_own:
                self._return_room(self._unask(place))
        if is_own:
            for place in changes.lost:
                self._tally.conflicts += 1
                client = self._unask(place)
                self._items.offer(place)
                self._return_room(client)
        if changes.is_view:
            self._view_changed()
        self.go_on()

    def restored(self) -> None:
        """Look at all messages anew, as the log has them."""
        claims = self.log.claims
        for place in tuple(self._asked):
            # Said in a log that is over, or comes back as one of ours that nobody asked for.
            self._return_room(self._unask(place))
        for place, item in tuple(self._items.all.items()):
            item.claim = None
            if claims.is_done(place, item.order):
                self._finished(place)
        for place, claim in claims.claims.items():
            self._items.claim(place, claim)
            if claim.node == self._hub.node and place not in self._mine:
                self._mine[place] = claim
                self._give_up(place)
            self._settle(place, claim)
        for client, one in self.members.filters.items():
            self._forget_unclaimed(client.client_id)
            if client.expiry_s and one.qos:
                self._keep(client.client_id)
        self._told_share = NOTHING
        self._is_taking = False
        self._expel()
        self._view_changed()
        self._tell()
        self.go_on()

    def _view_changed(self) -> None:
        """Find out anew who claims what, and begin to take messages in where the group is now."""
        present = self.log.claims.nodes.get(self._hub.node)
        if present is None and self._told_share != NOTHING and self.log.draft.share is None:
            # Others took us for gone, or the log is a new one.
            self._told_share = NOTHING
            self._tell()
        if self.members and present is not None and not self._is_taking:
            self._is_taking = True
            for place, item in tuple(self._items.all.items()):
                if self.log.claims.is_done(place, item.order):
                    self._finished(place)
            self._intake.follow(self.log.claims.floor)
        self._items.sort(self.log.claims.nodes, self._asked)
        if self._can_claim:
            plain, self._plain = self._plain, []
            for publication in plain:
                self._give_plain(publication)

    def _stop_taking(self) -> None:
        """Keep only what is somebody's: nobody here gets anything more."""
        self._is_taking = False
        self._intake.stop()
        self._plain.clear()
        self._items.is_wanted = False
        for place, item in tuple(self._items.all.items()):
            if item.claim is None and place not in self._asked:
                self._finished(place)

    def _finished(self, place: Place) -> None:
        item = self._items.pop(place)
        self._mine.pop(place, None)
        if item is not None and item.claim is not None and item.claim.client_id:
            self._service.sessions.forget_sent(item.claim.client_id, self.name, {place})

    def _claimed(self, place: Place, claim: Claim) -> None:
        item = self._items.claim(place, claim)
        if claim.node == self._hub.node:
            self._launch(place, claim, item)
            return
        self._tally.elsewhere += 1
        self._settle(place, claim)

    def _freed(self, place: Place, order: int) -> None:
        self._mine.pop(place, None)
        # Asked for already: the answer tells.
        self._items.free(place, order, is_asked=place in self._asked)

    def _lose(self, place: Place, order: int) -> None:
        """Learn that the log has a message no more."""
        self.log.draft.done.append((*place, order))
        self.log.flush()

    def _return_room(self, client: "MqttClient | None") -> None:
        if client is not None and client.outbound is not None and not client.session.is_over:
            client.outbound.go_on()

    def _tell_floor(self, now: float) -> None:
        """Tell up to where everything is done with, now and then."""
        if self._can_claim and now - self._floor_at >= _FLOOR_S:
            self._floor_at = now
            floor = self._intake.floor(self._items.first, self.log.claims.floor)
            if floor is not None:
                self.log.draft.floor = floor
                self.log.flush_soon()
