"""Bytes become packets: every vector, however it is cut, and the limits of a reader."""

import gc
import importlib
import weakref
from typing import Any

import pytest

from chappe.protocols.mqtt import codec_pure, reader
from chappe.protocols.mqtt.packets import Connect, Packet, Pingreq, Publish, Version
from chappe.protocols.mqtt.reader import decode
from chappe.protocols.mqtt.reason_codes import MqttError, ReasonCode
from tests.protocols.mqtt.codecs import (
    CONNECTS,
    LIMIT,
    MODULES,
    VERSIONS,
    Codec,
    Reading,
    load_codec,
    meaning,
    opened,
    outcome_of,
)
from tests.protocols.vectors import load, title

VECTORS = [*load("mqtt.packets.json"), *load("mqtt.clients.json")]
LEVELS = {"3.1.1": Version.V3_1_1, "5": Version.V5, None: None}
EVERY = pytest.mark.parametrize("vector", [pytest.param(each, id=title(each)) for each in VECTORS])
PINGREQ = b"\xc0\x00"


def expected(vector: dict[str, Any]) -> tuple[list[Any], int | None]:
    return vector["packets"], vector["error"] and int(vector["error"], 16)


def read(codec: Codec, vector: dict[str, Any], pieces: list[bytes]) -> tuple[list[Any], int | None]:
    outcome = outcome_of(opened(codec, LEVELS[vector["version"]], vector["from"] == "client"), pieces)
    return [meaning(packet) for packet in outcome.packets], outcome.error and outcome.error[0]


def told(reading: Reading) -> str | None:
    error = reading.error
    return None if error is None else f"{error.reason} (0x{error.reason_code:02x})"


@EVERY
def test_a_vector_is_read_whole(vector: dict[str, Any], codec: Codec) -> None:
    assert read(codec, vector, [bytes.fromhex(vector["hex"])]) == expected(vector)


@EVERY
def test_a_vector_is_read_however_it_is_cut(vector: dict[str, Any]) -> None:
    data, wanted = bytes.fromhex(vector["hex"]), expected(vector)
    cuts = [[data[at : at + 1] for at in range(len(data))]]
    cuts += [[data[:at], data[at:]] for at in range(1, min(len(data), 80))]
    for name in MODULES:
        for pieces in cuts:
            assert read(load_codec(name), vector, pieces) == wanted


@EVERY
def test_a_vector_of_one_packet_is_decoded_alone(vector: dict[str, Any]) -> None:
    packets, code = expected(vector)
    data = bytes.fromhex(vector["hex"])
    if len(packets) != 1 or code is not None:
        return
    assert meaning(decode(data, LEVELS[vector["version"]] or Version.V5)) == packets[0]
    for wrong in (data[:-1], data + b"\0", b""):
        with pytest.raises(MqttError) as caught:
            decode(wrong, LEVELS[vector["version"]] or Version.V5)
        assert caught.value.reason_code == ReasonCode.MALFORMED_PACKET


@pytest.mark.parametrize(
    ("data", "code"),
    [("f000", 0x81), ("c1ff", 0x81), ("30ffffffff01", 0x81), ("c08000", 0x81), ("3000", 0x81)],
    ids=["reserved", "flags", "endless", "padded", "empty"],
)
def test_what_is_no_packet_is_decoded_as_none(data: str, code: int) -> None:
    version = Version.V5 if data == "c08000" else Version.V3_1_1
    with pytest.raises(MqttError) as caught:
        decode(bytes.fromhex(data), version)
    assert caught.value.reason_code == code


def test_decode_takes_what_either_side_may_send() -> None:
    assert meaning(decode(b"\xd0\x00", Version.V5)) == {"type": "pingresp"}
    assert meaning(decode(PINGREQ, Version.V3_1_1)) == {"type": "pingreq"}
    assert decode(CONNECTS[Version.V3_1_1], Version.V5) == Connect("x", Version.V3_1_1)


def test_the_reader_is_the_native_one_where_it_was_compiled() -> None:
    native = importlib.import_module("chappe.protocols.mqtt._codec")
    assert reader.NATIVE
    assert reader.PacketReader is native.PacketReader
    assert reader.PacketReader is not codec_pure.PacketReader


@pytest.mark.parametrize("version", VERSIONS)
def test_the_version_is_learnt_from_connect(version: Version, codec: Codec) -> None:
    reading = codec.PacketReader(LIMIT)
    assert reading.version is None
    reading.feed(CONNECTS[version])
    assert reading.version is version


@pytest.mark.parametrize(
    ("level", "version"),
    [(3, Version.V3_1_1), (0, Version.V3_1_1), (6, Version.V5), (0x84, Version.V3_1_1), (0x85, Version.V5)],
)
def test_mqtt_3_1_2_2_a_level_that_is_not_spoken_is_answered_in_words_its_client_can_read(
    level: int, version: Version, codec: Codec
) -> None:
    reading = codec.PacketReader(LIMIT)
    assert not reading.feed(CONNECTS[Version.V5].replace(b"MQTT\x05", b"MQTT" + bytes((level,))))
    assert reading.error is not None
    assert reading.error.reason_code == ReasonCode.UNSUPPORTED_PROTOCOL_VERSION
    assert reading.version is version


def test_what_is_no_mqtt_has_no_version_to_answer_in(codec: Codec) -> None:
    for data in (CONNECTS[Version.V5].replace(b"MQTT", b"HTTP"), b"GET / HTTP/1.1\r\n\r\n", PINGREQ):
        reading = codec.PacketReader(LIMIT)
        assert not reading.feed(data)
        assert reading.error is not None
        assert reading.version is None


def test_a_malformed_connect_tells_its_version_all_the_same(codec: Codec) -> None:
    for version in VERSIONS:
        reading = codec.PacketReader(LIMIT)
        data = bytearray(CONNECTS[version])
        data[9] |= 1
        assert not reading.feed(data)
        assert reading.error is not None
        assert reading.error.reason_code == ReasonCode.MALFORMED_PACKET
        assert reading.version is version


def test_what_comes_before_an_error_is_returned_and_what_comes_behind_is_ignored(codec: Codec) -> None:
    reading = opened(codec, Version.V5)
    assert reading.feed(PINGREQ * 2 + b"\x00" + PINGREQ) == [Pingreq()] * 2
    first = reading.error
    assert first is not None
    assert reading.feed(PINGREQ) == []
    assert reading.feed(b"\xf1") == []
    assert reading.error is first
    assert reading.buffered_bytes == 0


def test_a_packet_that_is_too_large_is_refused_once_its_length_is_known(codec: Codec) -> None:
    reading = opened(codec, Version.V5)
    assert reading.feed(b"\x30\xff") == []
    assert told(reading) is None
    assert reading.feed(b"\x08") == []
    assert told(reading) == "a packet of 1154 bytes, expected 1024 or fewer (0x95)"


def test_the_limit_may_be_set_at_any_time(codec: Codec) -> None:
    reading = opened(codec, Version.V3_1_1)
    message = codec.encode_publish("a", b"x" * 100, Version.V3_1_1)
    assert len(reading.feed(message)) == 1
    reading.max_packet_bytes = len(message) - 1
    assert reading.feed(message) == []
    assert reading.error is not None


def test_connect_has_a_limit_of_its_own(codec: Codec) -> None:
    data = CONNECTS[Version.V5]
    enough = codec.PacketReader(LIMIT, max_connect_bytes=len(data))
    message = codec.encode_publish("a", b"x" * 100, Version.V5)
    assert [type(packet) for packet in enough.feed(data + message)] == [Connect, Publish]
    narrow = codec.PacketReader(LIMIT, max_connect_bytes=len(data) - 1)
    assert narrow.feed(data) == []
    assert narrow.error is not None
    assert narrow.error.reason_code == ReasonCode.PACKET_TOO_LARGE


def test_what_is_kept_is_what_came_and_not_what_was_promised(codec: Codec) -> None:
    reading = opened(codec, Version.V5, limit=1 << 24)
    assert reading.feed(b"\x30\xff\xff\xff\x03" + b"\0\1a\0") == []
    assert reading.buffered_bytes == 9
    for _ in range(100):
        reading.feed(b"x" * 1000)
    assert reading.buffered_bytes == 100_009
    rest = 0x7FFFFF - 100_004
    [packet] = reading.feed(b"x" * rest)
    assert isinstance(packet, Publish)
    assert len(packet.payload) == 0x7FFFFF - 4
    assert reading.buffered_bytes == 0


def test_nothing_is_read_from_nothing(codec: Codec) -> None:
    reading = codec.PacketReader(LIMIT)
    assert reading.feed(b"") == []
    assert reading.buffered_bytes == 0


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_bytes_are_read_and_none_of_them_are_kept(kind: Any, codec: Codec) -> None:
    reading = opened(codec, Version.V5)
    source = bytearray(codec.encode_publish("a/b", b"payload", Version.V5))
    data = kind(source)
    packets: list[Packet] = reading.feed(data[:5])
    packets += reading.feed(data[5:])
    source[:] = bytes(len(source))
    assert packets == [Publish("a/b", b"payload")]


def test_a_topic_that_comes_again_is_the_same_object(codec: Codec) -> None:
    native = importlib.import_module("chappe.protocols.mqtt._codec")
    reading = opened(native, Version.V5)
    one, two, other, three = reading.feed(
        b"".join(codec.encode_publish(topic, b"", Version.V5) for topic in ("a/b", "a/b", "a/c", "a/b"))
    )
    assert isinstance(one, Publish)
    assert isinstance(two, Publish)
    assert isinstance(three, Publish)
    assert isinstance(other, Publish)
    assert one.topic is two.topic
    assert (one.topic, other.topic, three.topic) == ("a/b", "a/c", "a/b")


def test_a_reader_that_failed_is_gone_with_its_connection_and_needs_no_collector() -> None:
    class Connection:
        def __init__(self) -> None:
            self.reading = codec_pure.PacketReader(LIMIT)

    gc.disable()
    try:
        connection = Connection()
        connection.reading.feed(CONNECTS[Version.V5] + b"\x82\x08\0\1\0\0\2\xff\xff\0")
        assert connection.reading.error is not None
        assert connection.reading.error.__traceback__ is None
        assert connection.reading.error.__context__ is None
        gone = weakref.ref(connection)
        del connection
        assert gone() is None
    finally:
        gc.enable()
