"""The data types of MQTT (MQTT 5, 1.5): read from a packet, and written."""

from typing import Final

from chappe.model.errors import LocalProtocolError
from chappe.protocols.mqtt.packets import MAX_VARIABLE_INTEGER
from chappe.protocols.mqtt.reason_codes import MqttError, ReasonCode

#: The most that the two bytes before a text or binary data can say.
MAX_STRING_BYTES: Final = 65_535


def malformed(reason: str) -> MqttError:
    """Return the error for bytes that are no packet (0x81)."""
    return MqttError(ReasonCode.MALFORMED_PACKET, reason)


def protocol_error(reason: str) -> MqttError:
    """Return the error for a packet that may not stand here or say this (0x82)."""
    return MqttError(ReasonCode.PROTOCOL_ERROR, reason)


class FieldReader:
    """Reads the fields of a packet one after the other; each is named for the error.

    Every method raises MqttError 0x81 where the packet ends too early or the field is malformed.

    Attributes:
        at: the offset of the next field.
        end: the offset behind the last.
    """

    __slots__ = ("_data", "at", "end")

    def __init__(self, data: bytes, at: int = 0, end: int | None = None) -> None:
        self._data = data
        self.at = at
        self.end = len(data) if end is None else end

    @property
    def left(self) -> int:
        """How many bytes are not read yet."""
        return self.end - self.at

    def byte(self, name: str) -> int:
        """Read one byte."""
        return self._data[self._take(1, name)]

    def two_bytes(self, name: str) -> int:
        """Read a two byte integer."""
        at = self._take(2, name)
        return int.from_bytes(self._data[at : at + 2])

    def four_bytes(self, name: str) -> int:
        """Read a four byte integer."""
        at = self._take(4, name)
        return int.from_bytes(self._data[at : at + 4])

    def variable(self, name: str) -> int:
        """Read a variable byte integer, in the shortest form [MQTT-1.5.5-1]."""
        value = shift = 0
        for _ in range(4):
            byte = self.byte(name)
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                if shift and not byte:
                    raise malformed(f"{name}: a number that is not in its shortest form")
                return value
            shift += 7
        raise malformed(f"{name}: a number of more than 4 bytes")

    def binary(self, name: str) -> bytes:
        """Read binary data behind its length."""
        size = self.two_bytes(name)
        at = self._take(size, name)
        return self._data[at : at + size]

    def text(self, name: str) -> str:
        """Read a UTF-8 encoded string: well-formed, without surrogates and U+0000; a byte order mark is a character."""
        data = self.binary(name)
        if 0 in data:
            raise malformed(f"{name}: text with U+0000")
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise malformed(f"{name}: text that is no UTF-8") from None

    def rest(self) -> bytes:
        """Read all that is left."""
        at, self.at = self.at, self.end
        return self._data[at : self.end]

    def part(self, size: int, name: str) -> "FieldReader":
        """Return a reader of the next bytes, and go on behind them."""
        at = self._take(size, name)
        return FieldReader(self._data, at, at + size)

    def finish(self) -> None:
        """Refuse what stands behind the last field."""
        if self.at < self.end:
            raise malformed(f"{self.left} bytes behind the end of the packet")

    def _take(self, size: int, name: str) -> int:
        at = self.at
        if at + size > self.end:
            raise malformed(f"{name}: {self.end - at} bytes are left, expected {size}")
        self.at = at + size
        return at


def byte(value: int) -> bytes:
    """Write one byte.

    Raises:
        LocalProtocolError: it is no number from 0 to 255; likewise the others, for what they cannot say.
    """
    return _integer(value, 1)


def two_bytes(value: int) -> bytes:
    """Write a two byte integer."""
    return _integer(value, 2)


def four_bytes(value: int) -> bytes:
    """Write a four byte integer."""
    return _integer(value, 4)


def variable(value: int) -> bytes:
    """Write a variable byte integer."""
    if not 0 <= value <= MAX_VARIABLE_INTEGER:
        raise LocalProtocolError(f"{value} is out of range, expected 0 to {MAX_VARIABLE_INTEGER}")
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def binary(value: bytes) -> bytes:
    """Write binary data behind its length."""
    if len(value) > MAX_STRING_BYTES:
        raise LocalProtocolError(f"a field of {len(value)} bytes, expected {MAX_STRING_BYTES} or fewer")
    return len(value).to_bytes(2) + value


def text(value: str) -> bytes:
    """Write a UTF-8 encoded string."""
    try:
        data = value.encode()
    except UnicodeEncodeError:
        raise LocalProtocolError("a text contains a lone surrogate") from None
    if 0 in data:
        raise LocalProtocolError("a text contains U+0000")
    return binary(data)


def packet_id(value: int) -> bytes:
    """Write a packet identifier, 1 to 65,535 [MQTT-2.2.1-3]."""
    if not 0 < value <= MAX_STRING_BYTES:
        raise LocalProtocolError(f"{value} is no packet id, expected 1 to 65535")
    return value.to_bytes(2)


def _integer(value: int, size: int) -> bytes:
    try:
        return value.to_bytes(size)
    except OverflowError:
        raise LocalProtocolError(f"{value} is out of range, expected 0 to {256**size - 1}") from None
