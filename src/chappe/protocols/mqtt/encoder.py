"""Packets into bytes; the common forms by the native codec where it was compiled, else by its twin in Python."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from chappe.model.errors import LocalProtocolError
from chappe.protocols.mqtt import fields
from chappe.protocols.mqtt.packets import (
    NO_ACK_PROPERTIES,
    NO_AUTH_PROPERTIES,
    NO_DISCONNECT_PROPERTIES,
    Acknowledgement,
    Auth,
    Connack,
    ConnackProperties,
    Connect,
    Disconnect,
    DisconnectProperties,
    Packet,
    PacketType,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    SubscribeFilter,
    Unsuback,
    Unsubscribe,
    Version,
    Will,
)
from chappe.protocols.mqtt.properties import encode_properties
from chappe.protocols.mqtt.reason_codes import RETURN_CODES, SUBSCRIBE_FAILURE, MqttError
from chappe.protocols.mqtt.topics import check_filter, check_topic, split_shared

if TYPE_CHECKING:
    from chappe.protocols.mqtt.codec_pure import PublishFrame, encode_acknowledgement, encode_publish
else:
    try:
        from chappe.protocols.mqtt._codec import PublishFrame, encode_acknowledgement, encode_publish
    except ImportError:
        # Where no compiler was there when it was installed.
        from chappe.protocols.mqtt.codec_pure import PublishFrame, encode_acknowledgement, encode_publish

__all__ = [
    "PublishFrame",
    "encode",
    "encode_acknowledgement",
    "encode_farewell",
    "encode_publish",
    "encode_refusal",
    "encode_within",
]

_PROTOCOL_NAME: Final = b"\x00\x04MQTT"
#: Who sends a refusal or a farewell has no use for a reason that is longer.
_MAX_REASON: Final = 256


def encode(packet: Packet, version: Version) -> bytes:
    """Encode a packet; what the version does not know (properties, reason codes) is left out of 3.1.1.

    Raises:
        LocalProtocolError: it cannot be said: a text of more than 65,535 bytes, an AUTH or a refusal of 3.1.1 that has
            no code there, a packet id, QoS or number out of range, no topic or filter.
    """
    return _ENCODERS[type(packet)](packet, version)


def encode_within(packet: Packet, version: Version, max_packet_bytes: int) -> bytes | None:
    """Encode a packet for a peer that takes no larger ones (MQTT 5, 3.1.2.11.4).

    Where it would be too large, the reason string is left out, then the user properties as well (not those of
    PUBLISH, which belong to the message); None if it still is.
    """
    data = encode(packet, version)
    if len(data) <= max_packet_bytes:
        return data
    for absent in ({"reason_string": None}, {"user_properties": ()}):
        smaller = _without(packet, absent)
        if smaller is None:
            continue
        packet = smaller
        data = encode(packet, version)
        if len(data) <= max_packet_bytes:
            return data
    return None


def encode_refusal(error: MqttError, version: Version | None) -> bytes:
    """Encode the CONNACK that answers a CONNECT that failed; empty if nothing can be said before closing.

    Args:
        error: why; 3.1.1 can say five reasons only, and nothing of a malformed CONNECT [MQTT-3.2.2-6].
        version: the reader's; None: what came was no CONNECT of MQTT.
    """
    if version is None or (version == Version.V3_1_1 and error.reason_code not in RETURN_CODES):
        return b""
    return encode(Connack(error.reason_code, properties=ConnackProperties(reason_string=_reason(error))), version)


def encode_farewell(error: MqttError, version: Version) -> bytes:
    """Encode the DISCONNECT of a server before it closes because of an error; empty in 3.1.1, which has none."""
    if version == Version.V3_1_1:
        return b""
    return encode(Disconnect(error.reason_code, DisconnectProperties(reason_string=_reason(error))), version)


def _reason(error: MqttError) -> str:
    return error.reason[:_MAX_REASON].replace("\0", "")


def _without(packet: Packet, absent: dict[str, Any]) -> Packet | None:
    """Return a packet without some of its properties; None: it has none of them, or needs them."""
    (name, empty), properties = next(iter(absent.items())), getattr(packet, "properties", None)
    if properties is None or isinstance(packet, Publish) or getattr(properties, name, empty) == empty:
        return None
    changed: Packet = replace(packet, properties=replace(properties, **absent))
    return changed


def _frame(first: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return bytes((first,)) + fields.variable(len(body)) + body


def _properties(packet: Any, version: Version) -> bytes:
    return encode_properties(packet.properties) if version == Version.V5 else b""


def _topic(topic: str) -> bytes:
    _check(check_topic, topic)
    return fields.text(topic)


def _filter(topic_filter: str, version: Version) -> bytes:
    _check(check_filter, topic_filter)
    if version == Version.V5:
        _check(split_shared, topic_filter)
    return fields.text(topic_filter)


def _check(check: Callable[[str], object], topic: str) -> None:
    try:
        check(topic)
    except MqttError as error:
        raise LocalProtocolError(error.reason) from None


def _qos(qos: int) -> int:
    if not 0 <= qos <= 2:
        raise LocalProtocolError(f"{qos} is no QoS, expected 0, 1 or 2")
    return qos


def _encode_connect(packet: Connect, version: Version) -> bytes:
    if packet.password is not None and packet.user_name is None and version != Version.V5:
        raise LocalProtocolError("a password without a user name")
    will = packet.will
    flags = (2 if packet.clean_start else 0) | (0x40 if packet.password is not None else 0)
    flags |= 0x80 if packet.user_name is not None else 0
    if will is not None:
        flags |= 0x04 | _qos(will.qos) << 3 | (0x20 if will.retain else 0)
    return _frame(
        PacketType.CONNECT << 4,
        _PROTOCOL_NAME,
        bytes((version, flags)),
        fields.two_bytes(packet.keep_alive_s),
        _properties(packet, version),
        fields.text(packet.client_id),
        b"" if will is None else _will(will, version),
        b"" if packet.user_name is None else fields.text(packet.user_name),
        b"" if packet.password is None else fields.binary(packet.password),
    )


def _will(will: Will, version: Version) -> bytes:
    return _properties(will, version) + _topic(will.topic) + fields.binary(will.payload)


def _encode_connack(packet: Connack, version: Version) -> bytes:
    if packet.session_present and packet.reason_code:
        raise LocalProtocolError("a refused connection has no session")
    code = packet.reason_code
    if version == Version.V3_1_1:
        if code not in RETURN_CODES:
            raise LocalProtocolError(f"MQTT 3.1.1 has no return code for 0x{code:02x}")
        code = RETURN_CODES[code]
    variable = bytes((packet.session_present,)) + fields.byte(code)
    return _frame(PacketType.CONNACK << 4, variable, _properties(packet, version))


def _encode_publish(packet: Publish, version: Version) -> bytes:
    return encode_publish(
        packet.topic,
        packet.payload,
        version,
        packet.qos,
        packet.retain,
        packet.dup,
        packet.packet_id,
        packet.properties,
    )


def _encode_acknowledgement(packet: Acknowledgement, version: Version) -> bytes:
    properties = packet.properties
    is_bare = properties is NO_ACK_PROPERTIES or properties == NO_ACK_PROPERTIES
    if version != Version.V5 or (is_bare and not packet.reason_code):
        return encode_acknowledgement(packet.type, packet.packet_id)
    flags = 2 if packet.type is PacketType.PUBREL else 0
    said = fields.byte(packet.reason_code)
    if not is_bare:
        said += encode_properties(properties)
    return _frame(packet.type << 4 | flags, fields.packet_id(packet.packet_id), said)


def _encode_subscribe(packet: Subscribe, version: Version) -> bytes:
    if not packet.filters:
        raise LocalProtocolError("a SUBSCRIBE has no filter")
    parts = [_filter(each.filter, version) + _options(each, version) for each in packet.filters]
    first = PacketType.SUBSCRIBE << 4 | 2
    return _frame(first, fields.packet_id(packet.packet_id), _properties(packet, version), *parts)


def _options(asked: SubscribeFilter, version: Version) -> bytes:
    options = _qos(asked.qos)
    if version == Version.V5:
        options |= (4 if asked.no_local else 0) | (8 if asked.retain_as_published else 0)
        options |= _qos(asked.retain_handling) << 4
    return bytes((options,))


def _encode_suback(packet: Suback, version: Version) -> bytes:
    codes = packet.reason_codes
    if not codes:
        raise LocalProtocolError("a SUBACK has no code")
    if version == Version.V3_1_1:
        codes = tuple(min(code, SUBSCRIBE_FAILURE) for code in codes)
    head = fields.packet_id(packet.packet_id) + _properties(packet, version)
    return _frame(PacketType.SUBACK << 4, head, *(fields.byte(code) for code in codes))


def _encode_unsubscribe(packet: Unsubscribe, version: Version) -> bytes:
    if not packet.filters:
        raise LocalProtocolError("an UNSUBSCRIBE has no filter")
    head = fields.packet_id(packet.packet_id) + _properties(packet, version)
    return _frame(PacketType.UNSUBSCRIBE << 4 | 2, head, *(_filter(each, version) for each in packet.filters))


def _encode_unsuback(packet: Unsuback, version: Version) -> bytes:
    head = fields.packet_id(packet.packet_id)
    if version == Version.V3_1_1:
        return _frame(PacketType.UNSUBACK << 4, head)
    if not packet.reason_codes:
        raise LocalProtocolError("an UNSUBACK has no code")
    codes = [fields.byte(code) for code in packet.reason_codes]
    return _frame(PacketType.UNSUBACK << 4, head, _properties(packet, version), *codes)


def _encode_ping(packet: Pingreq | Pingresp, version: Version) -> bytes:
    return bytes((packet.type << 4, 0))


def _encode_disconnect(packet: Disconnect, version: Version) -> bytes:
    first = PacketType.DISCONNECT << 4
    if version == Version.V3_1_1 or (not packet.reason_code and packet.properties == NO_DISCONNECT_PROPERTIES):
        return bytes((first, 0))
    return _frame(first, fields.byte(packet.reason_code), _properties(packet, version))


def _encode_auth(packet: Auth, version: Version) -> bytes:
    if version == Version.V3_1_1:
        raise LocalProtocolError("MQTT 3.1.1 has no AUTH")
    first = PacketType.AUTH << 4
    if not packet.reason_code and packet.properties == NO_AUTH_PROPERTIES:
        return bytes((first, 0))
    if packet.properties.authentication_method is None:
        raise LocalProtocolError("an AUTH names no method")
    return _frame(first, fields.byte(packet.reason_code), _properties(packet, version))


_ENCODERS: Final[dict[type, Callable[[Any, Version], bytes]]] = {
    Connect: _encode_connect,
    Connack: _encode_connack,
    Publish: _encode_publish,
    Puback: _encode_acknowledgement,
    Pubrec: _encode_acknowledgement,
    Pubrel: _encode_acknowledgement,
    Pubcomp: _encode_acknowledgement,
    Subscribe: _encode_subscribe,
    Suback: _encode_suback,
    Unsubscribe: _encode_unsubscribe,
    Unsuback: _encode_unsuback,
    Pingreq: _encode_ping,
    Pingresp: _encode_ping,
    Disconnect: _encode_disconnect,
    Auth: _encode_auth,
}
