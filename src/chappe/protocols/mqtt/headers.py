"""The fixed header of a packet (2.1): which first bytes may stand where, and the remaining length."""

from functools import cache
from typing import Final

from chappe.protocols.mqtt.fields import malformed, protocol_error
from chappe.protocols.mqtt.packets import PacketType, Version
from chappe.protocols.mqtt.reason_codes import MqttError, ReasonCode

#: Bytes of the longest header: the first byte and four of length.
MAX_HEADER_BYTES: Final = 5

_SERVER_TYPES: Final = frozenset((PacketType.CONNACK, PacketType.SUBACK, PacketType.UNSUBACK, PacketType.PINGRESP))
_CLIENT_TYPES: Final = frozenset((PacketType.CONNECT, PacketType.SUBSCRIBE, PacketType.UNSUBSCRIBE, PacketType.PINGREQ))
#: Types whose flags are 0010; of all others but PUBLISH they are 0000 [MQTT-2.1.3-1].
_FLAGGED_TYPES: Final = frozenset((PacketType.PUBREL, PacketType.SUBSCRIBE, PacketType.UNSUBSCRIBE))


def first_byte_error(first: int, version: Version | None, from_client: bool | None) -> MqttError | None:
    """Return what is wrong with a first byte, or None.

    Args:
        first: the byte.
        version: the connection's; None: CONNECT has not come, and nothing else may come before it [MQTT-3.1.0-1].
        from_client: who sent it; None: either.
    """
    number, flags = first >> 4, first & 0x0F
    if not number or (number == PacketType.AUTH and version is Version.V3_1_1):
        return malformed(f"packet type {number} is reserved")
    kind = PacketType(number)
    if kind is PacketType.PUBLISH:
        if flags >> 1 & 3 == 3:
            return malformed("a PUBLISH of QoS 3")
        if flags & 8 and not flags & 6:
            return malformed("a PUBLISH of QoS 0 that may be a duplicate")
    elif flags != (2 if kind in _FLAGGED_TYPES else 0):
        return malformed(f"the flags of {kind.name} are {flags:04b}")
    return _order_error(kind, version, from_client)


def _order_error(kind: PacketType, version: Version | None, from_client: bool | None) -> MqttError | None:
    if version is None:
        return None if kind is PacketType.CONNECT else protocol_error(f"{kind.name} before CONNECT")
    if from_client is None:
        return None
    if from_client and kind is PacketType.CONNECT:
        return protocol_error("a second CONNECT")
    wrong = kind in (_SERVER_TYPES if from_client else _CLIENT_TYPES)
    wrong |= kind is PacketType.DISCONNECT and not from_client and version is Version.V3_1_1
    return protocol_error(f"{kind.name} of the wrong side") if wrong else None


@cache
def first_bytes(version: Version | None, from_client: bool | None) -> bytes:
    """Return a table of 256: 1 where `first_byte_error` finds nothing, else 0."""
    return bytes(first_byte_error(first, version, from_client) is None for first in range(256))


def endless_length() -> MqttError:
    """Return the error for a remaining length of more than four bytes."""
    return malformed("a remaining length of more than 4 bytes")


def padded_length() -> MqttError:
    """Return the error for a remaining length of MQTT 5 that is not in its shortest form [MQTT-1.5.5-1]."""
    return malformed("a remaining length that is not in its shortest form")


def too_large(size: int, limit: int) -> MqttError:
    """Return the error for a packet above the limit, both in bytes and with the header (MQTT 5, 3.2.2.3.6)."""
    return MqttError(ReasonCode.PACKET_TOO_LARGE, f"a packet of {size} bytes, expected {limit} or fewer")
