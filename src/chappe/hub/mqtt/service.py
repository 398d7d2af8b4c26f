"""All MQTT clients of a hub: who has which id, what outlives connections, wills, and what is counted."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from chappe.hub.contracts import Link, Read, ReadLog, ReadLogResult, ReadResult
from chappe.hub.mqtt.away import Away, PendingWill, away_of, place_of, will_command
from chappe.hub.mqtt.client import Carrier, MqttClient
from chappe.hub.mqtt.groups import Groups
from chappe.hub.mqtt.options import MqttOptions
from chappe.hub.mqtt.retention import Retention
from chappe.hub.session import Peer
from chappe.model.channels import is_pattern
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.model.publication import Publication
from chappe.protocols.base import SincePosition
from chappe.protocols.mqtt import packets
from chappe.protocols.mqtt.fanout import MqttEncoder, PublicationFrame, Wording
from chappe.protocols.mqtt.filters import Filter
from chappe.protocols.mqtt.packets import NEVER_EXPIRES, Version
from chappe.protocols.mqtt.reason_codes import ReasonCode
from chappe.protocols.mqtt.window import Delivery, Flight

if TYPE_CHECKING:
    from chappe.hub.hub import HubCore


class MqttService:
    """The MQTT clients of one hub.

    Attributes:
        live: connected clients by id.
        away: sessions without a connection by client id.
        wills: those that wait, by client id.
        packets_in: packets taken from clients.
        dropped: messages of QoS 1 and 2 that found no room behind a slow or absent client.
        gaps: filters that came back and found that something they missed is not kept any more.
        expired: messages that nobody wanted any more when their turn came.
        too_large: messages that a client has no room for.
        connect_timeouts: connections that said no CONNECT in time.
        wills_sent, sessions_expired, taken_over: counted.
        refusals: connections ended or refused with a reason, by reason code.
    """

    def __init__(self, hub: "HubCore", options: MqttOptions) -> None:
        """Serve the clients of a hub; it keeps for their sessions what those need from here on."""
        self.hub = hub
        self.options = options
        self.max_packet_bytes = hub.limits.message_bytes + options.packet_overhead_bytes
        self.expiry_max_s = options.session_expiry_max_s or NEVER_EXPIRES
        self.wordings = tuple(
            Wording(version, position) for version in (Version.V3_1_1, Version.V5) for position in (False, True)
        )
        self._encoders = {
            (wording, personal): MqttEncoder(wording, hub.clock.wall_ms, personal=personal)
            for wording in self.wordings
            for personal in (False, True)
        }
        self.live: dict[str, MqttClient] = {}
        self.away: dict[str, Away] = {}
        self.wills: dict[str, PendingWill] = {}
        self.retention = Retention(hub.namespaces, options)
        hub.retention = self.retention.of
        self.groups = Groups(self)
        self.packets_in = self.dropped = self.gaps = self.expired = self.too_large = self.connect_timeouts = 0
        self.wills_sent = self.sessions_expired = self.taken_over = 0
        self.refusals: dict[int, int] = {}

    # --- Carriers ----------------------------------------------------------------------------------------------------

    def open(self, carrier: Carrier, peer: Peer) -> MqttClient:
        """Begin with a connection; the carrier hands what it receives to what this returns."""
        client = MqttClient(self, carrier)
        client.session = self.hub.open(client, client, peer)
        client.session.outlet = cast(Link, carrier)
        return client

    def metrics(self) -> dict[str, float]:
        """Return what is counted here, by name of the metric."""
        names = ("packets_in", "dropped", "gaps", "expired", "too_large", "connect_timeouts", "wills_sent")
        return {
            "chappe_mqtt_clients": len(self.live),
            "chappe_mqtt_sessions_away": len(self.away),
            **{f"chappe_mqtt_{name}_total": getattr(self, name) for name in names},
            "chappe_mqtt_sessions_expired_total": self.sessions_expired,
            "chappe_mqtt_taken_over_total": self.taken_over,
            "chappe_mqtt_refused_total": sum(self.refusals.values()),
        }

    # --- Connecting --------------------------------------------------------------------------------------------------

    def wording(self, version: Version, position: bool) -> Wording:
        """Return how publications are said to a client."""
        return self.wordings[(version is Version.V5) * 2 + position]

    def encoder(self, wording: Wording, *, personal: bool) -> MqttEncoder:
        """Return the encoder that all clients of a kind share."""
        return self._encoders[wording, personal]

    def expiry_of(self, connect: packets.Connect) -> int:
        """Return how long the session of a client outlives its connection, seconds."""
        if connect.version is not Version.V5:
            return 0 if connect.clean_start else self.expiry_max_s
        return min(connect.properties.session_expiry_s or 0, self.expiry_max_s)

    def arrive(self, client: MqttClient, done: Callable[[ChappeError | None], None]) -> None:
        """Let a client have its id: the connection that has it ends, if it is the same one's."""
        former = self.live.get(client.client_id)
        holder = former or self.away.get(client.client_id)
        if holder is not None and holder.principal != client.principal:
            done(ChappeError(Code.CONFLICT, "the client id is another's"))
            return
        if former is not None:
            self.taken_over += 1
            former.session.close(Code.STALE, "another connection has this client id")
        done(None)

    def settle(self, client: MqttClient, *, clean: bool) -> Away | None:
        """Give an open client its id, and return what is left of its earlier session if it wants that."""
        former = self.live.get(client.client_id)
        if former is not None and former is not client:
            # Both were asked who they are at the same time.
            former.session.close(Code.STALE, "another connection has this client id")
        self.live[client.client_id] = client
        away = self.away.pop(client.client_id, None)
        will = self.wills.pop(client.client_id, None)
        if away is not None and away.timer is not None:
            away.timer.cancel()
        if will is not None and will.timer is not None:
            will.timer.cancel()
        if clean or away is None:
            if away is not None:
                self._discard(away)
            self.retention.need(client.client_id, ())
            if will is not None:
                # Its session ended by this (MQTT 5, 3.1.3.2.2).
                self._say(will)
            return None
        return away

    def resume(self, client: MqttClient, away: Away) -> None:
        """Go on where an earlier connection ended: what was on its way first, then what was missed."""
        outbound = client.make_personal()
        for one, _ in away.filters:
            client.filters.put(one)
        client.taken = set(away.taken) or None
        for flight in away.flights:
            outbound.window.put_back(flight)
        outbound.send_again()
        for delivery in away.waiting:
            outbound.put(delivery)
        outbound.begin_resuming()
        client.follow(list(away.filters))
        self.hub.clock.call_later(0, outbound.end_resuming)

    # --- Leaving -----------------------------------------------------------------------------------------------------

    def leave(self, client: MqttClient, code: int) -> None:
        """Keep what outlives a connection that ends, and say its will."""
        if self.live.get(client.client_id) is client:
            del self.live[client.client_id]
            if client.expiry_s:
                self._keep(client)
            else:
                self.retention.need(client.client_id, ())
        self.groups.left(client)
        will = client.will
        if will is None:
            return
        client.will = None
        pending = PendingWill(client.session, will_command(will, self.hub.clock.wall_ms()))
        delay_s = min(will.properties.will_delay_s or 0, client.expiry_s)
        if delay_s and client.client_id in self.away:
            self.wills[client.client_id] = pending
            pending.timer = self.hub.clock.call_later(delay_s, lambda: self._will_is_due(client.client_id, pending))
        else:
            self._say(pending)

    def _keep(self, client: MqttClient) -> None:
        clock = self.hub.clock
        never = client.expiry_s == NEVER_EXPIRES
        away = away_of(client, math.inf if never else clock.now() + client.expiry_s)
        self.away[client.client_id] = away
        self.retention.need(client.client_id, client.filters.all())
        if not never:
            away.timer = clock.call_later(client.expiry_s, lambda: self._expire(away))

    def _expire(self, away: Away) -> None:
        if self.away.get(away.client_id) is not away:
            return
        del self.away[away.client_id]
        self._discard(away)
        self.sessions_expired += 1
        will = self.wills.pop(away.client_id, None)
        if will is not None:
            self._say(will)

    def _discard(self, away: Away) -> None:
        if away.timer is not None:
            away.timer.cancel()
        self.retention.need(away.client_id, ())
        self.groups.forget(away.client_id)

    def _will_is_due(self, client_id: str, pending: PendingWill) -> None:
        if self.wills.get(client_id) is pending:
            del self.wills[client_id]
            self._say(pending)

    def _say(self, pending: PendingWill) -> None:
        """Publish a will, with the rights of its client; what it may not say is not said."""
        if pending.timer is not None:
            pending.timer.cancel()
        self.wills_sent += 1
        try:
            self.hub.publishing.publish(pending.session, pending.command)
        except ChappeError as error:
            self.hub.log("INFO", "the will of session %s was refused: %s", pending.session.id, error.reason)

    # --- What clients and the hub say to each other -------------------------------------------------------------------

    def launched(self, client: MqttClient, flight: Flight, data: bytes) -> None:
        """Send a message whose id was chosen."""
        client.write(data)

    def landed(self, client: MqttClient, delivery: Delivery | None) -> None:
        """Learn that a message is done with."""

    def released(self, client: MqttClient, flight: Flight) -> None:
        """Release a message of QoS 2 that the client has."""
        client.release(flight.packet_id)

    def taken(self, client: MqttClient, packet_id: int) -> None:
        """Answer a message of QoS 2 that is published."""
        client.put(packets.Pubrec(packet_id))

    def untaken(self, client: MqttClient, packet_id: int) -> None:
        """Forget the id of a message of QoS 2."""
        client.put(packets.Pubcomp(packet_id))

    def changed(self, client: MqttClient) -> None:
        """Learn that the filters of a client changed."""
        if client.expiry_s:
            self.retention.need(client.client_id, client.filters.all())

    def key_of(self, client: MqttClient, packet: packets.Publish) -> str | None:
        """Return the key under which a message of QoS 2 is published, so that it is published once."""
        return None

    def place_of(self, client: MqttClient, one: Filter) -> SincePosition | None:
        """Return up to where a filter was served."""
        return place_of(client, one)

    def drop(self, client: MqttClient, count: int) -> None:
        """Count messages for which there was no room."""
        if not self.dropped % self.options.session_queue_messages:
            self.hub.log("WARNING", "messages for session %s are dropped: session_queue is full", client.session.id)
        self.dropped += count

    def gap(self, client: MqttClient, name: str) -> None:
        """Count a filter that missed what is not kept any more."""
        self.gaps += 1
        self.hub.log("WARNING", "session %s missed messages of %s that are not kept any more", client.session.id, name)

    def count_reason(self, reason_code: ReasonCode) -> None:
        """Count a connection that is refused or ended."""
        self.refusals[reason_code] = self.refusals.get(reason_code, 0) + 1

    def retained(self, client: MqttClient, pattern: str, done: Callable[[list[PublicationFrame]], None]) -> None:
        """Give the retained messages of a filter, as frames of a client."""

        def found(publications: Sequence[Publication]) -> None:
            frames = [client.encoder.publication(each) for each in publications if self._is_readable(each)]
            done([frame for frame in frames if isinstance(frame, PublicationFrame)])

        def read(result: ReadResult) -> None:
            found([result.retained] if result.retained is not None and not result.error else [])

        def read_log(result: ReadLogResult) -> None:
            found(result.retained if not result.error else ())

        if is_pattern(pattern):
            self.hub.broker.read_log(ReadLog(pattern), read_log)
        else:
            self.hub.broker.read(Read(pattern, self.hub.namespaces.of(pattern)), read)

    def _is_readable(self, publication: Publication) -> bool:
        return self.hub.channels.is_readable(publication.channel)
