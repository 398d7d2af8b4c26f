"""One connection of an MQTT client: a carrier below, a session of the hub above, and the rules of MQTT between them."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from chappe.hub.contracts import Claims, Timer
from chappe.hub.mqtt import inbound
from chappe.hub.mqtt.asking import Asking
from chappe.hub.mqtt.away import Sent
from chappe.hub.mqtt.carrier import Carrier
from chappe.hub.mqtt.exchange import Exchange
from chappe.hub.mqtt.handshake import Handshake
from chappe.hub.mqtt.outbound import Outbound, frame_of
from chappe.hub.mqtt.taking import TAKERS
from chappe.hub.mqtt.telling import tell
from chappe.hub.mqtt.wording import reason_of_close
from chappe.hub.resident import Resident
from chappe.hub.session import Session
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.model.frame import Bundle, Frame
from chappe.protocols import base
from chappe.protocols.mqtt import packets
from chappe.protocols.mqtt.encoder import encode, encode_farewell, encode_within
from chappe.protocols.mqtt.fanout import MessageFrame, MqttEncoder, PublicationFrame, Wording
from chappe.protocols.mqtt.filters import Filter, Filters
from chappe.protocols.mqtt.packets import NO_ACK_PROPERTIES, AckProperties, Version
from chappe.protocols.mqtt.reader import PacketReader
from chappe.protocols.mqtt.reason_codes import MqttError, ReasonCode
from chappe.protocols.mqtt.window import Window

if TYPE_CHECKING:
    from chappe.hub.mqtt.service import MqttService

#: Packets that wait for a CONNECT that is being answered.
_MOST_EARLY: Final = 64


class MqttClient(Resident):
    """One connection.

    The carrier calls `receive` and `lost`; towards the hub it is link and protocol of its session.

    Attributes:
        session: its session; it begins with the connection, as CONNECT has its deadline and its limits too.
        version, client_id: as CONNECT said; None and empty before.
        is_connected: CONNACK was sent.
        auth_method: the authentication method that CONNECT named; empty: none.
        exchange: the run of that method that goes on now.
        filters: its subscriptions.
        will: what is published if it goes without goodbye.
        expiry_s: how long its session outlives the connection.
        keep_alive_s: it is gone after one and a half times so many seconds of silence; 0: never.
        max_packet_bytes: the largest packet that it takes; 0: any.
        alias_maximum: topics that it takes a number for.
        aliases: topics that it gave a number, by that.
        unanswered: messages of QoS 1 that are not acknowledged yet.
        taken: ids of messages of QoS 2 that came and are not released yet, each with the key it is published under
            as long as it may not be stored.
        unsure: those among them of which nobody knows whether they were stored.
        former: as which sessions of the hub it published so far, if No Local needs that.
        sent: what was claimed for it by groups and sent with QoS 2, as long as their logs have the claims.
    """

    __slots__ = (
        "_closed",
        "_deadline",
        "_early",
        "_reader",
        "_unfinished_since",
        "alias_maximum",
        "aliases",
        "asking",
        "auth_method",
        "carrier",
        "client_id",
        "encoder",
        "exchange",
        "expiry_s",
        "filters",
        "former",
        "handshake",
        "hub",
        "is_connected",
        "keep_alive_s",
        "max_packet_bytes",
        "outbound",
        "principal",
        "receive_maximum",
        "sent",
        "service",
        "session",
        "taken",
        "tells_problems",
        "unanswered",
        "unsure",
        "user_name",
        "version",
        "will",
        "wording",
    )

    closes_refused_names = True
    session: Session
    encoder: MqttEncoder
    wording: Wording

    def __init__(self, service: "MqttService", carrier: Carrier) -> None:
        """Begin with a connection; `session` is set right behind this."""
        options = service.options
        self.service = service
        self.hub = service.hub
        self.carrier = carrier
        self.version: Version | None = None
        self.client_id = self.user_name = self.principal = self.auth_method = ""
        self.exchange: Exchange | None = None
        self.is_connected = self._closed = False
        self.filters = Filters()
        self.will: packets.Will | None = None
        self.expiry_s = self.keep_alive_s = self.max_packet_bytes = self.alias_maximum = 0
        self.receive_maximum = packets.DEFAULT_RECEIVE_MAXIMUM
        self.tells_problems = True
        self.taken: dict[int, str] | None = None
        self.unsure: set[int] | None = None
        self.former: tuple[str, ...] = ()
        self.sent: Sent | None = None
        self.outbound: Outbound | None = None
        self.asking: Asking | None = None
        self.handshake: Handshake | None = None
        self.aliases: dict[int, str] | None = None
        self.unanswered = 0
        self._unfinished_since = 0.0
        self._early: list[packets.Packet] | None = None
        self._reader = PacketReader(service.max_packet_bytes, max_connect_bytes=options.connect_bytes)
        self.wording = service.wordings[0]
        self.encoder = service.encoder(self.wording, personal=False)
        self._deadline: Timer | None = service.hub.clock.call_later(
            service.hub.limits.handshake_timeout_s, self._connect_is_late
        )

    # --- Called by the carrier ---------------------------------------------------------------------------------------

    def receive(self, payload: Any, text: bool) -> Any:
        """Take bytes of the peer from the carrier, or one of its packets from the session.

        The session asks with a packet, in its turn, and gets the commands that it means.
        """
        if isinstance(payload, bytes):
            self._take_bytes(payload, text)
            return None
        return self._take(payload)

    def lost(self, code: int) -> None:
        """Learn that the connection is gone."""
        self._end()
        self.session.lost(code)

    def dropped(self, channel: str, count: int) -> None:
        """Learn that the carrier dropped messages of QoS 0 for its slow reader."""
        self.hub.counters.dropped += count

    # --- Protocol of the session -------------------------------------------------------------------------------------

    @property
    def frame_bytes(self) -> tuple[int, int]:
        """The largest packet; the reader knows it already."""
        return self.service.options.connect_bytes, self.service.max_packet_bytes

    def opened(self, name: str) -> None:
        """Learn by which name the session is identified."""

    @property
    def key_owner(self) -> str:
        """Whose idempotency keys it uses: its own, which it keeps when it comes back."""
        return f"mqtt:{self.client_id}"

    def entered(self, channel: str) -> None:
        """Learn that the session follows a channel."""

    def resolve(self, command: base.Command) -> base.Command:
        """Return what a command means; there are no rooms in MQTT."""
        return command

    def joins_at_once(self) -> str | None:
        """Return None: a client is in no channel before it asks."""
        return None

    def arrive(self, session: Session, claims: Claims, name: str, done: Callable[[ChappeError | None], None]) -> None:
        """End the connection that has this client id now, if it is the same one's; the session waits here then."""
        assert self.handshake is not None
        self.principal = f"user:{claims.user}" if claims.user is not None else f"name:{name}" if name else ""
        self.service.sessions.arrive(self, done)

    def leave(self, session: Session, code: int) -> None:
        """Keep what outlives the connection, and say the will."""
        self._end()
        if self.is_connected:
            self.service.left(self, code)

    # --- Link of the session -----------------------------------------------------------------------------------------

    def send(self, frame: Frame) -> None:
        """Send what the hub says."""
        if self._closed:
            return
        if type(frame) is Bundle:
            for part in frame.frames:
                self.send(part)
            return
        if type(frame) is PublicationFrame:
            self._share(frame)
        if self.asking is not None and self.asking.holds(frame):
            # Behind the SUBACK that is being put together.
            pass
        elif type(frame) is PublicationFrame:
            if self.outbound is not None:
                self.outbound.deliver(frame)
            elif frame.payload and not (frame.publication.retained and (self.asking is None or not self.asking.fresh)):
                self.carrier.send(frame)
        elif type(frame) is MessageFrame:
            tell(self, frame.message)

    def _share(self, frame: PublicationFrame) -> None:
        """Take a publication for the groups that it matches, whatever the client itself waits for."""
        publication = frame.publication
        for one in self.filters.shared(publication.channel):
            if not publication.retained:
                if frame.qos is None:
                    frame.qos = self.service.qos_of(publication)
                self.service.groups.take(self, one, publication, frame.qos)

    def close(self, code: int, reason: str = "") -> None:
        """Say goodbye and end."""
        if self._closed:
            return
        self._end()
        self._closed = True
        if not self.is_connected:
            if self.handshake is not None and self.version is not None:
                self.handshake.refuse(self, code, reason)
        elif self.version is Version.V5:
            properties = packets.DisconnectProperties(reason_string=reason or None)
            self._put(packets.Disconnect(reason_of_close(code), properties))
        self.carrier.close(code, reason)

    def pause(self) -> None:
        """Stop reading."""
        self.carrier.pause()

    def resume(self) -> None:
        """Read again."""
        self.carrier.resume()

    def limit(self, frame_bytes: int) -> None:
        """Set nothing: the reader has its own limit."""

    def probe(self, timeout_s: float, done: Callable[[bool], None]) -> None:
        """Tell whether the peer lives: it cannot be asked, but must have been heard within its keep alive."""
        alive = not self._closed and not self.is_silent(self.hub.clock.now())
        self.hub.clock.call_later(0, lambda: done(alive))

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for the peer to read."""
        return self.carrier.queued_bytes

    # --- For the other parts of MQTT ---------------------------------------------------------------------------------

    @property
    def unfinished_since(self) -> float:
        """When the first bytes of a packet came that is not whole yet, monotonic seconds; 0: there is none."""
        return self._unfinished_since

    def is_silent(self, now: float) -> bool:
        """Whether nothing came for one and a half times the keep alive (3.1.2.10)."""
        return self.keep_alive_s > 0 and self.silence_left_s(now) <= 0

    def silence_left_s(self, now: float) -> float:
        """Return how long it may go on saying nothing, seconds."""
        return 1.5 * self.keep_alive_s - (now - self.carrier.last_heard)

    def write(self, data: bytes) -> None:
        """Send a whole packet."""
        self.carrier.send(frame_of(data))

    def release(self, packet_id: int, reason_code: int = 0) -> None:
        """Send PUBREL."""
        self._put(packets.Pubrel(packet_id, reason_code))

    def expect(self, filters: Iterable[tuple[Filter, base.SincePosition | None]]) -> None:
        """Know where filters of an earlier connection were, until they are followed again."""
        if self.asking is None:
            self.asking = Asking(self)
        self.asking.expect(filters)

    def follow(self, filters: list[tuple[Filter, base.SincePosition | None]]) -> None:
        """Follow filters of an earlier connection again, from where each was."""
        if self.asking is None:
            self.asking = Asking(self)
        self.asking.resume(filters)

    def make_personal(self) -> Outbound:
        """Give the client messages of its own from here on, in place of those that all plain clients share."""
        if self.outbound is None:
            options = self.service.options
            capacity = min(self.receive_maximum, options.inflight_messages)
            window = Window(capacity, options.session_queue_messages, options.session_queue_bytes)
            self.outbound = Outbound(self, window)
            self._follow_by(self, self.service.encoder(self.wording, personal=True))
            if self.asking is not None:
                self.asking.note_places()
        return self.outbound

    def go(self) -> None:
        """Take what came while CONNECT was answered."""
        early, self._early = self._early, None
        for packet in early or ():
            if self.session.is_over:
                return
            for command in self._take(packet):
                self.session.take(command)

    def authenticate(self, data: bytes) -> None:
        """Let the method of its CONNECT find out who it is, from the first data on."""
        self.exchange = Exchange(self, data, self.is_connected)
        self.exchange.begin()

    def fail(self, reason_code: ReasonCode, reason: str, *, breach: bool = True) -> None:
        """End because of what the peer did; `breach`: which the protocol forbids."""
        self._break_off(MqttError(reason_code, reason), breach)

    def put(self, packet: packets.ServerPacket) -> None:
        """Send a packet, without what the client does not want to read or has no room for."""
        self._put(packet)

    # --- Inside ------------------------------------------------------------------------------------------------------

    def _take_bytes(self, data: bytes, text: bool) -> None:
        session = self.session
        if text:
            # Binary frames only (MQTT 5, 6).
            self._break_off(MqttError(ReasonCode.PROTOCOL_ERROR, "a text frame, expected binary"))
            return
        found = self._reader.feed(data)
        if not self._reader.buffered_bytes:
            self._unfinished_since = 0.0
        elif found or not self._unfinished_since:
            self._unfinished_since = self.hub.clock.now()
        for packet in found:
            if session.is_over:
                return
            self.service.packets_in += 1
            session.receive(packet, False)  # type: ignore[arg-type]
            if packet is not found[-1]:
                self.hub.breathe()
        if self._reader.error is not None and not session.is_over:
            self._break_off(self._reader.error)

    def _take(self, packet: packets.Packet) -> list[base.Command]:
        """Return the commands that a packet means; what is the connection's own affair is done at once."""
        kind = type(packet)
        if not self.is_connected:
            if kind is packets.Connect:
                self._cancel_deadline()
                return Handshake.begin(self, packet)  # type: ignore[arg-type]
            if self.exchange is not None:
                self._take_before_connack(self.exchange, packet)
            else:
                self._wait(packet)
            return []
        if kind is packets.Publish:
            return inbound.publish(self, packet)  # type: ignore[arg-type]
        return TAKERS[kind](self, packet)

    def _take_before_connack(self, exchange: Exchange, packet: packets.Packet) -> None:
        """Take what may come before CONNACK while a method asks [MQTT-3.1.2-30]."""
        if type(packet) is packets.Auth:
            exchange.take(packet)
        elif type(packet) is packets.Disconnect:
            self.end_quietly()
        else:
            self.fail(ReasonCode.PROTOCOL_ERROR, "a packet before the authentication ended")

    def _wait(self, packet: packets.Packet) -> None:
        if self._early is None:
            self._early = []
        self._early.append(packet)
        if len(self._early) > _MOST_EARLY:
            self.fail(ReasonCode.QUOTA_EXCEEDED, "too many packets before CONNACK")

    def end_quietly(self) -> None:
        """End as the client wished: without a word."""
        self._end()
        self._closed = True
        self.carrier.close(1000)
        self.session.lost(1000)

    def _put(self, packet: packets.ServerPacket) -> None:
        version = self.version or Version.V5
        if version is not Version.V5:
            self.write(encode(packet, version))
            return
        properties = getattr(packet, "properties", NO_ACK_PROPERTIES)
        if type(properties) is AckProperties and not self.tells_problems and properties is not NO_ACK_PROPERTIES:
            packet = type(packet)(*_without_properties(packet))
        data = encode_within(packet, version, self.max_packet_bytes or packets.MAX_VARIABLE_INTEGER)
        if data is not None:
            self.write(data)

    def _break_off(self, error: MqttError, breach: bool = True) -> None:
        """Say what was wrong, where there is a word for it, and end."""
        if self.session.is_over:
            return
        self.hub.counters.protocol_errors += breach
        self.service.count_reason(error.reason_code)
        if not self._closed:
            self._end()
            self._closed = True
            data = self._farewell(error)
            if data:
                self.write(data)
        self.session.close(Code.BAD_REQUEST_CLOSE, error.reason)
        self.carrier.close(1002, error.reason)

    def _farewell(self, error: MqttError) -> bytes:
        if not self.is_connected:
            return Handshake.refusal(self, error, self._reader.version)
        return encode_farewell(error, self.version or Version.V5)

    def _follow_by(self, outlet: Any, encoder: MqttEncoder) -> None:
        self.hub.reroute(self.session, outlet, encoder)
        self.encoder = encoder

    def _connect_is_late(self) -> None:
        self._deadline = None
        self.service.connect_timeouts += 1
        self._break_off(MqttError(ReasonCode.MAXIMUM_CONNECT_TIME, "no CONNECT in time"))

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end(self) -> None:
        self._cancel_deadline()
        if self.exchange is not None:
            self.exchange.end()
        self._early = None


def _without_properties(packet: Any) -> tuple[Any, ...]:
    """Return the fields of an answer but its properties, which come last."""
    return tuple(getattr(packet, name) for name in packet.__struct_fields__[:-1])
