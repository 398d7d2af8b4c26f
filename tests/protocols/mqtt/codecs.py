"""The implementations of the MQTT codec that must not differ, and what they make of bytes in a form to compare."""

import importlib
import itertools
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, Protocol, cast

import msgspec

from chappe.protocols.mqtt.packets import NO_PUBLISH_PROPERTIES, Packet, PublishProperties, Version
from chappe.protocols.mqtt.reason_codes import MqttError

#: A native codec that was not built fails its tests: on a machine that runs them there is a compiler.
MODULES: Final = {"pure": "chappe.protocols.mqtt.codec_pure", "native": "chappe.protocols.mqtt._codec"}

#: The least CONNECT of each version, by hand.
CONNECTS: Final = {
    Version.V3_1_1: bytes.fromhex("100d00044d515454040200000001") + b"x",
    Version.V5: bytes.fromhex("100e00044d51545405020000000001") + b"x",
}
VERSIONS: Final = (Version.V3_1_1, Version.V5)
LIMIT: Final = 1_024


class Reading(Protocol):
    """One connection's receiving state."""

    max_packet_bytes: int

    @property
    def version(self) -> Version | None: ...
    @property
    def error(self) -> MqttError | None: ...
    @property
    def buffered_bytes(self) -> int: ...
    def feed(self, data: bytes | bytearray | memoryview) -> list[Packet]: ...


class Framing(Protocol):
    """A PUBLISH for many readers."""

    @property
    def size_bytes(self) -> int: ...
    def with_id(self, packet_id: int, dup: bool = False) -> bytes: ...


class Codec(Protocol):
    """A module with a codec."""

    def PacketReader(
        self, max_packet_bytes: int, version: Version | None = None, max_connect_bytes: int | None = None
    ) -> Reading: ...
    def encode_publish(
        self,
        topic: str,
        payload: bytes,
        version: Version,
        qos: int = 0,
        retain: bool = False,
        dup: bool = False,
        packet_id: int = 0,
        properties: PublishProperties = NO_PUBLISH_PROPERTIES,
    ) -> bytes: ...
    def encode_acknowledgement(self, packet_type: int, packet_id: int) -> bytes: ...
    def PublishFrame(
        self,
        topic: str,
        payload: bytes,
        version: Version,
        qos: int,
        retain: bool = False,
        properties: PublishProperties = NO_PUBLISH_PROPERTIES,
    ) -> Framing: ...


def load_codec(name: str) -> Codec:
    """Return an implementation by its name in `MODULES`."""
    module: Any = importlib.import_module(MODULES[name])
    return cast(Codec, module)


class Outcome(NamedTuple):
    """What became of some bytes; `error` is code and reason."""

    packets: tuple[Packet, ...]
    error: tuple[int, str] | None
    version: Version | None


def opened(codec: Codec, version: Version | None, from_client: bool = True, limit: int = LIMIT) -> Reading:
    """Return a reader behind the CONNECT of a version (None: before it), or of what a server sends."""
    if not from_client:
        return codec.PacketReader(limit, version)
    reader = codec.PacketReader(limit)
    if version is not None:
        assert len(reader.feed(CONNECTS[version])) == 1
    return reader


def outcome_of(reader: Reading, pieces: Iterable[bytes]) -> Outcome:
    """Feed a reader, one piece after the other."""
    packets = [packet for piece in pieces for packet in reader.feed(piece)]
    error = reader.error
    told = None if error is None else (int(error.reason_code), error.reason)
    return Outcome(tuple(packets), told, reader.version)


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """Cut bytes at some places, as far as they are in it."""
    inside = sorted({place for place in places if 0 < place < len(data)})
    edges = [0, *inside, len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def meaning(value: Any) -> Any:
    """Return a packet as the vectors write it: what is absent or has its default is left out."""
    if isinstance(value, msgspec.Struct):
        fields = {each.name: (getattr(value, each.name), each.default) for each in msgspec.structs.fields(value)}
        told = {name: meaning(held) for name, (held, default) in fields.items() if held != default or name == "version"}
        packet_type = getattr(value, "type", None)
        return told if packet_type is None else {"type": packet_type.name.lower(), **told}
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, tuple):
        return [meaning(each) for each in value]
    return value
