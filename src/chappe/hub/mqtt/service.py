"""All MQTT clients of a hub: who has which id, what outlives connections, wills, and what is counted."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, cast

from chappe.hub.contracts import Link, Read, ReadLog, ReadLogResult, ReadResult
from chappe.hub.mqtt.away import Away, place_of
from chappe.hub.mqtt.carrier import Carrier
from chappe.hub.mqtt.client import MqttClient
from chappe.hub.mqtt.exchange import AuthMethod
from chappe.hub.mqtt.groups import Groups
from chappe.hub.mqtt.handshake import Passwords
from chappe.hub.mqtt.kinds import QOS_2
from chappe.hub.mqtt.options import MqttOptions
from chappe.hub.mqtt.retention import Retention, is_fleeting
from chappe.hub.mqtt.sessions import Sessions
from chappe.hub.mqtt.system import System
from chappe.hub.session import Peer
from chappe.model.channels import is_pattern
from chappe.model.error_codes import Code
from chappe.model.publication import Publication
from chappe.protocols.base import SincePosition
from chappe.protocols.mqtt import packets
from chappe.protocols.mqtt.fanout import MqttEncoder, PublicationFrame, Wording
from chappe.protocols.mqtt.filters import Filter
from chappe.protocols.mqtt.messages import qos_of
from chappe.protocols.mqtt.packets import NEVER_EXPIRES, Version
from chappe.protocols.mqtt.reason_codes import ReasonCode
from chappe.protocols.mqtt.window import Delivery, Flight

if TYPE_CHECKING:
    from chappe.hub.hub import HubCore

#: Random bytes of a key.
_KEY_BYTES: Final = 12


class MqttService:
    """The MQTT clients of one hub.

    Attributes:
        passwords: of configured users; None: all passwords are tokens.
        methods: of enhanced authentication, by name.
        sessions: who has which client id, and what outlives connections.
        groups: shared subscriptions.
        retention: what namespaces keep for sessions.
        system: the topics of `$SYS`.
        packets_in: packets taken from clients.
        dropped: messages of QoS 1 and 2 that found no room behind a slow or absent client.
        gaps: filters that came back and found that something they missed is not kept any more.
        expired: messages that nobody wanted any more when their turn came.
        too_large: messages that a client has no room for.
        connect_timeouts: connections that said no CONNECT in time.
        auth_timeouts: those whose authentication method was not done in time.
        refusals: connections ended or refused with a reason, by reason code.
    """

    def __init__(self, hub: "HubCore", options: MqttOptions, passwords: Passwords | None = None) -> None:
        """Serve the clients of a hub; it keeps for their sessions what those need from here on."""
        self.passwords = passwords
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
        self.retention = Retention(hub.namespaces, options)
        hub.retention = self.retention.of
        self.groups = Groups(self)
        self.sessions = Sessions(self)
        self.system = System(self, options.sys_interval_s)
        self.packets_in = self.dropped = self.gaps = self.expired = self.too_large = self.connect_timeouts = 0
        self.auth_timeouts = 0
        self.methods: dict[str, AuthMethod] = {}
        self.refusals: dict[int, int] = {}

    # --- Carriers ----------------------------------------------------------------------------------------------------

    def open(self, carrier: Carrier, peer: Peer) -> MqttClient:
        """Begin with a connection; the carrier hands what it receives to what this returns."""
        client = MqttClient(self, carrier)
        client.session = self.hub.open(client, client, peer)
        client.session.outlet = cast(Link, carrier)
        self.system.wake()
        return client

    def metrics(self) -> dict[str, float]:
        """Return what is counted here, by name of the metric."""
        names = ("packets_in", "dropped", "gaps", "expired", "too_large", "connect_timeouts", "auth_timeouts")
        return {
            **self.sessions.metrics(),
            **self.groups.metrics(),
            **{f"chappe_mqtt_{name}_total": getattr(self, name) for name in names},
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

    def resume(self, client: MqttClient, away: Away) -> None:
        """Go on where an earlier connection ended: what was on its way first, then what was missed."""
        outbound = client.make_personal()
        for one, _ in away.filters:
            client.filters.put(one)
        client.taken = dict(away.taken) or None
        client.unsure = {packet_id for packet_id, key in away.taken.items() if key} or None
        client.former = away.former
        client.sent = away.sent or None
        # All of it stands before anything goes out: an engine that is away ends the connection at any of these steps,
        # and what is left of it then is all that the next one finds.
        for flight in away.flights:
            outbound.window.put_back(flight)
        for delivery in away.waiting:
            outbound.window.offer(delivery)
            outbound.keeps_waiting |= not delivery.publication.retained
        client.expect(away.filters)
        outbound.send_again()
        outbound.go_on()
        if client.session.is_over:
            return
        client.follow(list(away.filters))
        self.sessions.changed(client, _nothing)

    def left(self, client: MqttClient, code: int) -> None:
        """Learn that a connection ended, and why."""
        self.groups.left(client, self.sessions.stays(client), code)
        self.sessions.leave(client)

    # --- What clients and the hub say to each other -------------------------------------------------------------------

    def launched(self, client: MqttClient, flight: Flight, data: bytes) -> None:
        """Send a message whose id was chosen; with QoS 2 only when that id is written down, so that it comes once.

        A retained one is written down as well: no log gives it again.
        """
        delivery = flight.delivery
        if delivery is None or not (delivery.qos == QOS_2 or delivery.publication.retained):
            client.write(data)
            return

        def go() -> None:
            if delivery.qos == QOS_2:
                # It is this member's from here on, whatever becomes of that.
                self.groups.done(delivery)
            client.write(data)

        if self.sessions.is_kept(client):
            self.sessions.save(client, self._then(client, go))
        else:
            go()

    def landed(self, client: MqttClient) -> None:
        """Learn that a message is done with."""
        self.sessions.save_soon(client)

    def released(self, client: MqttClient, flight: Flight) -> None:
        """Release a message of QoS 2 that the client has, when it is written down that it has it."""
        self.sessions.save(client, self._then(client, lambda: client.release(flight.packet_id)))

    def taking(self, client: MqttClient) -> None:
        """Write down that a message of QoS 2 came, before it is published: it is published once."""
        if not self.sessions.is_kept(client):
            return
        if not self.sessions.waits_for_record(client):
            self.sessions.save(client, lambda stored: None)
            return
        session = client.session
        session.hold()
        self.sessions.save(client, self._then(client, session.release))

    def untaken(self, client: MqttClient, packet_id: int) -> None:
        """Complete a message of QoS 2, when it is written down that its id is free."""
        self.sessions.save(client, self._then(client, lambda: client.put(packets.Pubcomp(packet_id))))

    def new_key(self, client: MqttClient) -> str:
        """Return the key under which a message of QoS 2 is published; empty: no later connection could repeat it."""
        return self.hub.random(_KEY_BYTES).hex() if client.expiry_s else ""

    def _then(self, client: MqttClient, go_on: Callable[[], None]) -> Callable[[bool], None]:
        """Return what goes on when something is written down; where it is not, the client comes back for it."""

        def written(stored: bool) -> None:
            if client.session.is_over:
                return
            if stored:
                go_on()
            else:
                client.session.close(Code.INSUFFICIENT_STATE)

        return written

    def place_of(self, client: MqttClient, one: Filter) -> SincePosition | None:
        """Return up to where a filter was served; of a group: from where its client was a member."""
        if not one.group:
            return place_of(client, one)
        begins = client.asking.begins if client.asking is not None else {}
        return self.groups.begins_at(client, one) or begins.get(one.name)

    def qos_of(self, publication: Publication) -> int:
        """Return the QoS that a publication was made with."""
        return qos_of(publication, is_fleeting(self.hub.namespaces.of(publication.channel)))

    def drop(self, client: MqttClient, delivery: Delivery) -> None:
        """Count a message for which there was no room."""
        if not self.dropped % self.options.session_queue_messages:
            self.hub.log("WARNING", "messages for session %s are dropped: session_queue is full", client.session.id)
        self.dropped += 1
        self.groups.done(delivery)

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


def _nothing() -> None:
    """Go on with nothing."""
