"""CONNECT out of its bytes (3.1): the one packet that says which version it is of."""

from typing import Final

from chappe.protocols.mqtt.fields import FieldReader, malformed, protocol_error
from chappe.protocols.mqtt.packets import (
    NO_CONNECT_PROPERTIES,
    NO_WILL_PROPERTIES,
    Connect,
    ConnectProperties,
    Version,
    Will,
    WillProperties,
)
from chappe.protocols.mqtt.properties import decode_properties
from chappe.protocols.mqtt.reason_codes import MqttError, ReasonCode
from chappe.protocols.mqtt.topics import check_topic

_NAME: Final = "MQTT"
#: What MQTT 3.1 called itself.
_OLD_NAME: Final = "MQIsdp"
#: Bridges of mosquitto set it to tell that they are bridges; they come again without it when they are refused.
_BRIDGE: Final = 0x80

_RESERVED: Final = 0x01
_CLEAN_START: Final = 0x02
_WILL: Final = 0x04
_WILL_QOS_SHIFT: Final = 3
_WILL_RETAIN: Final = 0x20
_PASSWORD: Final = 0x40
_USER_NAME: Final = 0x80
_ALL_OF_WILL: Final = 0x38


def decode_connect(body: bytes) -> Connect:
    """Decode a CONNECT of either version.

    Raises:
        MqttError: 0x81 or 0x82: it is malformed or says what it may not; 0x84: of a version that is not spoken; 0x85:
            no client id, and a session is to be kept for it [MQTT-3.1.3-8]. Its `version` is the one whose CONNACK the
            client can read; None: there is none.
    """
    reader = FieldReader(body)
    version = _read_version(reader)
    try:
        connect = _decode(reader, version)
        reader.finish()
    except MqttError as error:
        error.version = version
        raise
    return connect


def _read_version(reader: FieldReader) -> Version:
    name = reader.text("protocol name")
    if name not in (_NAME, _OLD_NAME):
        raise MqttError(ReasonCode.UNSUPPORTED_PROTOCOL_VERSION, "the protocol name is not MQTT")
    level = reader.byte("protocol level")
    if name == _NAME and level in (Version.V3_1_1, Version.V5):
        return Version(level)
    # Up to 3.1.1 a refusal is return code 1 [MQTT-3.1.2-2]; who comes later than 5 is told in the words of 5.
    answer = Version.V5 if name == _NAME and level & ~_BRIDGE >= Version.V5 else Version.V3_1_1
    error = MqttError(ReasonCode.UNSUPPORTED_PROTOCOL_VERSION, f"protocol {name} level {level} is not spoken")
    error.version = answer
    raise error


def _decode(reader: FieldReader, version: Version) -> Connect:
    flags = reader.byte("connect flags")
    _check_flags(flags, version)
    keep_alive_s = reader.two_bytes("keep alive")
    properties = NO_CONNECT_PROPERTIES
    if version == Version.V5:
        properties = decode_properties(reader, ConnectProperties)
        if properties.authentication_data is not None and properties.authentication_method is None:
            raise protocol_error("authentication data without a method")
    client_id = reader.text("client identifier")
    clean_start = bool(flags & _CLEAN_START)
    if not client_id and not clean_start and version != Version.V5:
        raise MqttError(ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, "no client identifier for a session that is kept")
    return Connect(
        client_id,
        version,
        clean_start,
        keep_alive_s,
        _read_will(reader, flags, version) if flags & _WILL else None,
        reader.text("user name") if flags & _USER_NAME else None,
        reader.binary("password") if flags & _PASSWORD else None,
        properties,
    )


def _check_flags(flags: int, version: Version) -> None:
    if flags & _RESERVED:
        raise malformed("the reserved connect flag is set")
    if not flags & _WILL and flags & _ALL_OF_WILL:
        raise malformed("a QoS or retain flag of a will, and no will")
    if flags >> _WILL_QOS_SHIFT & 3 == 3:
        raise malformed("a will of QoS 3")
    # A token goes into the password alone in 5; 3.1.1 forbids that [MQTT-3.1.2-22].
    if version != Version.V5 and flags & _PASSWORD and not flags & _USER_NAME:
        raise malformed("a password without a user name")


def _read_will(reader: FieldReader, flags: int, version: Version) -> Will:
    properties = decode_properties(reader, WillProperties) if version == Version.V5 else NO_WILL_PROPERTIES
    topic = reader.text("will topic")
    check_topic(topic)
    payload = reader.binary("will payload")
    return Will(topic, payload, flags >> _WILL_QOS_SHIFT & 3, bool(flags & _WILL_RETAIN), properties)
