"""Packets out of their bytes, every type but the common forms that `codec_pure` and its native twin read themselves."""

from collections.abc import Callable
from typing import Final, TypeVar

from chappe.protocols.mqtt.fields import FieldReader, malformed, protocol_error
from chappe.protocols.mqtt.packets import (
    NO_ACK_PROPERTIES,
    NO_AUTH_PROPERTIES,
    NO_CONNACK_PROPERTIES,
    NO_DISCONNECT_PROPERTIES,
    NO_PUBLISH_PROPERTIES,
    NO_SUBSCRIBE_PROPERTIES,
    NO_UNSUBSCRIBE_PROPERTIES,
    Acknowledgement,
    AckProperties,
    Auth,
    AuthProperties,
    Connack,
    ConnackProperties,
    Disconnect,
    DisconnectProperties,
    Packet,
    PacketType,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    PublishProperties,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    SubscribeFilter,
    SubscribeProperties,
    Unsuback,
    Unsubscribe,
    UnsubscribeProperties,
    Version,
)
from chappe.protocols.mqtt.properties import decode_properties
from chappe.protocols.mqtt.reason_codes import CODES_OF_PACKET, MEANINGS, SUBSCRIBE_FAILURE
from chappe.protocols.mqtt.topics import check_filter, check_topic, split_shared

_NO_LOCAL: Final = 0x04
_RETAIN_AS_PUBLISHED: Final = 0x08
_RESERVED_OPTIONS: Final = 0xC0

_PINGREQ: Final = Pingreq()
_PINGRESP: Final = Pingresp()
_DISCONNECT: Final = Disconnect()
_AUTH: Final = Auth()

AckT = TypeVar("AckT", bound=Acknowledgement)


def decode_body(first: int, body: bytes, version: Version, from_client: bool | None = None) -> Packet:
    """Decode a packet whose first byte was found right; CONNECT is read by `connect.decode_connect`.

    Args:
        first: type and flags.
        body: all that its remaining length covers.
        version: the connection's.
        from_client: who sent it; None: whoever may.
    Raises:
        MqttError: 0x81: it is malformed; 0x82: it says what it may not.
    """
    reader = FieldReader(body)
    packet = _DECODERS[first >> 4](reader, first, version)
    reader.finish()
    if from_client is not None:
        _check_sender(packet, from_client)
    return packet


def _check_sender(packet: Packet, from_client: bool) -> None:
    """Refuse properties that only the other side may send [MQTT-3.3.4-6, MQTT-3.14.2-2]."""
    if from_client:
        if isinstance(packet, Publish) and packet.properties.subscription_ids:
            raise protocol_error("a client's PUBLISH carries a subscription identifier")
    elif isinstance(packet, Disconnect) and packet.properties.session_expiry_s is not None:
        raise protocol_error("a server's DISCONNECT carries a session expiry")


def _read_packet_id(reader: FieldReader) -> int:
    packet_id = reader.two_bytes("packet identifier")
    if not packet_id:
        raise protocol_error("a packet identifier is 0")
    return packet_id


def _read_code(reader: FieldReader, packet_type: PacketType) -> int:
    code = reader.byte("reason code")
    if code not in CODES_OF_PACKET[packet_type]:
        raise protocol_error(f"0x{code:02x} is no reason code of {packet_type.name}")
    return code


def _decode_connack(reader: FieldReader, first: int, version: Version) -> Connack:
    flags = reader.byte("acknowledge flags")
    if flags & 0xFE:
        raise malformed("reserved acknowledge flags are set")
    properties = NO_CONNACK_PROPERTIES
    if version == Version.V5:
        code = _read_code(reader, PacketType.CONNACK)
        properties = decode_properties(reader, ConnackProperties)
    else:
        said = reader.byte("return code")
        if said not in MEANINGS:
            raise protocol_error(f"{said} is no return code")
        code = MEANINGS[said]
    if flags and code:
        raise protocol_error("a refused connection has a session present")
    return Connack(int(code), bool(flags), properties)


def _decode_publish(reader: FieldReader, first: int, version: Version) -> Publish:
    qos = first >> 1 & 3
    topic = reader.text("topic name")
    packet_id = _read_packet_id(reader) if qos else 0
    properties = NO_PUBLISH_PROPERTIES
    if version == Version.V5:
        properties = decode_properties(reader, PublishProperties)
    if topic:
        check_topic(topic)
    elif version != Version.V5:
        raise malformed("a topic name is empty")
    elif properties.topic_alias is None:
        raise protocol_error("a topic name is empty and no alias stands for it")
    return Publish(topic, reader.rest(), qos, bool(first & 1), bool(first & 8), packet_id, properties)


def _acknowledgement(kind: type[AckT]) -> Callable[[FieldReader, int, Version], AckT]:
    packet_type: PacketType = kind.type

    def decode(reader: FieldReader, first: int, version: Version) -> AckT:
        packet_id = _read_packet_id(reader)
        code = 0
        properties = NO_ACK_PROPERTIES
        if version == Version.V5 and reader.left:
            code = _read_code(reader, packet_type)
            # The property length may be left out (3.4.2.2.1).
            if reader.left:
                properties = decode_properties(reader, AckProperties)
        return kind(packet_id, code, properties)

    return decode


def _decode_subscribe(reader: FieldReader, first: int, version: Version) -> Subscribe:
    packet_id = _read_packet_id(reader)
    properties = NO_SUBSCRIBE_PROPERTIES
    if version == Version.V5:
        properties = decode_properties(reader, SubscribeProperties)
    filters = []
    while reader.left:
        topic_filter = reader.text("topic filter")
        check_filter(topic_filter)
        options = reader.byte("subscription options")
        filters.append(_filter_of(topic_filter, options, version))
    if not filters:
        raise protocol_error("a SUBSCRIBE has no filter")
    return Subscribe(packet_id, tuple(filters), properties)


def _filter_of(topic_filter: str, options: int, version: Version) -> SubscribeFilter:
    qos = options & 3
    if version != Version.V5:
        if options > 2:
            raise malformed("a requested QoS is none of 0, 1 and 2")
        return SubscribeFilter(topic_filter, qos)
    if options & _RESERVED_OPTIONS:
        raise malformed("reserved subscription options are set")
    retain_handling = options >> 4 & 3
    if qos == 3 or retain_handling == 3:
        raise protocol_error("a subscription option is 3, expected 0, 1 or 2")
    no_local = bool(options & _NO_LOCAL)
    share_name, _ = split_shared(topic_filter)
    if share_name is not None and no_local:
        raise protocol_error("a shared subscription has the option No Local")
    return SubscribeFilter(topic_filter, qos, no_local, bool(options & _RETAIN_AS_PUBLISHED), retain_handling)


def _decode_suback(reader: FieldReader, first: int, version: Version) -> Suback:
    packet_id = _read_packet_id(reader)
    properties = NO_ACK_PROPERTIES
    if version == Version.V5:
        properties = decode_properties(reader, AckProperties)
        codes = _read_codes(reader, PacketType.SUBACK)
    else:
        codes = tuple(reader.rest())
        if any(code > 2 and code != SUBSCRIBE_FAILURE for code in codes):
            raise protocol_error("a return code of SUBACK is none of 0, 1, 2 and 0x80")
    if not codes:
        raise protocol_error("a SUBACK has no code")
    return Suback(packet_id, codes, properties)


def _decode_unsubscribe(reader: FieldReader, first: int, version: Version) -> Unsubscribe:
    packet_id = _read_packet_id(reader)
    properties = NO_UNSUBSCRIBE_PROPERTIES
    if version == Version.V5:
        properties = decode_properties(reader, UnsubscribeProperties)
    filters = []
    while reader.left:
        topic_filter = reader.text("topic filter")
        check_filter(topic_filter)
        if version == Version.V5:
            split_shared(topic_filter)
        filters.append(topic_filter)
    if not filters:
        raise protocol_error("an UNSUBSCRIBE has no filter")
    return Unsubscribe(packet_id, tuple(filters), properties)


def _decode_unsuback(reader: FieldReader, first: int, version: Version) -> Unsuback:
    packet_id = _read_packet_id(reader)
    if version != Version.V5:
        return Unsuback(packet_id)
    properties = decode_properties(reader, AckProperties)
    codes = _read_codes(reader, PacketType.UNSUBACK)
    if not codes:
        raise protocol_error("an UNSUBACK has no code")
    return Unsuback(packet_id, codes, properties)


def _read_codes(reader: FieldReader, packet_type: PacketType) -> tuple[int, ...]:
    return tuple(_read_code(reader, packet_type) for _ in range(reader.left))


def _decode_pingreq(reader: FieldReader, first: int, version: Version) -> Pingreq:
    return _PINGREQ


def _decode_pingresp(reader: FieldReader, first: int, version: Version) -> Pingresp:
    return _PINGRESP


def _decode_disconnect(reader: FieldReader, first: int, version: Version) -> Disconnect:
    if version != Version.V5 or not reader.left:
        return _DISCONNECT
    code = _read_code(reader, PacketType.DISCONNECT)
    properties = decode_properties(reader, DisconnectProperties) if reader.left else NO_DISCONNECT_PROPERTIES
    return Disconnect(code, properties)


def _decode_auth(reader: FieldReader, first: int, version: Version) -> Auth:
    if not reader.left:
        # Success without properties (3.15.2.1): nobody says which method it was.
        return _AUTH
    code = _read_code(reader, PacketType.AUTH)
    properties = decode_properties(reader, AuthProperties)
    if properties is NO_AUTH_PROPERTIES or properties.authentication_method is None:
        raise protocol_error("an AUTH names no method")
    return Auth(code, properties)


_DECODERS: Final[dict[int, Callable[[FieldReader, int, Version], Packet]]] = {
    PacketType.CONNACK: _decode_connack,
    PacketType.PUBLISH: _decode_publish,
    PacketType.PUBACK: _acknowledgement(Puback),
    PacketType.PUBREC: _acknowledgement(Pubrec),
    PacketType.PUBREL: _acknowledgement(Pubrel),
    PacketType.PUBCOMP: _acknowledgement(Pubcomp),
    PacketType.SUBSCRIBE: _decode_subscribe,
    PacketType.SUBACK: _decode_suback,
    PacketType.UNSUBSCRIBE: _decode_unsubscribe,
    PacketType.UNSUBACK: _decode_unsuback,
    PacketType.PINGREQ: _decode_pingreq,
    PacketType.PINGRESP: _decode_pingresp,
    PacketType.DISCONNECT: _decode_disconnect,
    PacketType.AUTH: _decode_auth,
}
