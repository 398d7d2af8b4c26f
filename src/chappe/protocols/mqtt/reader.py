"""Packets out of a stream of bytes."""

from chappe.protocols.mqtt.packets import Packet, Version
from chappe.protocols.mqtt.reason_codes import MqttError


class PacketReader:
    """One connection's receiving state.

    Without a version it is a server's: the first packet must be CONNECT, tells the version, and comes once. With one it
    is a client's. What only the other side may send is a protocol error.

    Attributes:
        version: as CONNECT said, None before. After a CONNECT of a version that nobody speaks it is the one whose
            CONNACK the client can read.
        error: what ended it; whatever comes behind is ignored. `encoder.encode_refusal` and `encode_farewell` make what
            to answer.
        max_packet_bytes: the largest packet taken, header included; may be set at any time.
        buffered_bytes: bytes of a packet that is not whole yet.
    """

    version: Version | None
    error: MqttError | None
    max_packet_bytes: int
    buffered_bytes: int

    def __init__(
        self, max_packet_bytes: int, version: Version | None = None, max_connect_bytes: int | None = None
    ) -> None:
        """Begin a connection; `max_connect_bytes` is the largest CONNECT taken (None: `max_packet_bytes`)."""
        raise NotImplementedError

    def feed(self, data: bytes | bytearray | memoryview) -> list[Packet]:
        """Take bytes of the peer; return the packets that are whole by them, in order.

        Never raises on what the peer sent: look at `error` after the packets before it were handled. However the bytes
        are cut, the packets and the error are the same. A packet that is too large is refused once its length is known.
        """
        raise NotImplementedError


def decode(data: bytes, version: Version) -> Packet:
    """Decode exactly one packet of either direction.

    Raises:
        MqttError: it is malformed, breaks the protocol, is not whole or not all.
    """
    raise NotImplementedError
