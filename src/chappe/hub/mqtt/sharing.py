"""Groups whose members are connected to several nodes: each message goes to a member at one of them.

Every node knows which nodes have members of a group, and finds the owner of each message by itself (`choosing`). The
owner hands it to one of its members; the others keep it until the owner says that it is done with (QoS 1 and 2), and
find a new owner when that one goes, dies, or has no member any more. A node that gets its first member of a group asks
the others what they know before it owns anything, so that nothing comes twice while views differ.

Messages between nodes may be lost: every few seconds nodes tell again which groups they have, and ask the owners after
what is overdue.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from chappe.hub.cluster.bus import Tell
from chappe.hub.contracts import Read, Timer
from chappe.hub.mqtt.choosing import Place, identity_at, identity_of, owner_of, place_in_log
from chappe.hub.mqtt.endings import Endings
from chappe.hub.mqtt.kinds import QOS_2
from chappe.hub.mqtt.ledger import Entry
from chappe.hub.mqtt.records import Record
from chappe.hub.mqtt.seen import Seen
from chappe.hub.mqtt.shares import (
    DONE,
    ENDED,
    GIVE,
    JOIN,
    NOTHING,
    ONLY_AWAY,
    SHARES,
    Alone,
    Ended,
    Given,
    Known,
    Shares,
    parts_of,
)
from chappe.model.position import Position
from chappe.model.publication import Publication
from chappe.protocols.base import SincePosition

if TYPE_CHECKING:
    from chappe.hub.cluster import Cluster
    from chappe.hub.contracts import ReadResult
    from chappe.hub.mqtt.groups import Group, Groups
    from chappe.hub.mqtt.service import MqttService
    from chappe.protocols.mqtt.window import Delivery

#: After so many seconds a new node has heard who else is there: an engine answers in milliseconds.
NEWCOMER_S: Final = 1.0
#: How often nodes tell what they have again, and ask after what is overdue, seconds.
AUDIT_S: Final = 5.0
#: What is done with is told together, so often, seconds, or when there is so much of it.
_DONE_S: Final = 0.05
_DONE_AT_ONCE: Final = 500


class Sharing(Alone):
    """The same where other nodes have members too.

    Attributes:
        elsewhere: messages left to members at other nodes.
        taken_over: messages whose node did not come to it, and that a member here got.
        lost: those that the log had no more when they were to be taken over.
    """

    def __init__(self, service: "MqttService", groups: "Groups", cluster: "Cluster") -> None:
        self._service = service
        self._groups = groups
        self._hub = service.hub
        self._bus = bus = cluster.bus
        self._nodes = cluster.nodes
        self._node = service.hub.node
        self._shares: dict[str, dict[str, int]] = {}
        self._told: dict[str, int] = {}
        self._done: dict[str, list[Place]] = {}
        self._done_timer: Timer | None = None
        self._done_at_once = self._is_stopped = False
        self._audit_timer: Timer | None = None
        self._endings = Endings(bus, cluster.nodes, service.hub.clock)
        self.elsewhere = self.taken_over = self.lost = 0
        self._forgotten = 0
        bus.on(JOIN, self._joined, tuple[str, int])
        bus.on(SHARES, self._have, Shares)
        bus.on(DONE, self._are_done, dict[str, list[Place]])
        bus.on(GIVE, self._given, Given)
        bus.on(ENDED, self._have_ended, Ended)
        cluster.nodes.on_join.append(self._tell_all)
        cluster.nodes.on_gone.append(self._gone)
        cluster.nodes.on_return.append(self._begin_again)
        cluster.on_interrupted.append(self._begin_again)

    def metrics(self) -> dict[str, float]:
        """Return what is counted here, by name of the metric."""
        ledgers = [group.ledger for group in self._groups.all()]
        return {
            "chappe_mqtt_group_elsewhere_total": self.elsewhere,
            "chappe_mqtt_group_taken_over_total": self.taken_over,
            "chappe_mqtt_group_lost_total": self.lost,
            "chappe_mqtt_group_forgotten_total": self._forgotten + sum(each.forgotten for each in ledgers),
            "chappe_mqtt_group_awaited": sum(map(len, ledgers)),
        }

    def stop(self) -> None:
        """Tell nothing more."""
        for timer in (self._done_timer, self._audit_timer):
            if timer is not None:
                timer.cancel()
        self._is_stopped = True

    # --- What happens here -------------------------------------------------------------------------------------------

    def has_others(self, name: str) -> bool:
        """Whether a member is connected to another node."""
        return any(share >= 0 for share in self._shares.get(name, {}).values())

    def begin(self, group: "Group") -> None:
        """Ask the others what they know of a group that has its first member here; what comes meanwhile waits."""
        held = group.held = list(group.held or ())
        before: dict[str, int] = {}
        left_s = NEWCOMER_S - self._nodes.known_s

        def ask() -> None:
            if group.held is held and (group.ask_now is ask or left_s <= 0):
                group.ask_now = None
                group.done_meanwhile.clear()
                before.update(self._shares.get(group.name, {}))
                question = group.name, group.share
                self._told[group.name] = group.share
                self._bus.ask(JOIN, question, self._nodes.others, lambda answers: answered(answers), of=Known)

        def answered(answers: dict[str, Known]) -> None:
            if group.held is held:
                self._settle(group, answers, before)

        self._audit_soon()
        group.ask_now = None
        if left_s > 0:
            group.ask_now = ask
            self._hub.clock.call_later(left_s, ask)
        else:
            ask()

    def changed(self, group: "Group") -> None:
        """Tell the others if a group is now more or less to them than before."""
        share = group.share
        if self._told.get(group.name, NOTHING) != share and not (group.held is not None and share >= 0):
            self._told[group.name] = share
            self._bus.tell(SHARES, Shares({group.name: share}, {}))
            self._audit_soon()

    def is_over(self, group: "Group") -> bool:
        """Tell the others that nothing is left of a group here; return whether nobody else has it."""
        self._forgotten += group.ledger.forgotten
        if self._told.pop(group.name, None) is not None:
            self._bus.tell(SHARES, Shares({group.name: NOTHING}, {}))
        return group.name not in self._shares

    def is_ours(self, group: "Group", publication: Publication, qos: int) -> bool:
        """Tell whether a message that came is for a member here and now; else it is kept, or not needed here."""
        if self._holds(group, publication, qos):
            return False
        shares = self._shares.get(group.name)
        if not shares:
            return True
        owner = self._owner(group, identity_of(publication))
        if owner == self._node:
            return True
        self.elsewhere += 1
        if publication.offset and min(qos, shares[owner]) > 0:
            self._keep(group, place_in_log(publication), owner, qos, publication)
        return False

    def finished(self, name: str, place: Place, *, at_once: bool = False) -> None:
        """Tell the others, soon, that a message needs no other member; `at_once`: in this turn of the event loop."""
        if not place[2] or not self.has_others(name):
            return
        places = self._done.setdefault(name, [])
        places.append(place)
        if len(places) >= _DONE_AT_ONCE:
            self._tell_done()
        elif at_once and not self._done_at_once:
            self._done_at_once = True
            self._hub.clock.call_later(0, self._tell_done)
        elif self._done_timer is None:
            self._done_timer = self._hub.clock.call_later(_DONE_S, self._tell_done)

    def ended(self, group: "Group", left: "Iterable[Delivery]", place: SincePosition | None) -> None:
        """Leave a group to the members at other nodes, with what those here did not acknowledge."""
        held, group.held = group.held or [], None
        places = [place_in_log(each.publication) for each in left if each.publication.offset]
        waiting = [place_in_log(publication) for publication, qos in held if qos and publication.offset]
        waiting += group.ledger.entries
        self._tell_done()
        for each in (*places, *waiting):
            # Whether the others come to it is not known here.
            group.seen.remove(each)
        group.ledger.clear()
        group.seen.pause()
        self._endings.note(group.name, place)
        self._told[group.name] = ONLY_AWAY
        for part in parts_of(places)[:-1]:
            self._bus.tell(ENDED, Ended(group.name, part, [], None))
        for part in parts_of(waiting):
            self._bus.tell(ENDED, Ended(group.name, [], part, None))
        self._bus.tell(ENDED, Ended(group.name, (parts_of(places) or [[]])[-1], [], place))

    def give(self, name: str, places: list[Place]) -> None:
        """Let members at other nodes have what nobody here can."""
        nodes = [node for node, share in self._shares.get(name, {}).items() if share >= 0]
        by_owner: dict[str, list[Place]] = {}
        for place in places:
            if place[2] and nodes:
                by_owner.setdefault(owner_of(identity_at(place), nodes), []).append(place)
        self._tell_owners(name, by_owner, is_certain=True)

    def _holds(self, group: "Group", publication: Publication, qos: int) -> bool:
        """Let a message wait while the others are asked; False: they are not, or there is no room."""
        held, most = group.held, self._service.options.session_queue_messages
        if held is None:
            return False
        if group.ask_now is not None and len(held) >= most:
            group.ask_now()
            return self._holds(group, publication, qos)
        # What finds no room may come twice rather than not at all.
        if len(held) >= 2 * most:
            return False
        held.append((publication, qos))
        return True

    # --- Owners ------------------------------------------------------------------------------------------------------

    def _owner(self, group: "Group", identity: str) -> str:
        nodes = [node for node, share in self._shares.get(group.name, {}).items() if share >= 0]
        if not nodes:
            return self._node
        if group.members and not group.is_ending:
            nodes.append(self._node)
        return owner_of(identity, nodes)

    def _keep(self, group: "Group", place: Place, owner: str, qos: int, publication: Publication | None) -> None:
        group.ledger.put(place, Entry(owner, qos, self._hub.clock.now(), publication))

    def _settle(self, group: "Group", answers: dict[str, Known], before: dict[str, int]) -> None:
        """Go on where the others are; `before`: what was known of them when they were asked."""
        known, owners = Seen(), dict[Place, str]()
        silent = {node for node, share in self._shares.get(group.name, {}).items() if share >= 0} - set(answers)
        group.unheard = silent
        for node, told in answers.items():
            if self._shares.get(group.name, {}).get(node) == before.get(node):
                self._set(group.name, node, told.share)
            known.merge(told.done)
            if told.share >= 0:
                owners.update(dict.fromkeys(told.mine, node))
        for place in group.done_meanwhile:
            known.add(place)
            owners.pop(place, None)
        for place, node in owners.items():
            if place not in group.ledger.entries:
                group.seen.add(place)
                self._keep(group, place, node, QOS_2, None)
        self._settle_held(group, known, owners)
        group.seen.merge(told for node in answers.values() for told in node.done)
        self.changed(group)
        for client in group.members:
            # Up to where the group is served is known only now.
            self._service.sessions.save(client, lambda stored: None)

    def _settle_held(self, group: "Group", known: Seen, owners: dict[Place, str]) -> None:
        """Give what was held to whom it is for: what is `known` to nobody, what `owners` have to them."""
        held, group.held = group.held or [], None
        for publication, qos in held:
            place = place_in_log(publication)
            if place in owners:
                self._keep(group, place, owners[place], qos, publication)
            elif (not place[2] or place not in known) and self.is_ours(group, publication, qos):
                self._groups.assign(group, publication, qos)
        for place in [each for each in group.ledger.entries if each in known]:
            group.ledger.pop(place)
        # Who came later than a message may not have it.
        given: dict[str, list[Place]] = {}
        for place in (place_in_log(publication) for publication, _ in held):
            if place not in owners and place in group.ledger.entries:
                given.setdefault(group.ledger.entries[place].owner, []).append(place)
        self._tell_owners(group.name, given)

    def _find_owners(self, group: "Group", former: str, past: frozenset[Place] = frozenset()) -> None:
        """Find new owners for what a node was to send on; `past`: what is its members' for good."""
        if not group.members:
            return
        given: dict[str, list[Place]] = {}
        for place in group.ledger.of(former):
            entry = group.ledger.entries[place]
            owner = self._owner(group, identity_at(place))
            if place in past:
                group.ledger.pop(place)
            elif owner == self._node:
                group.ledger.pop(place)
                self._take_over(group, place, entry)
            else:
                entry.owner = owner
                given.setdefault(owner, []).append(place)
        self._tell_owners(group.name, given)

    def _tell_owners(self, name: str, given: dict[str, list[Place]], *, is_certain: bool = False) -> None:
        for owner, places in given.items():
            for part in parts_of(places):
                self._bus.tell(GIVE, Given(name, part, is_certain), owner)

    def _take_over(self, group: "Group", place: Place, entry: Entry) -> None:
        if entry.publication is not None:
            self.taken_over += 1
            self._groups.assign(group, entry.publication, entry.qos)
            return
        channel, epoch, offset = place

        def found(result: "ReadResult") -> None:
            publication = next((each for each in result.publications if each.offset == offset), None)
            if result.error and group.members:
                # Asked for again at the next audit.
                self._keep(group, place, self._node, entry.qos, None)
            elif publication is None or publication.epoch != epoch:
                self.lost += 1
            elif self.is_ours(group, publication, self._service.qos_of(publication)):
                self.taken_over += 1
                self._groups.assign(group, publication, self._service.qos_of(publication))

        namespace = self._hub.namespaces.of(channel)
        self._hub.broker.read(Read(channel, namespace, Position(epoch, offset - 1), 1), found)

    # --- What others tell --------------------------------------------------------------------------------------------

    def _joined(self, sender: str, body: tuple[str, int], answer: Tell) -> None:
        name, share = body
        self._set(name, sender, share)
        self._groups.places.pop(name, None)
        group = self._groups.get(name)
        if group is None:
            answer(Known(NOTHING, [], []))
            return
        mine = [place_in_log(each.publication) for each in group.underway() if each.publication.offset]
        # As it was told: who is still asking itself sends nothing on yet.
        share = self._told.get(name, NOTHING)
        answer(Known(share, mine, group.seen.without(group.unfinished())))

    def _have(self, sender: str, body: Shares, answer: Tell) -> None:
        self._endings.heard(sender)
        if body.is_whole:
            for name in [name for name, nodes in self._shares.items() if sender in nodes and name not in body.shares]:
                self._set(name, sender, NOTHING)
        for name, share in body.shares.items():
            self._set(name, sender, share)
        for name, place in body.places.items():
            group = self._groups.get(name)
            if not self.has_others(name) and (group is None or not group.members):
                self._groups.keep_place(name, place)

    def _set(self, name: str, node: str, share: int) -> None:
        """Know what a group is to another node; what that one does not send on any more has new owners."""
        nodes = self._shares.setdefault(name, {})
        former = nodes.get(node, NOTHING)
        if share == NOTHING:
            nodes.pop(node, None)
        else:
            nodes[node] = share
        group = self._groups.get(name)
        if not nodes:
            del self._shares[name]
            if group is None:
                self._groups.places.pop(name, None)
        if former >= 0 > share and group is not None:
            self._find_owners(group, node)

    def _are_done(self, sender: str, body: dict[str, list[Place]], answer: Tell) -> None:
        for name, places in body.items():
            group = self._groups.get(name)
            if group is None:
                continue
            for place in places:
                group.seen.add(place)
                group.ledger.pop(place)
                if group.held is not None:
                    group.done_meanwhile.add(place)

    def _given(self, sender: str, body: Given, answer: Tell) -> None:
        """Take what another node takes for ours, unless it is known; what is done with it is told again."""
        group = self._groups.get(body.name)
        if group is None or not group.members:
            share = group.share if group is not None else NOTHING
            self._bus.tell(SHARES, Shares({body.name: share}, {}), sender)
            return
        unfinished = group.unfinished()
        done = []
        for place in body.places:
            is_new = group.seen.add(place)
            if place in unfinished:
                continue
            if is_new or body.is_certain:
                self._take_over(group, place, Entry(self._node, QOS_2, 0.0))
            else:
                done.append(place)
        if done:
            self._bus.tell(DONE, {body.name: done}, sender)

    def _have_ended(self, sender: str, body: Ended, answer: Tell) -> None:
        group = self._groups.get(body.name)
        if group is not None and group.members:
            unfinished = group.unfinished()
            for place in body.left:
                group.seen.add(place)
                if place not in unfinished:
                    self._keep(group, place, sender, QOS_2, None)
            for place in body.held:
                if group.seen.add(place):
                    self._keep(group, place, sender, QOS_2, None)
        former = self._shares.get(body.name, {}).get(sender, NOTHING)
        self._set(body.name, sender, ONLY_AWAY)
        if group is not None and former < 0:
            self._find_owners(group, sender)
        if body.place is None or self.has_others(body.name):
            self._endings.note(body.name, body.place)
        elif group is not None and group.members:
            # It may not have known of us: nobody has what came in between.
            self._groups.catch_up(group, body.place)
        else:
            self._groups.keep_place(body.name, self._endings.place_of(body.name, body.place))

    # --- Nodes -------------------------------------------------------------------------------------------------------

    def _tell_all(self, node: str | None = None) -> None:
        """Tell a node, or all, which groups are here."""
        places = {name: place for name, place in self._groups.places.items() if not self.has_others(name)}
        self._bus.tell(SHARES, Shares(dict(self._told), places if node is not None else {}, True), node)

    def _gone(self, node: str) -> None:
        """Let others send on what a node that is gone was to; what its members have of QoS 2 stays theirs."""
        for nodes in self._shares.values():
            nodes.pop(node, None)
        self._shares = {name: nodes for name, nodes in self._shares.items() if nodes}
        groups = [group for group in self._groups.all() if node in group.unheard or group.ledger.of(node)]

        def found(records: list[Record]) -> None:
            self.learn_places(records, node)
            places = self._endings.last_of(node)
            underway = [each for record in records for each in record.underway if each.qos == QOS_2]
            for group in groups:
                kept = {each.place for each in underway if each.group == group.name}
                self._find_owners(group, node, frozenset(kept))
                if node in group.unheard and group.members and group.name in places:
                    # It died before the first member came here: nobody has what was published in between.
                    for place in kept:
                        group.seen.add(place)
                    self._groups.catch_up(group, places[group.name])
                group.unheard.discard(node)

        if groups:
            self._service.sessions.read_all(found)

    def learn_places(self, records: list[Record], node: str | None = None) -> None:
        """Learn up to where nodes that are gone had served groups."""
        self._endings.learn(records, node)

    def _begin_again(self) -> None:
        """Ask again what others know: they may have taken this node for gone, or its feed was interrupted."""
        for group in self._groups.all():
            group.seen.pause()
            if group.members:
                self.begin(group)

    def _tell_done(self) -> None:
        if self._done_timer is not None:
            self._done_timer.cancel()
            self._done_timer = None
        self._done_at_once = False
        done, self._done = self._done, {}
        if done:
            self._bus.tell(DONE, done)

    def _audit_soon(self) -> None:
        if self._audit_timer is None and not self._is_stopped:
            self._audit_timer = self._hub.clock.call_later(AUDIT_S, self._audit)

    def _audit(self) -> None:
        """Tell again what is here, and ask the owners after what is overdue."""
        self._audit_timer = None
        self._tell_all()
        overdue = self._hub.clock.now() - AUDIT_S
        for group in self._groups.all():
            connected = {node for node, share in self._shares.get(group.name, {}).items() if share >= 0}
            for owner in {entry.owner for entry in group.ledger.entries.values()} - connected:
                self._find_owners(group, owner)
            given: dict[str, list[Place]] = {}
            for place, entry in group.ledger.entries.items():
                if entry.since <= overdue:
                    entry.since = self._hub.clock.now()
                    given.setdefault(entry.owner, []).append(place)
            self._tell_owners(group.name, given)
        if self._groups.all():
            self._audit_soon()
