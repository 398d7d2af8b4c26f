"""What goes out to one client whose messages are its own: QoS 1 and 2, aliases, identifiers, size."""

from collections import deque
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from chappe.hub.mqtt.choosing import Place, place_in_log
from chappe.model.errors import ChappeError
from chappe.model.frame import Frame
from chappe.model.publication import Publication
from chappe.protocols import base
from chappe.protocols.mqtt.encoder import PublishFrame, encode_publish
from chappe.protocols.mqtt.fanout import PublicationFrame
from chappe.protocols.mqtt.filters import Filter
from chappe.protocols.mqtt.messages import EXPIRES, is_expired, was_retained
from chappe.protocols.mqtt.packets import NO_PUBLISH_PROPERTIES, PublishProperties, Version
from chappe.protocols.mqtt.window import Delivery, Flight, Stage, Window

if TYPE_CHECKING:
    from chappe.hub.mqtt.client import MqttClient

_NO_ALIAS: Final = -1


class Outbound:
    """The messages of one client on their way out.

    Attributes:
        window: those of QoS 1 and 2.
        log: log position of the last publication that came.
        offsets: epoch and offset of the last one in each channel that has a filter of its own.
        keeps_waiting: filters changed while something waited for them: it is as it was made, and not read again.
    """

    __slots__ = (
        "_again",
        "_aliases",
        "_client",
        "_gap",
        "_gathered",
        "_told",
        "keeps_waiting",
        "log",
        "offsets",
        "window",
    )

    def __init__(self, client: "MqttClient", window: Window) -> None:
        self._client = client
        self._aliases: dict[str, int] | None = None
        self.window = window
        self.keeps_waiting = False
        self.log = 0
        self.offsets: dict[str, tuple[str, int]] = {}
        # What filters that are resumed have brought; None: none is.
        self._told: set[Place] | None = None
        self._gathered: list[PublicationFrame] = []
        # What the connection before left on its way, and this one has not sent.
        self._again: deque[Flight] = deque()
        self._gap: tuple[str, int, int] = ("", 0, 0)

    def begin_resuming(self) -> None:
        """Expect what filters missed: each message once, whichever filters it comes by, and none of QoS 0.

        Until `end_resuming` nothing goes out: what filters bring one after the other goes in the order of the log, so
        that all that was sent is before all that waits, and a place in the log tells them apart.
        """
        if self._told is None:
            self._told = set()

    @property
    def is_resuming(self) -> bool:
        """Whether what filters missed is awaited."""
        return self._told is not None

    def begin_gap(self, one: Filter, reply: base.Subscribed) -> None:
        """Learn that what a filter missed comes right behind this."""
        if reply.position is not None:
            self._gap = (one.pattern, reply.position.offset, 0)
        else:
            self._gap = ("", 0, int((reply.log_position or "0").rpartition(":")[2]))

    def end_resuming(self) -> bool:
        """Expect no more of it, and send what came; False: the connection ended meanwhile."""
        gathered, self._gathered = self._gathered, []
        self._told = None
        self._gap = ("", 0, 0)
        for frame in sorted(gathered, key=lambda each: each.publication.log):
            if self._client.session.is_over:
                return False
            self._give(frame)
        return not self._client.session.is_over

    def deliver(self, frame: PublicationFrame) -> None:
        """Send a publication that some filter of the client matches; of several copies the first."""
        publication = frame.publication
        if publication.retained:
            self._deliver_retained(publication)
            return
        if self._told is None or not publication.offset:
            self._give(frame)
        elif self._is_new(publication):
            self._gathered.append(frame)

    def _give(self, frame: PublicationFrame) -> None:
        """Send a publication as the filters have it that are in force now."""
        publication, client = frame.publication, self._client
        self._note(publication)
        made_with = frame.qos
        if made_with is None:
            made_with = frame.qos = self._qos_of(publication)
        match = client.filters.match(publication.channel, self._is_own(publication))
        if match is not None:
            retain = match.retain_as_published and was_retained(publication)
            self.put(Delivery(publication, min(made_with, match.qos), retain, match.identifiers), frame)

    def launch(self, delivery: Delivery) -> None:
        """Send a message for which room was kept, whatever waits for some."""
        if delivery.qos:
            self._send(self.window.launch(delivery))
        else:
            self.put(delivery)

    def put(self, delivery: Delivery, frame: PublicationFrame | None = None) -> None:
        """Send a message now, or when there is room for it; what finds no room at all is dropped and counted."""
        if not delivery.qos:
            data = self._plain(delivery, frame)
            if data is not None:
                self._client.write(data)
            return
        if not self.window.waiting and self.window.has_room:
            self._send(self.window.launch(delivery), frame)
        elif not self.window.offer(delivery):
            self._client.service.drop(self._client, delivery)

    def go_on(self) -> None:
        """Send what waited for room."""
        if self._again:
            self._repeat()
        while (flight := self.window.depart()) is not None:
            self._send(flight)
        self.keeps_waiting &= bool(self.window.waiting)
        self._client.service.groups.go_on(self._client)

    def filters_change(self) -> None:
        """Learn that filters are about to change: what waits is not lost, nor made anew, by this [MQTT-3.8.4-3]."""
        if self.window.waiting:
            self.keeps_waiting = True

    def send_again(self) -> None:
        """Send what was on its way when the connection before ended, with its ids and in its order (4.4)."""
        self._again = deque(self.window.flights.values())
        self._repeat()

    def _repeat(self) -> None:
        """Send again as many as the client takes at once: this connection may take fewer [MQTT-3.3.4-9]."""
        flights, again = self.window.flights, self._again
        under_way = len(flights) - sum(flights.get(each.packet_id) is each for each in again)
        while again and under_way < self.window.capacity:
            flight = again.popleft()
            if flights.get(flight.packet_id) is not flight:
                continue
            if flight.stage is Stage.RELEASED:
                self._client.release(flight.packet_id)
            else:
                self._send(flight, dup=True)
            under_way += flight.packet_id in flights

    def _deliver_retained(self, publication: Publication) -> None:
        """Send a retained message to the filter that just asked (3.3.1.3)."""
        asking = self._client.asking
        fresh = asking.fresh if asking is not None else None
        if fresh is None:
            return
        qos = min(self._qos_of(publication), fresh.qos)
        identifiers = (fresh.identifier,) if fresh.identifier else ()
        self.put(Delivery(publication, qos, True, identifiers))
        if qos:
            self._client.service.landed(self._client)

    def _qos_of(self, publication: Publication) -> int:
        return self._client.service.qos_of(publication)

    def _note(self, publication: Publication) -> None:
        """Remember where the client is."""
        if publication.log > self.log:
            self.log = publication.log
        channel = publication.channel
        if publication.offset and self._client.session.subscription(channel) is not None:
            self.offsets[channel] = (publication.epoch, publication.offset)

    def _is_new(self, publication: Publication) -> bool:
        """Whether a message is to be given while filters are resumed."""
        assert self._told is not None
        place = place_in_log(publication)
        if place in self._told:
            return False
        self._told.add(place)
        channel, offset, log = self._gap
        is_missed = publication.offset <= offset if channel == publication.channel else publication.log <= log
        return not is_missed or self._is_owed(publication)

    def _is_own(self, publication: Publication) -> bool:
        """Whether the client published it, on this connection or an earlier one."""
        sender, client = publication.sender, self._client
        return sender is not None and (sender.session == client.session.id or sender.session in client.former)

    def _is_owed(self, publication: Publication) -> bool:
        """Whether a message goes out with QoS 1 or 2: one of QoS 0 came when it was published, or never."""
        filters, channel = self._client.filters, publication.channel
        match = filters.match(channel, self._is_own(publication))
        return match is not None and match.qos > 0 and self._qos_of(publication) > 0

    def _send(self, flight: Flight, frame: PublicationFrame | None = None, *, dup: bool = False) -> None:
        delivery = flight.delivery
        assert delivery is not None
        client = self._client
        now_ms = 0 if dup else self._now_ms(delivery.publication)
        if now_ms and is_expired(delivery.publication, now_ms):
            del self.window.flights[flight.packet_id]
            client.service.expired += 1
            client.service.groups.done(delivery)
            return
        data = self._numbered(delivery, flight.packet_id, dup, frame)
        if data is None:
            # As if it was delivered (MQTT 5, 3.1.2.11.4).
            del self.window.flights[flight.packet_id]
            client.service.groups.done(delivery)
            return
        client.service.launched(client, flight, data)

    def _numbered(self, delivery: Delivery, packet_id: int, dup: bool, frame: PublicationFrame | None) -> bytes | None:
        """Return a PUBLISH of QoS 1 or 2; what differs in the id only is prepared once for all."""
        if frame is None or self._alias_room:
            return self._encode(delivery, packet_id, dup)
        client = self._client
        key = (client.wording, delivery.qos, delivery.retain, delivery.identifiers)
        if frame.prepared is None:
            frame.prepared = {}
        prepared = frame.prepared.get(key)
        if prepared is None:
            prepared = frame.prepared[key] = self._prepare(delivery)
        if client.max_packet_bytes and prepared.size_bytes > client.max_packet_bytes:
            client.service.too_large += 1
            return None
        return prepared.with_id(packet_id, dup)

    def _prepare(self, delivery: Delivery) -> PublishFrame:
        publication, wording = delivery.publication, self._client.wording
        arguments = (publication.channel, publication.as_raw(), wording.version, delivery.qos, delivery.retain)
        try:
            return PublishFrame(*arguments, self._properties(delivery))
        except ChappeError:
            return PublishFrame(*arguments, _least(delivery))

    def _properties(self, delivery: Delivery) -> PublishProperties:
        publication = delivery.publication
        properties = self._client.wording.properties(publication, self._now_ms(publication))
        return replace(properties, subscription_ids=delivery.identifiers) if delivery.identifiers else properties

    def _plain(self, delivery: Delivery, frame: PublicationFrame | None) -> bytes | None:
        """Return a PUBLISH of QoS 0; the one that all share if it is that."""
        own = delivery.identifiers or self._alias_room or delivery.retain != delivery.publication.retained
        if own or frame is None:
            return self._encode(delivery, 0, False)
        if not frame.payload:
            frame.payload = self._client.wording.plain(delivery.publication, self._now_ms(delivery.publication))
        return self._fitting(frame.payload)

    def _encode(self, delivery: Delivery, packet_id: int, dup: bool) -> bytes | None:
        publication, wording = delivery.publication, self._client.wording
        properties = self._properties(delivery)
        topic, alias = publication.channel, _NO_ALIAS
        # A repetition carries its topic: whether the other one arrived is not known.
        if self._alias_room and not dup:
            alias, is_new = self._alias(publication.channel)
            if alias > 0:
                properties = replace(properties, topic_alias=alias)
                topic = topic if is_new else ""
        arguments = (publication.as_raw(), wording.version, delivery.qos, delivery.retain, dup, packet_id)
        try:
            data = encode_publish(topic, *arguments, properties)
        except ChappeError:
            data = encode_publish(publication.channel, *arguments, _least(delivery))
        fitting = self._fitting(data)
        if fitting is None and alias > 0 and topic and self._aliases is not None:
            # It never heard of the alias.
            del self._aliases[topic]
        return fitting

    def _now_ms(self, publication: Publication) -> int:
        """Return the time that a message is to be said at; 0 for one that never expires, since nobody reads it then."""
        headers = publication.headers
        return self._client.hub.clock.wall_ms() if headers and EXPIRES in headers else 0

    def _fitting(self, data: bytes) -> bytes | None:
        client = self._client
        if client.max_packet_bytes and len(data) > client.max_packet_bytes:
            client.service.too_large += 1
            return None
        return data

    @property
    def _alias_room(self) -> int:
        return self._client.alias_maximum if self._client.version is Version.V5 else 0

    def _alias(self, topic: str) -> tuple[int, bool]:
        """Return the number of a topic and whether the client hears of it now; 0: there is none left."""
        if self._aliases is None:
            self._aliases = {}
        known = self._aliases.get(topic)
        if known is not None:
            return known, False
        if len(self._aliases) >= self._client.alias_maximum:
            return 0, False
        self._aliases[topic] = len(self._aliases) + 1
        return len(self._aliases), True


def _least(delivery: Delivery) -> PublishProperties:
    """Return what is left where headers of another protocol are what no property can hold: the payload goes anyway."""
    return replace(NO_PUBLISH_PROPERTIES, subscription_ids=delivery.identifiers)


def frame_of(data: bytes) -> Frame:
    """Return a packet as a frame."""
    return Frame(data, False)
