from __future__ import annotations

import pytest

from chappe.protocols.mqtt import packets
from chappe.protocols.mqtt.packets import Subscribe, SubscribeFilter, Unsubscribe
from chappe.protocols.mqtt.reason_codes import ReasonCode
from tests.hub.mqtt.rig import V3, V5, Box


@pytest.fixture
def box() -> Box:
    return Box()


def test_mqtt_3_9_3_there_is_one_code_for_each_filter_in_order(box: Box) -> None:
    device = box.joined("a")
    codes = device.subscribe("a", "closed/b", "x" * 300, "live/c", SubscribeFilter("d", 1))
    assert codes == [0, ReasonCode.NOT_AUTHORIZED, ReasonCode.TOPIC_FILTER_INVALID, 0, 1]


@pytest.mark.parametrize("version", [V3, V5])
def test_namespaces_that_keep_nothing_grant_qos_0(box: Box, version: packets.Version) -> None:
    device = box.joined("a", version)
    assert device.subscribe("live/a", "cursor/a", "a", qos=2) == [0, 0, 2]


def test_mqtt_3_8_4_retained_messages_come_behind_the_suback(box: Box) -> None:
    box.joined("w").publish("a", b"kept", 1, retain=True)
    device = box.joined("r")
    device.send(Subscribe(1, (SubscribeFilter("a", 1), SubscribeFilter("b"))))
    suback, message = device.take()
    assert isinstance(suback, packets.Suback)
    assert isinstance(message, packets.Publish)
    assert (message.payload, message.retain, message.qos) == (b"kept", True, 1)


@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize(("handling", "first", "again"), [(0, 1, 1), (1, 1, 0), (2, 0, 0)])
def test_mqtt_3_8_3_retain_handling(box: Box, handling: int, first: int, again: int, qos: int) -> None:
    box.joined("w").publish("a", b"kept", retain=True)
    device = box.joined("r")
    asked = SubscribeFilter("a", qos, retain_handling=handling)
    for expected in (first, again):
        device.subscribe(asked)
        assert len(device.messages()) == expected


def test_mqtt_3_8_4_3_subscribing_again_changes_the_options_and_interrupts_nothing(box: Box) -> None:
    device, writer = box.joined("r"), box.joined("w")
    device.subscribe("a")
    writer.publish("a", b"1", 2)
    device.subscribe("a", qos=2)
    writer.publish("a", b"2", 2)
    device.subscribe("a", qos=1)
    writer.publish("a", b"3", 2)
    assert [(each.payload, each.qos) for each in device.messages()] == [(b"1", 0), (b"2", 2), (b"3", 1)]
    assert len(device.mqtt.filters) == 1


def test_an_empty_retained_message_clears_the_slot_and_is_delivered_live(box: Box) -> None:
    device, writer = box.joined("r"), box.joined("w")
    device.subscribe("a")
    writer.publish("a", b"kept", retain=True)
    writer.publish("a", b"", retain=True)
    assert [(each.payload, each.retain) for each in device.messages()] == [(b"kept", False), (b"", False)]
    late = box.joined("l")
    late.subscribe("a")
    assert late.messages() == []


@pytest.mark.parametrize("version", [V3, V5])
def test_mqtt_3_11_unsubscribing_is_answered_also_where_nothing_was(box: Box, version: packets.Version) -> None:
    device, writer = box.joined("r", version), box.joined("w")
    device.subscribe("a", "b/+")
    device.send(Unsubscribe(9, ("a", "never")))
    (answer,) = device.take()
    assert isinstance(answer, packets.Unsuback)
    assert answer.packet_id == 9
    if version is V5:
        assert list(answer.reason_codes) == [0, ReasonCode.NO_SUBSCRIPTION_EXISTED]
    writer.publish("a", b"1")
    writer.publish("b/c", b"2")
    assert device.payloads() == [b"2"]


def test_what_is_pipelined_behind_an_asynchronous_hook_keeps_its_order(box: Box) -> None:
    gate = box.sleep(5.0)

    async def think(session: object, channel: str) -> None:
        await gate

    box.hub.hooks.add_subscribe("#", think)
    device = box.joined("r")
    device.send(Subscribe(1, (SubscribeFilter("a"),)), Unsubscribe(2, ("a",)), Subscribe(3, (SubscribeFilter("b", 1),)))
    box.clock.advance(6.0)
    box.settle()
    answers = device.take()
    assert [type(each) for each in answers] == [packets.Suback, packets.Unsuback, packets.Suback]
    assert {one.name for one in device.mqtt.filters.all()} == {"b"}


def test_no_more_filters_than_the_limit(box: Box) -> None:
    device = box.joined("a")
    codes = device.subscribe(*(f"t/{n}" for n in range(5_000))) + device.subscribe(*(f"u/{n}" for n in range(5_000)))
    most = box.limits.channels_per_client
    assert codes[:most] == [0] * most
    assert set(codes[most:]) == {ReasonCode.QUOTA_EXCEEDED}
    assert device.mqtt.session.subscribed == most
    assert device.line.closed is None


def test_a_subscription_that_the_hub_interrupts_goes_on_without_a_gap(box: Box) -> None:
    device, writer = box.joined("r"), box.joined("w")
    device.subscribe("a", "b/#", qos=1)
    writer.publish("a", b"1", 1)
    box.hub.delivery.interrupted(None)
    writer.publish("b/c", b"2", 1)
    box.settle()
    writer.publish("a", b"3", 1)
    assert device.payloads() == [b"1", b"2", b"3"]
    assert device.line.closed is None


def test_an_operator_who_ends_a_subscription_ends_the_connection(box: Box) -> None:
    device = box.joined("r")
    device.subscribe("a")
    assert box.hub.subscribing.end_all([device.mqtt.session], "a") == 1
    box.settle()
    assert device.line.closed is not None
