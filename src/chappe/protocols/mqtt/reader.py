"""Packets out of a stream of bytes: the native codec where it was compiled, else its twin in Python."""

from typing import TYPE_CHECKING, Final

from chappe.protocols.mqtt.codec_pure import read_length
from chappe.protocols.mqtt.connect import decode_connect
from chappe.protocols.mqtt.decoder import decode_body
from chappe.protocols.mqtt.fields import malformed
from chappe.protocols.mqtt.headers import first_byte_error, padded_length
from chappe.protocols.mqtt.packets import Packet, PacketType, Version

if TYPE_CHECKING:
    from chappe.protocols.mqtt.codec_pure import PacketReader

    NATIVE: Final[bool] = False
else:
    try:
        from chappe.protocols.mqtt._codec import PacketReader

        NATIVE = True
    except ImportError:
        # Where no compiler was there when it was installed.
        from chappe.protocols.mqtt.codec_pure import PacketReader

        NATIVE = False

__all__ = ["NATIVE", "PacketReader", "decode"]


def decode(data: bytes, version: Version) -> Packet:
    """Decode exactly one packet of either direction; a CONNECT tells its version itself.

    Raises:
        MqttError: it is malformed, breaks the protocol, is not whole or not all.
    """
    if not data:
        raise malformed("no packet")
    error = first_byte_error(data[0], version, None)
    if error is not None:
        raise error
    start, remaining = read_length(data, 1)
    if not start or start + remaining != len(data):
        raise malformed(f"{len(data)} bytes are not one packet")
    packet: Packet
    if data[0] >> 4 == PacketType.CONNECT:
        connect = decode_connect(data[start:])
        packet, version = connect, connect.version
    else:
        packet = decode_body(data[0], data[start:], version)
    if start > 2 and not data[start - 1] and version == Version.V5:
        raise padded_length()
    return packet
