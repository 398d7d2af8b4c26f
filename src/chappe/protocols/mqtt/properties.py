"""The properties of MQTT 5 (2.2.2): which exist, what they hold, and how often.

Which of them a packet may carry is told by the fields of its struct in `packets`: a property belongs to every struct
that has a field of its name.
"""

import enum
from collections.abc import Callable
from functools import cache
from typing import Any, Final, TypeVar

import msgspec

from chappe.model.errors import LocalProtocolError
from chappe.protocols.mqtt import fields
from chappe.protocols.mqtt.fields import FieldReader, malformed
from chappe.protocols.mqtt.packets import NO_PROPERTIES
from chappe.protocols.mqtt.reason_codes import MqttError, ReasonCode
from chappe.protocols.mqtt.topics import check_topic


class Kind(enum.Enum):
    """How a property's value stands in the packet."""

    BYTE = enum.auto()
    FLAG = enum.auto()
    TWO_BYTES = enum.auto()
    FOUR_BYTES = enum.auto()
    VARIABLE = enum.auto()
    TEXT = enum.auto()
    TOPIC = enum.auto()
    BINARY = enum.auto()
    PAIR = enum.auto()


class Property(msgspec.Struct, frozen=True, kw_only=True):
    """One property.

    Attributes:
        name: of the field that holds it.
        identifier: what stands before its value.
        minimum, maximum: of numbers; beyond them is `error`.
        many: it may come again, and its field is a tuple; any other comes once at most.
    """

    name: str
    identifier: int
    kind: Kind
    minimum: int = 0
    maximum: int | None = None
    error: ReasonCode = ReasonCode.PROTOCOL_ERROR
    many: bool = False


def _property(name: str, identifier: int, kind: Kind, **more: Any) -> Property:
    return Property(name=name, identifier=identifier, kind=kind, **more)


PROPERTIES: Final = (
    _property("payload_format", 0x01, Kind.BYTE, maximum=1),
    _property("message_expiry_s", 0x02, Kind.FOUR_BYTES),
    _property("content_type", 0x03, Kind.TEXT),
    _property("response_topic", 0x08, Kind.TOPIC),
    _property("correlation_data", 0x09, Kind.BINARY),
    _property("subscription_id", 0x0B, Kind.VARIABLE, minimum=1),
    _property("subscription_ids", 0x0B, Kind.VARIABLE, minimum=1, many=True),
    _property("session_expiry_s", 0x11, Kind.FOUR_BYTES),
    _property("assigned_client_id", 0x12, Kind.TEXT),
    _property("server_keep_alive_s", 0x13, Kind.TWO_BYTES),
    _property("authentication_method", 0x15, Kind.TEXT),
    _property("authentication_data", 0x16, Kind.BINARY),
    _property("request_problem_information", 0x17, Kind.FLAG, maximum=1),
    _property("will_delay_s", 0x18, Kind.FOUR_BYTES),
    _property("request_response_information", 0x19, Kind.FLAG, maximum=1),
    _property("response_information", 0x1A, Kind.TEXT),
    _property("server_reference", 0x1C, Kind.TEXT),
    _property("reason_string", 0x1F, Kind.TEXT),
    _property("receive_maximum", 0x21, Kind.TWO_BYTES, minimum=1),
    _property("topic_alias_maximum", 0x22, Kind.TWO_BYTES),
    _property("topic_alias", 0x23, Kind.TWO_BYTES, minimum=1, error=ReasonCode.TOPIC_ALIAS_INVALID),
    _property("maximum_qos", 0x24, Kind.BYTE, maximum=1),
    _property("retain_available", 0x25, Kind.FLAG, maximum=1),
    _property("user_properties", 0x26, Kind.PAIR, many=True),
    _property("maximum_packet_bytes", 0x27, Kind.FOUR_BYTES, minimum=1),
    _property("wildcard_subscription_available", 0x28, Kind.FLAG, maximum=1),
    _property("subscription_identifier_available", 0x29, Kind.FLAG, maximum=1),
    _property("shared_subscription_available", 0x2A, Kind.FLAG, maximum=1),
)

_BY_NAME: Final = {each.name: each for each in PROPERTIES}

PropertiesT = TypeVar("PropertiesT", bound=msgspec.Struct)


def _read_pair(reader: FieldReader, name: str) -> tuple[str, str]:
    return reader.text(name), reader.text(name)


def _read_topic(reader: FieldReader, name: str) -> str:
    topic = reader.text(name)
    check_topic(topic)
    return topic


_READ: Final[dict[Kind, Callable[[FieldReader, str], Any]]] = {
    Kind.BYTE: FieldReader.byte,
    Kind.FLAG: FieldReader.byte,
    Kind.TWO_BYTES: FieldReader.two_bytes,
    Kind.FOUR_BYTES: FieldReader.four_bytes,
    Kind.VARIABLE: FieldReader.variable,
    Kind.TEXT: FieldReader.text,
    Kind.TOPIC: _read_topic,
    Kind.BINARY: FieldReader.binary,
    Kind.PAIR: _read_pair,
}

_WRITE: Final[dict[Kind, Callable[[Any], bytes]]] = {
    Kind.BYTE: fields.byte,
    Kind.FLAG: fields.byte,
    Kind.TWO_BYTES: fields.two_bytes,
    Kind.FOUR_BYTES: fields.four_bytes,
    Kind.VARIABLE: fields.variable,
    Kind.TEXT: fields.text,
    Kind.TOPIC: fields.text,
    Kind.BINARY: fields.binary,
    Kind.PAIR: lambda pair: fields.text(pair[0]) + fields.text(pair[1]),
}

_NUMBERS: Final = frozenset((Kind.BYTE, Kind.FLAG, Kind.TWO_BYTES, Kind.VARIABLE, Kind.FOUR_BYTES))


@cache
def properties_of(kind: type[msgspec.Struct]) -> tuple[Property, ...]:
    """Return the properties that a struct has fields for, in their order."""
    return tuple(_BY_NAME[name] for name in kind.__struct_fields__)


@cache
def _by_identifier(kind: type[msgspec.Struct]) -> dict[int, Property]:
    return {each.identifier: each for each in properties_of(kind)}


def decode_properties(reader: FieldReader, kind: type[PropertiesT]) -> PropertiesT:
    """Read properties behind their length.

    Raises:
        MqttError: 0x81: an identifier that this packet may not carry, or a malformed value; 0x82: one that came twice,
            or a number out of its range; 0x94: a topic alias of 0.
    """
    size = reader.variable("property length")
    if not size:
        absent: PropertiesT = NO_PROPERTIES[kind]
        return absent
    return _decode(reader.part(size, "properties"), kind)


def _decode(reader: FieldReader, kind: type[PropertiesT]) -> PropertiesT:
    known = _by_identifier(kind)
    once: dict[str, Any] = {}
    many: dict[str, list[Any]] = {}
    while reader.left:
        identifier = reader.variable("property identifier")
        described = known.get(identifier)
        if described is None:
            raise malformed(f"property 0x{identifier:02x} does not belong into this packet")
        name = described.name
        value = _READ[described.kind](reader, name)
        if described.kind in _NUMBERS:
            _check_range(described, value)
        if described.many:
            many.setdefault(name, []).append(value)
        elif name in once:
            raise MqttError(ReasonCode.PROTOCOL_ERROR, f"{name} comes twice")
        else:
            once[name] = bool(value) if described.kind is Kind.FLAG else value
    return kind(**once, **{name: tuple(values) for name, values in many.items()})


def _check_range(described: Property, value: int) -> None:
    above = described.maximum is not None and value > described.maximum
    if value < described.minimum or above:
        raise MqttError(described.error, f"{described.name} is {value}, which is out of its range")


def encode_properties(properties: msgspec.Struct) -> bytes:
    """Write properties behind their length.

    Raises:
        LocalProtocolError: a value is out of its range.
    """
    kind = type(properties)
    if properties is NO_PROPERTIES[kind]:
        return b"\0"
    parts = [
        part for described in properties_of(kind) for part in _encode(described, getattr(properties, described.name))
    ]
    body = b"".join(parts)
    return fields.variable(len(body)) + body


def _encode(described: Property, value: Any) -> list[bytes]:
    if value is None:
        return []
    identifier = bytes((described.identifier,))
    write = _WRITE[described.kind]
    values = value if described.many else (value,)
    if described.kind in _NUMBERS:
        _check_local_range(described, values)
    return [identifier + write(each) for each in values]


def _check_local_range(described: Property, values: tuple[int, ...]) -> None:
    for value in values:
        try:
            _check_range(described, value)
        except MqttError as error:
            raise LocalProtocolError(error.reason) from None
