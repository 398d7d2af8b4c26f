from __future__ import annotations

import pytest

from chappe.hub.mqtt import MqttOptions
from chappe.protocols.mqtt import packets
from chappe.protocols.mqtt.packets import ConnectProperties, Publish, PublishProperties, SubscribeFilter
from tests.hub.mqtt.rig import V3, Box


@pytest.fixture
def box() -> Box:
    return Box()


def test_mqtt_3_3_4_several_filters_bring_one_copy_with_all_identifiers(box: Box) -> None:
    device = box.joined("r")
    device.subscribe("a/b", qos=1, identifier=2)
    device.subscribe("a/#", qos=2, identifier=3)
    device.subscribe("a/+", identifier=None)
    box.joined("w").publish("a/b", b"x", 2)
    (message,) = device.messages()
    assert message.qos == 2
    assert set(message.properties.subscription_ids) == {2, 3}


def test_no_local_keeps_ones_own_messages_back(box: Box) -> None:
    device, other = box.joined("r"), box.joined("o")
    device.subscribe(SubscribeFilter("a", 1, no_local=True))
    device.publish("a", b"mine", 1)
    other.publish("a", b"other", 1)
    assert device.payloads() == [b"other"]


def test_retain_as_published_keeps_the_flag(box: Box) -> None:
    device, writer = box.joined("r"), box.joined("w")
    device.subscribe(SubscribeFilter("a", 1, retain_as_published=True))
    writer.publish("a", b"1", 1)
    writer.publish("a", b"2", 1, retain=True)
    assert [each.retain for each in device.messages()] == [False, True]


def test_mqtt_4_9_no_more_than_the_receive_maximum_is_under_way(box: Box) -> None:
    device = box.joined("r", properties=ConnectProperties(receive_maximum=2))
    device.subscribe("a", qos=1)
    writer = box.joined("w")
    for n in range(5):
        writer.publish("a", str(n).encode(), 1)
    first = [each for each in device.take() if isinstance(each, Publish)]
    assert [each.payload for each in first] == [b"0", b"1"]
    device.send(packets.Puback(first[1].packet_id))
    (third,) = device.take()
    assert isinstance(third, Publish)
    assert third.payload == b"2"
    # What is of QoS 0 does not wait.
    writer.publish("a", b"now", 0)
    (now,) = device.take()
    assert isinstance(now, Publish)
    assert now.payload == b"now"


def test_mqtt_3_1_2_11_packets_that_are_too_large_count_as_delivered(box: Box) -> None:
    device = box.joined("r", properties=ConnectProperties(maximum_packet_bytes=64))
    device.subscribe("a", qos=1)
    writer = box.joined("w")
    for size in (32, 64, 16):
        writer.publish("a", b"." * size, 1)
        writer.publish("a", b"." * size, 0)
    assert [len(each.payload) for each in device.messages()] == [32, 32, 16, 16]
    assert max(device.line.sizes) <= 64
    assert box.service.too_large == 2
    assert not device.mqtt.outbound.window.flights  # type: ignore[union-attr]


def test_topics_get_numbers_where_the_client_takes_them(box: Box) -> None:
    device = box.joined("r", properties=ConnectProperties(topic_alias_maximum=1))
    device.subscribe("a", "b", qos=1)
    writer = box.joined("w")
    for topic in ("a", "a", "b", "a"):
        writer.publish(topic, b"", 1)
        writer.publish(topic, b"", 0)
    told = [(each.topic, each.properties.topic_alias) for each in device.messages()]
    assert told == [("a", 1), ("", 1), ("", 1), ("", 1), ("b", None), ("b", None), ("", 1), ("", 1)]


def test_mqtt_3_3_2_3_3_what_is_over_is_not_sent_and_the_rest_tells_what_is_left(box: Box) -> None:
    device = box.joined("r", expiry_s=100)
    device.subscribe("a", qos=1)
    device.cut()
    writer = box.joined("w")
    for expiry_s in (1, 60):
        writer.publish("a", str(expiry_s).encode(), 1, properties=PublishProperties(message_expiry_s=expiry_s))
    box.clock.advance(10.0)
    (message,) = box.joined("r", clean=False, expiry_s=100).messages()
    assert message.payload == b"60"
    assert 40 <= (message.properties.message_expiry_s or 0) < 51


def test_properties_go_on_unchanged_and_in_order(box: Box) -> None:
    properties = PublishProperties(
        payload_format=1,
        response_topic="answers/1",
        correlation_data=b"\x00\xff",
        user_properties=(("b", "1"), ("a", "2"), ("b", "3")),
        content_type="text/plain",
    )
    plain, personal = box.joined("p"), box.joined("q")
    plain.subscribe("a")
    personal.subscribe("a", qos=2)
    box.joined("w").publish("a", b"x", 2, properties=properties)
    for reader in (plain, personal):
        (message,) = reader.messages()
        assert message.properties == properties


def test_positions_go_along_for_who_asks(box: Box) -> None:
    device = box.joined("r", properties=ConnectProperties(user_properties=(("chappe-positions", "1"),)))
    device.subscribe("a")
    outcome = box.append("a", "hello")
    (message,) = device.messages()
    told = dict(message.properties.user_properties)
    assert told == {"chappe-offset": str(outcome.position.offset), "chappe-epoch": outcome.position.epoch}


def test_json_of_other_protocols_leaves_as_its_text(box: Box) -> None:
    device = box.joined("r")
    device.subscribe("a")
    box.append("a", {"n": 1})
    box.append("a", "bare")
    value, text = device.messages()
    assert (value.payload, value.properties.content_type) == (b'{"n":1}', "application/json")
    assert (text.payload, text.properties.payload_format) == (b"bare", 1)


@pytest.mark.parametrize("version", [V3, packets.Version.V5])
def test_headers_that_no_property_can_hold_do_not_keep_a_message_back(box: Box, version: packets.Version) -> None:
    device, personal = box.joined("r", version), box.joined("p", version)
    device.subscribe("a")
    personal.subscribe("a", qos=1)
    box.append("a", 1, headers={"big": "x" * 70_000, "mqtt-expires": "soon", "correlation-data": "?"})
    assert device.payloads() == personal.payloads() == [b"1"]


def test_what_finds_no_room_is_dropped_and_counted() -> None:
    options = MqttOptions(sys_interval_s=0, session_queue_messages=3, inflight_messages=2)
    box = Box(options=options)
    device = box.joined("r")
    device.subscribe("a", qos=1)
    writer = box.joined("w")
    for n in range(10):
        writer.publish("a", str(n).encode(), 1)
    assert box.service.dropped == 5
    got: list[bytes] = []
    while found := device.payloads():
        got += found
    assert got == [b"0", b"1", b"2", b"3", b"4"]
    assert any("dropped" in line for _, line in box.log)


def test_a_message_larger_than_the_queue_still_goes_alone() -> None:
    box = Box(options=MqttOptions(sys_interval_s=0, session_queue_bytes=1_000))
    device = box.joined("r", properties=ConnectProperties(receive_maximum=1))
    device.subscribe("a", qos=1)
    box.joined("w").publish("a", b"x" * 5_000, 1)
    assert [len(each) for each in device.payloads()] == [5_000]
