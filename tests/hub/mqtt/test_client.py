from __future__ import annotations

import pytest

from chappe.hub.mqtt import MqttOptions
from chappe.model.error_codes import Code
from chappe.protocols.mqtt import packets
from chappe.protocols.mqtt.encoder import encode
from chappe.protocols.mqtt.packets import Connect, ConnectProperties, Publish, PublishProperties
from chappe.protocols.mqtt.reason_codes import ReasonCode
from tests.hub.mqtt.rig import V3, V5, Box, Device


@pytest.fixture
def box() -> Box:
    return Box()


def reason_of_end(device: Device) -> int | None:
    """Return the code of the DISCONNECT that ended a connection, which is closed."""
    assert device.line.closed is not None
    last = device.line.packets[-1] if device.line.packets else None
    return last.reason_code if isinstance(last, packets.Disconnect) else None


@pytest.mark.parametrize("version", [V3, V5])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_message_reaches_who_subscribed_with_the_lower_of_both_qos(
    box: Box, version: packets.Version, qos: int
) -> None:
    reader, writer = box.joined("r", version), box.joined("w", version)
    assert reader.subscribe("a/b", qos=1) == [1]
    writer.publish("a/b", b"hello", qos)
    (message,) = reader.messages()
    assert (message.topic, message.payload, message.qos, message.retain, message.dup) == (
        "a/b",
        b"hello",
        min(qos, 1),
        False,
        False,
    )


def test_all_plain_clients_of_a_version_share_one_frame(box: Box) -> None:
    readers = [box.joined(f"r{n}") for n in range(3)]
    for reader in readers:
        reader.subscribe("a/b")
    box.joined("w").publish("a/b")
    frames = [reader.line.shared[-1] for reader in readers]
    assert all(frame is frames[0] for frame in frames)


def test_mqtt_4_3_3_a_repetition_of_qos_2_is_answered_and_not_published_again(box: Box) -> None:
    reader, writer = box.joined("r"), box.joined("w")
    reader.subscribe("a", qos=2)
    writer.send(Publish("a", b"1", 2, packet_id=7), Publish("a", b"1", 2, dup=True, packet_id=7))
    assert [type(each) for each in writer.take()] == [packets.Pubrec, packets.Pubrec]
    writer.send(packets.Pubrel(7), packets.Pubrel(7))
    assert [each.reason_code for each in writer.take()] == [0, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND]  # type: ignore[union-attr]
    writer.send(Publish("a", b"2", 2, packet_id=7))
    assert reader.payloads() == [b"1", b"2"]


def test_mqtt_3_3_4_more_messages_under_way_than_announced_end_the_connection(box: Box) -> None:
    writer = box.joined("w")
    allowed = box.service.options.receive_maximum
    writer.send(*(Publish("a", b"", 2, packet_id=n) for n in range(1, allowed + 1)))
    assert writer.line.closed is None
    writer.send(Publish("a", b"", 2, packet_id=allowed + 1))
    assert reason_of_end(writer) == ReasonCode.RECEIVE_MAXIMUM_EXCEEDED


def test_clients_of_3_1_1_know_no_receive_maximum(box: Box) -> None:
    writer = box.joined("w", V3)
    writer.send(*(Publish("a", b"", 2, packet_id=n) for n in range(1, 100)))
    assert writer.line.closed is None
    assert len(writer.take()) == 99


@pytest.mark.parametrize("alias", [0, 11])
def test_mqtt_3_3_2_an_alias_out_of_range_ends_the_connection(box: Box, alias: int) -> None:
    writer = box.joined("w")
    writer.send(Publish("a", b"", properties=PublishProperties(topic_alias=11)))
    assert reason_of_end(writer) == ReasonCode.TOPIC_ALIAS_INVALID


def test_an_alias_stands_for_its_topic_until_the_connection_ends(box: Box) -> None:
    reader = box.joined("r")
    reader.subscribe("a", "b")
    writer = box.joined("w", expiry_s=100)
    alias = PublishProperties(topic_alias=3)
    writer.send(Publish("a", b"1", properties=alias), Publish("", b"2", properties=alias))
    writer.send(Publish("b", b"3", properties=alias), Publish("", b"4", properties=alias))
    assert [(each.topic, each.payload) for each in reader.messages()] == [
        ("a", b"1"),
        ("a", b"2"),
        ("b", b"3"),
        ("b", b"4"),
    ]
    writer.cut()
    again = box.joined("w", clean=False)
    again.send(Publish("", b"5", properties=alias))
    assert reason_of_end(again) == ReasonCode.PROTOCOL_ERROR


def test_what_was_published_before_a_goodbye_is_published(box: Box) -> None:
    gate = box.sleep(5.0)

    async def think(session: object, draft: object) -> None:
        await gate

    box.hub.hooks.add_publish("#", think)
    reader, writer = box.joined("r"), box.joined("w")
    reader.subscribe("a")
    writer.send(Publish("a", b"last word"), packets.Disconnect())
    box.clock.advance(6.0)
    assert reader.payloads() == [b"last word"]
    assert writer.line.closed == 1000


@pytest.mark.parametrize(("version", "answers"), [(V3, [packets.Puback]), (V5, [packets.Puback])])
def test_who_may_not_publish_is_told_as_far_as_the_version_can(
    box: Box, version: packets.Version, answers: list[type]
) -> None:
    writer = box.joined("w", version)
    (answer,) = writer.publish("closed/a", b"", 1)
    assert type(answer) is packets.Puback
    assert answer.reason_code == (0 if version is V3 else ReasonCode.NOT_AUTHORIZED)
    assert writer.line.closed is None
    assert box.hub.counters.errors[Code.PERMISSION_DENIED] == 1


def test_a_refused_message_of_qos_2_gives_its_id_back(box: Box) -> None:
    writer = box.joined("w")
    (answer,) = writer.publish("closed/a", b"", 2)
    assert isinstance(answer, packets.Pubrec)
    assert answer.reason_code == ReasonCode.NOT_AUTHORIZED
    assert not writer.mqtt.taken


def test_clients_may_not_publish_to_channels_of_the_hub(box: Box) -> None:
    writer = box.joined("w")
    for topic in ("$SYS/broker/version", "$hub/mqtt/x", "$user/ada"):
        (answer,) = writer.publish(topic, b"", 1)
        assert answer.reason_code == ReasonCode.NOT_AUTHORIZED  # type: ignore[union-attr]


def test_a_second_connect_ends_the_connection(box: Box) -> None:
    device = box.joined("a")
    device.send(Connect("a"))
    assert reason_of_end(device) == ReasonCode.PROTOCOL_ERROR


def test_auth_without_a_method_ends_the_connection(box: Box) -> None:
    device = box.joined("a")
    device.send(packets.Auth(ReasonCode.REAUTHENTICATE, packets.AuthProperties(authentication_method="x")))
    assert reason_of_end(device) == ReasonCode.PROTOCOL_ERROR


def test_a_text_frame_ends_the_connection(box: Box) -> None:
    device = box.joined("a")
    device.mqtt.receive(b"hello", True)
    assert reason_of_end(device) == ReasonCode.PROTOCOL_ERROR


def test_no_connect_in_time_ends_the_connection(box: Box) -> None:
    device = Device(box)
    box.clock.advance(box.limits.handshake_timeout_s + 1)
    assert device.line.closed is not None
    assert box.service.connect_timeouts == 1
    assert not box.hub.sessions


def test_half_a_connect_does_not_hold_the_connection(box: Box) -> None:
    device = Device(box)
    device.feed(encode(Connect("a"), V5)[:5])
    box.clock.advance(box.limits.handshake_timeout_s + 1)
    assert device.line.closed is not None


def test_a_malformed_packet_says_why_and_leaves_everybody_else_alone(box: Box) -> None:
    healthy, device = box.joined("h"), box.joined("a")
    healthy.subscribe("x")
    device.feed(b"\x82\x02\x00\x01")
    assert reason_of_end(device) in (ReasonCode.MALFORMED_PACKET, ReasonCode.PROTOCOL_ERROR)
    box.joined("w").publish("x", b"still here")
    assert healthy.payloads() == [b"still here"]


def test_a_huge_remaining_length_is_refused_before_it_comes() -> None:
    box = Box()
    device = box.joined("a")
    device.feed(b"\x30\xff\xff\xff\x7f")
    assert reason_of_end(device) == ReasonCode.PACKET_TOO_LARGE


def test_packets_that_come_before_connack_wait_for_it(box: Box) -> None:
    gate = box.sleep(5.0)

    async def think(session: object) -> None:
        await gate

    box.hub.hooks.connect.append(think)
    device = Device(box)
    asked = packets.Subscribe(1, (packets.SubscribeFilter("a"),))
    device.send(Connect("a"), asked, packets.Pingreq())
    assert device.take() == []
    box.clock.advance(6.0)
    kinds = [type(each) for each in device.take()]
    assert kinds[0] is packets.Connack
    assert set(kinds[1:]) == {packets.Suback, packets.Pingresp}


def test_a_silent_client_is_silent_after_one_and_a_half_times_its_keep_alive(box: Box) -> None:
    device = box.joined("a", V3, keep_alive_s=10)
    heard = device.line.last_heard
    assert not device.mqtt.is_silent(heard + 14.9)
    assert device.mqtt.is_silent(heard + 15.0)
    assert not box.joined("b", V3).mqtt.is_silent(heard + 1e9)


def test_a_ping_is_answered(box: Box) -> None:
    device = box.joined("a")
    device.send(packets.Pingreq())
    assert [type(each) for each in device.take()] == [packets.Pingresp]


def test_reason_strings_go_only_to_who_asked_for_them(box: Box) -> None:
    quiet = box.joined("a")
    (answer,) = quiet.publish("closed/a", b"", 1)
    assert answer.properties == packets.NO_ACK_PROPERTIES  # type: ignore[union-attr]
    curious = box.joined("b", properties=ConnectProperties(request_problem_information=True))
    (answer,) = curious.publish("closed/a", b"", 1)
    assert "permission" in (answer.properties.reason_string or "")  # type: ignore[union-attr]


def test_an_operator_ends_a_connection_with_its_reason(box: Box) -> None:
    device = box.joined("a")
    device.mqtt.session.close(Code.DISCONNECTED)
    box.settle()
    assert reason_of_end(device) == ReasonCode.ADMINISTRATIVE_ACTION


def test_a_hub_that_shuts_down_says_so(box: Box) -> None:
    device = box.joined("a")
    box.hub.shutdown([device.mqtt.session])
    assert reason_of_end(device) == ReasonCode.SERVER_SHUTTING_DOWN


def test_too_many_packets_before_connack_end_the_connection() -> None:
    box = Box(options=MqttOptions(sys_interval_s=0))
    gate = box.sleep(50.0)

    async def think(session: object) -> None:
        await gate

    box.hub.hooks.connect.append(think)
    device = Device(box)
    device.send(Connect("a"), *(packets.Pingreq() for _ in range(100)))
    assert device.line.closed is not None


def test_between_the_packets_of_one_piece_others_have_a_turn(box: Box) -> None:
    writer, told = box.joined("writer"), list[int]()
    box.hub.breathe = lambda: told.append(box.service.packets_in)
    before = box.service.packets_in
    writer.send(*(Publish("a", b"x", 0) for _ in range(5)))
    assert told == [before + count for count in range(1, 5)]
