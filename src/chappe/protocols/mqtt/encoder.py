"""Packets into bytes."""

from chappe.protocols.mqtt.packets import NO_PUBLISH_PROPERTIES, Packet, PublishProperties, Version
from chappe.protocols.mqtt.reason_codes import MqttError


def encode(packet: Packet, version: Version) -> bytes:
    """Encode a packet; what the version does not know (properties, reason codes) is left out of 3.1.1.

    Raises:
        LocalProtocolError: it cannot be said: a text of more than 65,535 bytes, an AUTH or a refusal of 3.1.1 that has
            no code there, a packet id or number out of range.
    """
    raise NotImplementedError


def encode_within(packet: Packet, version: Version, max_packet_bytes: int) -> bytes | None:
    """Encode a packet for a peer that takes no larger ones (MQTT 5, 3.1.2.11.4).

    Where it would be too large, the reason string is left out, then the user properties as well (not those of PUBLISH);
    None if it still is.
    """
    raise NotImplementedError


def encode_publish(
    topic: str,
    payload: bytes,
    version: Version,
    qos: int = 0,
    retain: bool = False,
    dup: bool = False,
    packet_id: int = 0,
    properties: PublishProperties = NO_PUBLISH_PROPERTIES,
) -> bytes:
    """Encode a PUBLISH without making a `Publish`; with QoS 0 one frame serves every reader of that version."""
    raise NotImplementedError


class PublishFrame:
    """A PUBLISH of QoS 1 or 2 encoded once for many readers: only the packet id differs.

    Attributes:
        size_bytes: of the whole packet.
    """

    size_bytes: int

    def __init__(
        self,
        topic: str,
        payload: bytes,
        version: Version,
        qos: int,
        retain: bool = False,
        properties: PublishProperties = NO_PUBLISH_PROPERTIES,
    ) -> None:
        raise NotImplementedError

    def with_id(self, packet_id: int, dup: bool = False) -> bytes:
        """Return the packet with an id of 1 to 65,535."""
        raise NotImplementedError


def encode_refusal(error: MqttError, version: Version | None) -> bytes:
    """Encode the CONNACK that answers a CONNECT that failed; empty if nothing can be said before closing."""
    raise NotImplementedError


def encode_farewell(error: MqttError, version: Version) -> bytes:
    """Encode the DISCONNECT of a server before it closes because of an error; empty in 3.1.1, which has none."""
    raise NotImplementedError
