"""Both codecs write PUBLISH and its acknowledgements alike, and refuse what cannot be said."""

from typing import Any

import pytest

from chappe.model.errors import LocalProtocolError
from chappe.protocols.mqtt import codec_pure
from chappe.protocols.mqtt.fields import malformed
from chappe.protocols.mqtt.packets import PacketType, PublishProperties, Version
from chappe.protocols.mqtt.reader import decode
from chappe.protocols.mqtt.reason_codes import MqttError
from tests.protocols.mqtt.codecs import VERSIONS, Codec


@pytest.mark.parametrize(
    ("arguments", "data"),
    [
        (("a/b", b"hi", Version.V3_1_1), "30070003612f626869"),
        (("a/b", b"hi", Version.V5), "30080003612f62006869"),
        (("a/b", b"", Version.V3_1_1, 1, True, True, 258), "3b070003612f620102"),
        (("é", b"\0", Version.V5, 2, False, False, 65_535), "34080002c3a9ffff0000"),
        (("", b"x", Version.V5, 0, False, False, 0, PublishProperties(topic_alias=7)), "300700000323000778"),
        (("a", b"", Version.V3_1_1, 0, False, False, 0, PublishProperties(topic_alias=7)), "3003000161"),
    ],
)
def test_a_message_is_written_as_the_specification_says(arguments: Any, data: str, codec: Codec) -> None:
    assert codec.encode_publish(*arguments).hex() == data


def test_every_property_of_a_message_is_written(codec: Codec) -> None:
    properties = PublishProperties(1, 3600, 9, "r/e", b"\0\1", (("k", "1"), ("k", "é")), (1, 268_435_455), "t")
    written = "01010200000e10230009080003722f650900020001"
    written += "2600016b0001312600016b0002c3a90b010bffffff7f03000174"
    data = codec.encode_publish("a", b"", Version.V5, properties=properties)
    assert data[6:].hex() == written
    assert data[:6].hex() == f"30{len(data) - 2:02x}000161{len(written) // 2:02x}"


@pytest.mark.parametrize(
    ("size", "header"),
    [(124, "307f"), (125, "308001"), (16_380, "30ff7f"), (16_381, "30808001"), (2_097_149, "3080808001")],
)
def test_the_remaining_length_is_in_its_shortest_form(size: int, header: str, codec: Codec) -> None:
    data = codec.encode_publish("a", bytes(size), Version.V3_1_1)
    assert data.startswith(bytes.fromhex(header) + b"\0\1a")
    assert len(data) == len(header) // 2 + 3 + size


def wrong_messages() -> dict[str, dict[str, Any]]:
    long_name = {"properties": PublishProperties(content_type="x" * 65_536)}
    return {
        "QoS 3": {"qos": 3, "packet_id": 1},
        "QoS -1": {"qos": -1},
        "no id": {"qos": 1},
        "an id of QoS 0": {"packet_id": 1},
        "an id too high": {"qos": 2, "packet_id": 65_536},
        "a negative id": {"qos": 1, "packet_id": -1},
        "a duplicate of QoS 0": {"dup": True},
        "no topic": {"topic": ""},
        "no topic and an alias in 3.1.1": {
            "topic": "",
            "version": Version.V3_1_1,
            "properties": PublishProperties(topic_alias=1),
        },
        "a wildcard": {"topic": "a/+"},
        "U+0000": {"topic": "a\0"},
        "a surrogate": {"topic": "\ud800"},
        "a long topic": {"topic": "x" * 65_536},
        "an alias of 0": {"properties": PublishProperties(topic_alias=0)},
        "an alias too high": {"properties": PublishProperties(topic_alias=65_536)},
        "a payload format of 2": {"properties": PublishProperties(payload_format=2)},
        "an expiry too high": {"properties": PublishProperties(message_expiry_s=1 << 32)},
        "a negative expiry": {"properties": PublishProperties(message_expiry_s=-1)},
        "subscription 0": {"properties": PublishProperties(subscription_ids=(0,))},
        "a subscription too high": {"properties": PublishProperties(subscription_ids=(268_435_456,))},
        "a long content type": long_name,
        "a name with U+0000": {"properties": PublishProperties(user_properties=(("a\0", ""),))},
        "a value with a surrogate": {"properties": PublishProperties(user_properties=(("a", "\udfff"),))},
        "long correlation data": {"properties": PublishProperties(correlation_data=bytes(65_536))},
        "a response topic with U+0000": {"properties": PublishProperties(response_topic="\0")},
    }


@pytest.mark.parametrize("name", wrong_messages())
def test_a_message_that_cannot_be_said_is_refused(name: str, codec: Codec) -> None:
    arguments: dict[str, Any] = {"topic": "a", "payload": b"", "version": Version.V5, **wrong_messages()[name]}
    with pytest.raises(LocalProtocolError) as caught:
        codec.encode_publish(**arguments)
    with pytest.raises(LocalProtocolError) as same:
        codec_pure.encode_publish(**arguments)
    assert caught.value.reason == same.value.reason


def test_more_than_a_packet_can_hold_is_refused(codec: Codec) -> None:
    payload = bytes(268_435_455)
    with pytest.raises(LocalProtocolError, match="out of range"):
        codec.encode_publish("a", payload, Version.V3_1_1)


@pytest.mark.parametrize(
    ("packet_type", "data"),
    [
        (PacketType.PUBACK, "40020102"),
        (PacketType.PUBREC, "50020102"),
        (PacketType.PUBREL, "62020102"),
        (PacketType.PUBCOMP, "70020102"),
    ],
)
def test_an_acknowledgement_is_written_as_the_specification_says(
    packet_type: PacketType, data: str, codec: Codec
) -> None:
    assert codec.encode_acknowledgement(packet_type, 258).hex() == data


@pytest.mark.parametrize("packet_id", [0, -1, 65_536])
def test_an_acknowledgement_of_no_packet_is_refused(packet_id: int, codec: Codec) -> None:
    with pytest.raises(LocalProtocolError, match="is no packet id"):
        codec.encode_acknowledgement(PacketType.PUBACK, packet_id)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("size", [0, 120, 17_000])
def test_a_frame_for_many_differs_only_in_its_id(qos: int, version: Version, size: int, codec: Codec) -> None:
    properties = PublishProperties(user_properties=(("epoch", "x1"),))
    frame = codec.PublishFrame("a/b", bytes(size), version, qos, True, properties)
    for packet_id, dup in ((1, False), (65_535, True), (258, False)):
        whole = codec.encode_publish("a/b", bytes(size), version, qos, True, dup, packet_id, properties)
        assert frame.with_id(packet_id, dup) == whole
        assert frame.size_bytes == len(whole)
        assert decode(frame.with_id(packet_id, dup), version) == decode(whole, version)


def test_a_frame_for_many_needs_a_qos_and_right_ids(codec: Codec) -> None:
    with pytest.raises(LocalProtocolError):
        codec.PublishFrame("a", b"", Version.V5, 0)
    with pytest.raises(LocalProtocolError):
        codec.PublishFrame("a/#", b"", Version.V5, 1)
    frame = codec.PublishFrame("a", b"", Version.V5, 1)
    for packet_id in (0, -1, 65_536):
        with pytest.raises(LocalProtocolError, match="is no packet id"):
            frame.with_id(packet_id)


def test_an_error_that_is_kept_holds_on_to_nothing() -> None:
    try:
        b"\xff".decode()
    except UnicodeDecodeError as cause:
        try:
            raise malformed("text that is no UTF-8") from cause
        except MqttError as error:
            kept = codec_pure.bare(error)
    assert (kept.__traceback__, kept.__context__, kept.__cause__) == (None, None, None)
    assert kept.reason == "text that is no UTF-8"
