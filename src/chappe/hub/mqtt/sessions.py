"""Sessions of MQTT clients: who has which client id, what outlives connections, and wills that wait."""

import math
from collections.abc import Callable, Set
from typing import TYPE_CHECKING, Any, Final

from chappe.hub.mqtt.adoption import Adoption
from chappe.hub.mqtt.away import Away, PendingWill, Sent, away_of, end_of, will_command
from chappe.hub.mqtt.choosing import Place
from chappe.hub.mqtt.keeping import Checkpoints, Keeping, Written
from chappe.hub.mqtt.records import (
    Placed,
    Record,
    underway_of,
    will_of,
)
from chappe.hub.permissions import Actor
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.protocols.mqtt.packets import NEVER_EXPIRES

if TYPE_CHECKING:
    from chappe.hub.mqtt.client import MqttClient
    from chappe.hub.mqtt.service import MqttService

#: How long another node may take to let a client go, seconds.
_TAKE_S: Final = 5.0
#: After so many seconds a node knows which others there are.
_KNOWN_S: Final = 12.0
_TAKE, _CAME, _NEEDS = "mqtt.take", "mqtt.came", "mqtt.needs"


class Sessions:
    """The sessions of one node.

    Attributes:
        live: connected clients by id.
        away: sessions without a connection that this node looks after, by client id.
        wills: those that wait, by client id.
        expired, taken_over, wills_sent: counted.
    """

    def __init__(self, service: "MqttService") -> None:
        self._service = service
        self._hub = hub = service.hub
        self.live: dict[str, MqttClient] = {}
        self.away: dict[str, Away] = {}
        self.wills: dict[str, PendingWill] = {}
        self.expired = self.taken_over = self.wills_sent = 0
        self._keeping = Keeping(hub) if hub.broker.durable or hub.broker.shared else None
        self._checkpoints = Checkpoints(hub, service.options.checkpoint_s, self._save_client)
        if self._keeping is not None:
            self._keeping.on_lost = self._lose
            self._adoption = Adoption(service, self, self._keeping)
        self._cluster = hub.cluster
        if self._cluster is not None:
            self._cluster.bus.on(_TAKE, self._asked_to_give, str)
            self._cluster.bus.on(_CAME, self._came_elsewhere, list[str])
            self._cluster.bus.on(_NEEDS, self._needed_elsewhere, dict[str, list[str]])
            self._cluster.nodes.on_gone.append(lambda node: self._adoption.adopt_all())
            self._cluster.nodes.on_join.append(self._tell_needs)
            self._cluster.nodes.on_return.append(self._returned)

    def start(self, done: Callable[[], None]) -> None:
        """Take the sessions up that were written down and that nobody looks after; `done` is called then."""
        if self._keeping is None:
            done()
        elif self._cluster is not None:
            # Who else is here is not known yet.
            self._hub.clock.call_later(_KNOWN_S, self._adoption.adopt_all)
            done()
        else:
            self._adoption.adopt_all(done)

    def metrics(self) -> dict[str, float]:
        """Return what is counted here, by name of the metric."""
        return {
            "chappe_mqtt_clients": len(self.live),
            "chappe_mqtt_sessions_away": len(self.away),
            "chappe_mqtt_sessions_expired_total": self.expired,
            "chappe_mqtt_sessions_adopted_total": self._adoption.adopted if self._keeping is not None else 0,
            "chappe_mqtt_taken_over_total": self.taken_over,
            "chappe_mqtt_wills_sent_total": self.wills_sent,
            **(self._keeping.metrics() if self._keeping is not None else {}),
        }

    # --- Coming ------------------------------------------------------------------------------------------------------

    def arrive(self, client: "MqttClient", done: Callable[[ChappeError | None], None]) -> None:
        """Let a client have its id: the connection that has it ends, if it is the same one's."""
        former = self.live.get(client.client_id)
        holder = former or self.away.get(client.client_id)
        if holder is not None and holder.principal != client.principal:
            done(_not_yours())
            return
        if former is not None:
            self.taken_over += 1
            former.session.close(Code.STALE, "another connection has this client id")
        if self._cluster is None or self._keeping is None:
            done(None)
        elif holder is None:
            self._look_elsewhere(client, done)
        elif client.client_id in self.away:
            self._hold_on(client, done)
        else:
            done(None)

    def make_sure(self, client_id: str, done: Written) -> None:
        """Find out whether this node, and no other, looks after a session that it takes for its own."""
        assert self._keeping is not None
        if self.looks_after(client_id):
            self._keeping.save(client_id, lambda: self._record_now(client_id), done)
        else:
            done(False)

    def _hold_on(self, client: "MqttClient", done: Callable[[ChappeError | None], None]) -> None:
        """Make sure that no other node took over what is left of a client's session here."""

        def written(stored: bool) -> None:
            if stored:
                done(None)
            elif client.client_id in self.away or client.session.is_over:
                done(ChappeError(Code.NOT_AVAILABLE))
            else:
                self._look_elsewhere(client, done)

        self.make_sure(client.client_id, written)

    def settle(self, client: "MqttClient", *, clean: bool) -> Away | None:
        """Give an open client its id, and return what is left of its earlier session if it wants that."""
        former = self.live.get(client.client_id)
        if former is not None and former is not client:
            # Both were asked who they are at the same time.
            former.session.close(Code.STALE, "another connection has this client id")
        self.live[client.client_id] = client
        away = self.away.pop(client.client_id, None)
        will = self.wills.pop(client.client_id, None)
        for pending in (away, will):
            if pending is not None and pending.timer is not None:
                pending.timer.cancel()
        if not clean and away is not None:
            if not client.expiry_s:
                # It ends with this connection now: no restart may find it again.
                self._write_off(client.client_id)
            return away
        if away is not None:
            self._service.groups.forget(away)
            self.need(client.client_id, ())
            if not client.expiry_s:
                self._write_off(client.client_id)
        if will is not None:
            # Its session ended by this (MQTT 5, 3.1.3.2.2).
            self._say(client.client_id, will)
        self._save_client(client)
        return None

    def _look_elsewhere(self, client: "MqttClient", done: Callable[[ChappeError | None], None]) -> None:
        """Find out whether another node has the client or its session, and let it come here."""
        cluster, keeping = self._cluster, self._keeping
        assert cluster is not None
        assert keeping is not None

        def found(record: Record | None, answered: bool) -> None:
            if not answered:
                done(ChappeError(Code.NOT_AVAILABLE))
            elif record is None:
                cluster.bus.tell(_CAME, [client.client_id, client.principal])
                done(None)
            elif record.principal != client.principal:
                done(_not_yours())
            elif record.node in cluster.nodes.others:
                self.taken_over += 1
                cluster.bus.ask(
                    _TAKE, client.client_id, (record.node,), lambda answers: self._fetch(client, done), _TAKE_S
                )
            else:
                self._adoption.adopt(record, adopted)

        def adopted(stored: bool) -> None:
            done(None if stored else ChappeError(Code.NOT_AVAILABLE))

        keeping.read(client.client_id, found)

    def _fetch(self, client: "MqttClient", done: Callable[[ChappeError | None], None]) -> None:
        assert self._keeping is not None

        def found(record: Record | None, answered: bool) -> None:
            if not answered:
                done(ChappeError(Code.NOT_AVAILABLE))
            elif record is None or client.session.is_over:
                done(None)
            else:
                self._adoption.adopt(record, lambda stored: done(None if stored else ChappeError(Code.NOT_AVAILABLE)))

        self._keeping.read(client.client_id, found)

    # --- Going -------------------------------------------------------------------------------------------------------

    def leave(self, client: "MqttClient") -> None:
        """Keep what outlives a connection that ends, and say its will or let it wait."""
        client_id, clock = client.client_id, self._hub.clock
        is_own = self.live.get(client_id) is client
        if is_own:
            del self.live[client_id]
        will, client.will = client.will, None
        pending = delay_s = None
        if will is not None:
            pending = PendingWill(will_command(will, clock.wall_ms()), client.session, client.session.actor.claims)
            delay_s = min(will.properties.will_delay_s or 0, client.expiry_s)
        if not is_own or not client.expiry_s:
            if is_own:
                self.need(client_id, ())
                if self._keeping is not None:
                    self._keeping.forget(client_id)
            if pending is not None:
                self._say(client_id, pending)
            return
        away = away_of(client, end_of(client.expiry_s, clock.now()))
        self.hold(away, pending if delay_s else None, float(delay_s or 0))
        self.save_away(away)
        if pending is not None and not delay_s:
            self._say(client_id, pending)

    def hold(self, away: Away, will: PendingWill | None, will_s: float) -> None:
        """Look after a session without a connection."""
        clock, client_id = self._hub.clock, away.client_id
        self.away[client_id] = away
        self.need(client_id, [one for one, _ in away.filters])
        if away.expires_at < math.inf:
            away.timer = clock.call_later(max(0.0, away.expires_at - clock.now()), lambda: self._expire(away))
        if will is not None:
            will.due_ms = clock.wall_ms() + int(will_s * 1_000)
            self.wills[client_id] = will
            will.timer = clock.call_later(will_s, lambda: self._will_is_due(client_id, will))

    def _expire(self, away: Away) -> None:
        if self.away.get(away.client_id) is not away:
            return
        self.expired += 1
        self._service.groups.forget(away)
        self.need(away.client_id, ())
        del self.away[away.client_id]
        will = self.wills.pop(away.client_id, None)
        self._write_off(away.client_id)
        if will is not None:
            self._say(away.client_id, will)

    def _will_is_due(self, client_id: str, pending: PendingWill) -> None:
        if self.wills.get(client_id) is pending:
            del self.wills[client_id]
            self._say(client_id, pending)
            away = self.away.get(client_id)
            if away is not None:
                self.save_away(away)

    def _say(self, client_id: str, pending: PendingWill) -> None:
        """Publish a will, with the rights of its client; what it may not say is not said."""
        if pending.timer is not None:
            pending.timer.cancel()
        self.wills_sent += 1
        try:
            if pending.session is not None:
                self._hub.publishing.publish(pending.session, pending.command)
            else:
                self._hub.publish(Actor(pending.claims), pending.command, lambda outcome, error: None)
        except ChappeError as error:
            self._hub.log("INFO", "the will of client %s was refused: %s", client_id, error.reason)

    def stays(self, client: "MqttClient") -> bool:
        """Whether the session of a client outlives its connection, here or where another node took it over."""
        return client.expiry_s > 0 and self.live.get(client.client_id, client) is client

    # --- Written down ------------------------------------------------------------------------------------------------

    def is_kept(self, client: "MqttClient") -> bool:
        """Whether what happens to a client's session is written down."""
        return self._keeping is not None and client.expiry_s > 0

    def waits_for_record(self, client: "MqttClient") -> bool:
        """Whether what is published now may be stored before what is written down now."""
        return self._hub.broker.shared or (self._keeping is not None and self._keeping.is_writing(client.client_id))

    def save(self, client: "MqttClient", done: Written) -> None:
        """Write the session of a connected client down; without a place to write to it is done at once."""
        if self._keeping is None or not client.expiry_s:
            done(True)
            return
        self._keeping.save(client.client_id, lambda: self._record_now(client.client_id), done)

    def save_soon(self, client: "MqttClient") -> None:
        """Write the place of a connected client down some time."""
        if self._keeping is not None and client.expiry_s:
            self._checkpoints.note(client)

    def changed(self, client: "MqttClient", then: Callable[[], None]) -> None:
        """Keep what the filters of a client need, and go on when they are written down."""
        if client.expiry_s:
            self.need(client.client_id, client.filters.all())
        self.save(client, lambda stored: then() if stored else client.session.close(Code.INSUFFICIENT_STATE))

    def _save_client(self, client: "MqttClient") -> None:
        if self._keeping is not None and client.expiry_s and self.live.get(client.client_id) is client:
            self._keeping.save(client.client_id, lambda: self._record_now(client.client_id))

    def save_away(self, away: Away) -> None:
        """Write a session without a connection down."""
        if self._keeping is not None:

            def saved(stored: bool) -> None:
                if stored:
                    self._service.groups.settled(away.flights)

            self._keeping.save(away.client_id, lambda: self._record_now(away.client_id), saved)

    def ends_with_connection(self, client: "MqttClient") -> None:
        """Learn that a session that was kept is not to outlive its connection (MQTT 5, 3.14.2.2.2)."""
        client.expiry_s = 0
        self._write_off(client.client_id)

    def _write_off(self, client_id: str) -> None:
        if self._keeping is not None:
            self._keeping.save(client_id, lambda: self._record_now(client_id))

    def _record_now(self, client_id: str) -> Record | None:
        """Return what is to be known of a client id now; None: nothing."""
        client = self.live.get(client_id)
        if client is not None and client.expiry_s:
            return self._record_of(client)
        away = self.away.get(client_id)
        return self._record_of_away(away) if away is not None else None

    def _record_of(self, client: "MqttClient") -> Record:
        now_ms = self._hub.clock.wall_ms()
        away = away_of(client, math.inf)
        will = client.will
        command = will_command(will, now_ms) if will is not None else None
        delay_s = min(will.properties.will_delay_s or 0, client.expiry_s) if will is not None else 0
        return Record(
            client.client_id,
            client.principal,
            self._hub.node,
            True,
            client.expiry_s,
            0,
            tuple(Placed(one, since) for one, since in away.filters),
            underway_of(away.flights, away.waiting),
            dict(away.taken),
            will_of(command, client.session.actor.claims, delay_s, 0) if command is not None else None,
            away.former,
            away.sent,
        )

    def _record_of_away(self, away: Away) -> Record:
        clock, will = self._hub.clock, self.wills.get(away.client_id)
        expires_ms = 0
        if away.expires_at < math.inf:
            expires_ms = clock.wall_ms() + int((away.expires_at - clock.now()) * 1_000)
        return Record(
            away.client_id,
            away.principal,
            self._hub.node,
            False,
            NEVER_EXPIRES if not expires_ms else max(1, int(away.expires_at - clock.now())),
            expires_ms,
            tuple(Placed(one, since) for one, since in away.filters),
            underway_of(away.flights, away.waiting),
            dict(away.taken),
            will_of(will.command, will.claims, 0, will.due_ms) if will is not None else None,
            away.former,
            away.sent,
        )

    def looks_after(self, client_id: str) -> bool:
        """Whether a session is connected here, or this node has what is left of it."""
        client = self.live.get(client_id)
        return client_id in self.away or (client is not None and client.expiry_s > 0)

    def sent_of(self, client_id: str, group: str) -> Set[Place]:
        """Return what a group claimed for a session here that it was sent with QoS 2."""
        return self._sent(client_id).get(group, frozenset())

    def forget_sent(self, client_id: str, group: str, places: Set[Place]) -> None:
        """Learn which of that the log of the group has no more."""
        sent = self._sent(client_id)
        if group in sent:
            sent[group] -= places
            if not sent[group]:
                del sent[group]

    def _sent(self, client_id: str) -> Sent:
        client, away = self.live.get(client_id), self.away.get(client_id)
        return (away.sent if away is not None else client.sent if client is not None else None) or {}

    # --- Lost -------------------------------------------------------------------------------------------------------

    def _lose(self, client_id: str, record: Record) -> None:
        """Let go of a session that another node took over, because it took this one for gone."""
        client, away, will = self.live.get(client_id), self.away.pop(client_id, None), self.wills.pop(client_id, None)
        for pending in (away, will):
            if pending is not None and pending.timer is not None:
                pending.timer.cancel()
        if away is not None:
            self._service.groups.unsent(away.flights, record.sent)
        if client is not None:
            del self.live[client_id]
            client.will = None
            if client.outbound is not None:
                self._service.groups.unsent(client.outbound.window.flights.values(), record.sent)
            client.session.close(Code.STALE, "another node has the session of this client id")

    def _returned(self) -> None:
        """Find out which sessions other nodes took over while they took this one for gone."""
        for client in tuple(self.live.values()):
            self._save_client(client)
        for away in tuple(self.away.values()):
            self.save_away(away)

    # --- Other nodes -------------------------------------------------------------------------------------------------

    def _asked_to_give(self, sender: str, body: str, answer: Callable[[Any], None]) -> None:
        """Let a client go to another node: what is left of it stands in its record then."""
        assert self._keeping is not None
        client = self.live.get(body)
        if client is not None:
            client.session.close(Code.STALE, "another connection has this client id")
        away = self.away.get(body)
        if away is None:
            answer(False)
            return

        def given(stored: bool) -> None:
            assert self._keeping is not None
            if not stored:
                # Whoever asked goes on from what was written last; then this finds out.
                self._hub.clock.call_later(_TAKE_S, lambda: self.make_sure(body, lambda stored: None))
            elif self.away.get(body) is away:
                self._keeping.let_go(body)
                del self.away[body]
                will = self.wills.pop(body, None)
                for pending in (away, will):
                    if pending is not None and pending.timer is not None:
                        pending.timer.cancel()
            answer(stored)

        self._keeping.save(body, lambda: self._record_now(body), given)

    def _came_elsewhere(self, sender: str, body: list[str], answer: Callable[[Any], None]) -> None:
        client = self.live.get(body[0]) if len(body) == 2 else None
        if client is not None and client.principal == body[1]:
            self.taken_over += 1
            client.session.close(Code.STALE, "another connection has this client id")

    def need(self, client_id: str, filters: Any, *, told: bool = True) -> None:
        """Keep what a session needs, here and on the other nodes."""
        changed = self._service.retention.need(client_id, filters)
        if changed and told and self._cluster is not None:
            self._cluster.bus.tell(_NEEDS, {client_id: sorted(self._service.retention.needs_of(client_id))})

    def _needed_elsewhere(self, sender: str, body: dict[str, list[str]], answer: Callable[[Any], None]) -> None:
        for client_id, patterns in body.items():
            self._service.retention.need_patterns(client_id, patterns)

    def _tell_needs(self, node: str) -> None:
        """Tell a node that came what the sessions of this one need."""
        assert self._cluster is not None
        retention = self._service.retention
        needs = {each: sorted(retention.needs_of(each)) for each in (*self.live, *self.away)}
        found = {client_id: patterns for client_id, patterns in needs.items() if patterns}
        if found:
            self._cluster.bus.tell(_NEEDS, found, node)


def _not_yours() -> ChappeError:
    return ChappeError(Code.CONFLICT, "the client id is another's")
