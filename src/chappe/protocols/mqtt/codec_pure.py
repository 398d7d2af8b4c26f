"""What moves the bytes of MQTT, in Python: for machines without a C compiler, and to check the native twin against.

Both read the common forms of PUBLISH and its acknowledgements themselves, and leave everything else to `decoder`.
"""

import re
from collections.abc import Callable
from typing import Final

from chappe.model.errors import LocalProtocolError
from chappe.protocols.mqtt import fields
from chappe.protocols.mqtt.connect import decode_connect
from chappe.protocols.mqtt.decoder import decode_body
from chappe.protocols.mqtt.headers import (
    MAX_HEADER_BYTES,
    endless_length,
    first_byte_error,
    first_bytes,
    padded_length,
    too_large,
)
from chappe.protocols.mqtt.packets import (
    NO_PUBLISH_PROPERTIES,
    Acknowledgement,
    Connect,
    Packet,
    PacketType,
    Puback,
    Pubcomp,
    Publish,
    PublishProperties,
    Pubrec,
    Pubrel,
    Version,
)
from chappe.protocols.mqtt.properties import encode_properties
from chappe.protocols.mqtt.reason_codes import MqttError
from chappe.protocols.mqtt.topics import check_topic

_PUBLISH: Final = 0x30
_DUP: Final = 0x08
_PUBREL_FLAGS: Final = 0x02
_FORBIDDEN: Final = re.compile("[\0+#]")
_ACKNOWLEDGEMENTS: Final[dict[int, Callable[[int], Acknowledgement]]] = {
    0x40: Puback,
    0x50: Pubrec,
    0x62: Pubrel,
    0x70: Pubcomp,
}


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
    """

    __slots__ = (
        "_allowed",
        "_buffer",
        "_from_client",
        "_max_connect_bytes",
        "_needed",
        "error",
        "max_packet_bytes",
        "version",
    )

    def __init__(
        self, max_packet_bytes: int, version: Version | None = None, max_connect_bytes: int | None = None
    ) -> None:
        """Begin a connection; `max_connect_bytes` is the largest CONNECT taken (None: `max_packet_bytes`)."""
        self.max_packet_bytes = max_packet_bytes
        self.version = version
        self.error: MqttError | None = None
        self._max_connect_bytes = max_packet_bytes if max_connect_bytes is None else max_connect_bytes
        self._from_client = version is None
        self._allowed = first_bytes(version, self._from_client)
        self._buffer = bytearray()
        self._needed = 0

    @property
    def buffered_bytes(self) -> int:
        """Bytes of a packet that is not whole yet."""
        return len(self._buffer)

    def feed(self, data: bytes | bytearray | memoryview) -> list[Packet]:
        """Take bytes of the peer; return the packets that are whole by them, in order.

        Never raises on what the peer sent: look at `error` after the packets before it were handled. However the bytes
        are cut, the packets and the error are the same. A packet that is too large is refused once its length is known.
        """
        packets: list[Packet] = []
        if self.error is not None:
            return packets
        buffer = self._buffer
        if buffer:
            buffer += data
            if len(buffer) < self._needed:
                return packets
            data = bytes(buffer)
            buffer.clear()
        try:
            at = self._take_all(bytes(data), packets)
        except MqttError as error:
            self.error = bare(error)
            if error.version is not None:
                self.version = Version(error.version)
            return packets
        buffer += data[at:]
        return packets

    def _take_all(self, data: bytes, packets: list[Packet]) -> int:
        """Decode all whole packets; return the offset behind them."""
        at, size = 0, len(data)
        while at < size:
            end = self._take(data, at, packets)
            if end == at:
                break
            at = end
        return at

    def _take(self, data: bytes, at: int, packets: list[Packet]) -> int:
        """Decode the packet that begins at an offset; return the offset behind it, or the same: it is not whole yet."""
        first, version = data[at], self.version
        if not self._allowed[first]:
            raise first_byte_error(first, version, self._from_client) or AssertionError
        start, remaining = read_length(data, at + 1)
        if not start:
            self._needed = 0
            return at
        is_padded = start - at > 2 and not data[start - 1]
        if is_padded and version is Version.V5:
            raise padded_length()
        end = start + remaining
        limit = self.max_packet_bytes if version else self._max_connect_bytes
        if end - at > limit:
            raise too_large(end - at, limit)
        if end > len(data):
            self._needed = end - at
            return at
        if version:
            packet = decode_plain(first, data, start, end, version)
            packets.append(packet or decode_body(first, data[start:end], version, self._from_client))
        else:
            packets.append(self._open(data[start:end], is_padded))
        return end

    def _open(self, body: bytes, is_padded: bool) -> Connect:
        """Decode CONNECT, and learn the version from it."""
        connect = decode_connect(body)
        self.version = connect.version
        if is_padded and self.version is Version.V5:
            raise padded_length()
        self._allowed = first_bytes(self.version, True)
        return connect


def read_length(data: bytes, at: int) -> tuple[int, int]:
    """Read a remaining length; return the offset behind it, 0: it is not whole yet, and the length.

    Raises:
        MqttError: 0x81: it has more than four bytes.
    """
    value = shift = 0
    for offset in range(at, min(at + MAX_HEADER_BYTES - 1, len(data))):
        byte = data[offset]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return offset + 1, value
        shift += 7
    if len(data) >= at + MAX_HEADER_BYTES - 1:
        raise endless_length()
    return 0, 0


def packet_id_offset(frame: bytes) -> int:
    """Return where the packet id of a PUBLISH of QoS 1 or 2 stands."""
    start, _ = read_length(frame, 1)
    return start + 2 + int.from_bytes(frame[start : start + 2])


def bare(error: MqttError) -> MqttError:
    """Return an error without the frames it passed: it is kept as long as the connection, and they hold its bytes."""
    error.__context__ = error.__cause__ = None
    return error.with_traceback(None)


def decode_plain(first: int, data: bytes, start: int, end: int, version: Version) -> Packet | None:
    """Decode a PUBLISH without properties or a bare acknowledgement; None: it is another, or something is wrong."""
    kind = _ACKNOWLEDGEMENTS.get(first)
    if kind is not None:
        packet_id = int.from_bytes(data[start:end])
        return kind(packet_id) if end - start == 2 and packet_id else None
    if first & 0xF0 != _PUBLISH or end - start < 3:
        return None
    behind = start + 2 + int.from_bytes(data[start : start + 2])
    raw = data[start + 2 : behind]
    qos, packet_id = first >> 1 & 3, 0
    if qos:
        packet_id = int.from_bytes(data[behind : behind + 2])
        behind += 2
    if version == Version.V5:
        if data[behind : behind + 1] != b"\0":
            return None
        behind += 1
    if behind > end or not raw or (qos and not packet_id):
        return None
    try:
        topic = raw.decode()
    except UnicodeDecodeError:
        return None
    if _FORBIDDEN.search(topic):
        return None
    return Publish(topic, data[behind:end], qos, first & 1 == 1, first & _DUP == _DUP, packet_id)


def encode_acknowledgement(packet_type: PacketType, packet_id: int) -> bytes:
    """Encode a PUBACK, PUBREC, PUBREL or PUBCOMP of success, the same in both versions.

    Raises:
        LocalProtocolError: the packet id is none of 1 to 65,535.
    """
    flags = _PUBREL_FLAGS if packet_type == PacketType.PUBREL else 0
    return bytes((packet_type << 4 | flags, 2)) + fields.packet_id(packet_id)


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
    """Encode a PUBLISH without making a `Publish`; with QoS 0 one frame serves every reader of that version.

    Properties are left out of 3.1.1.

    Raises:
        LocalProtocolError: a topic that is none (empty without an alias, with a wildcard, too long), a QoS, packet id
            or property out of range, more than 268,435,455 bytes.
    """
    if not 0 <= qos <= 2 or (dup and not qos) or (packet_id and not qos):
        raise LocalProtocolError("a PUBLISH with a QoS, duplicate flag and packet id that do not fit")
    head = fields.text(topic)
    _check_topic(topic, version, properties)
    if qos:
        head += fields.packet_id(packet_id)
    if version == Version.V5:
        head += encode_properties(properties)
    first = _PUBLISH | (_DUP if dup else 0) | qos << 1 | (1 if retain else 0)
    return b"".join((bytes((first,)), fields.variable(len(head) + len(payload)), head, payload))


def _check_topic(topic: str, version: Version, properties: PublishProperties) -> None:
    if not topic and version == Version.V5 and properties.topic_alias is not None:
        return
    try:
        check_topic(topic)
    except MqttError as error:
        raise LocalProtocolError(error.reason) from None


class PublishFrame:
    """A PUBLISH of QoS 1 or 2 encoded once for many readers: only the packet id differs.

    Attributes:
        size_bytes: of the whole packet.
    """

    __slots__ = ("_head", "_tail", "size_bytes")

    def __init__(
        self,
        topic: str,
        payload: bytes,
        version: Version,
        qos: int,
        retain: bool = False,
        properties: PublishProperties = NO_PUBLISH_PROPERTIES,
    ) -> None:
        """Encode; raises LocalProtocolError as `encode_publish` does."""
        frame = encode_publish(topic, payload, version, qos, retain, False, 1, properties)
        at = packet_id_offset(frame)
        self._head = frame[:at]
        self._tail = frame[at + 2 :]
        self.size_bytes = len(frame)

    def with_id(self, packet_id: int, dup: bool = False) -> bytes:
        """Return the packet with an id of 1 to 65,535.

        Raises:
            LocalProtocolError: the packet id is another.
        """
        head = self._head
        if dup:
            head = bytes((head[0] | _DUP,)) + head[1:]
        return b"".join((head, fields.packet_id(packet_id), self._tail))
