"""Sessions that are taken up again while something is in the way: what `test_machine` and the kill programmes found."""

from __future__ import annotations

from typing import Any

import pytest

from chappe.hub.contracts import Read, ReadResult
from chappe.hub.hooks import Draft
from chappe.hub.mqtt import MqttOptions
from chappe.hub.mqtt.keeping import _CHECKPOINT_MESSAGES
from chappe.hub.mqtt.records import Underway, flights_of
from chappe.model.error_codes import Code
from chappe.model.position import Position
from chappe.protocols.mqtt import packets
from chappe.protocols.mqtt.encoder import encode
from chappe.protocols.mqtt.packets import ConnectProperties, Publish, SubscribeFilter, Will
from chappe.protocols.mqtt.window import Flight, Stage
from tests.hub.harness import Gate
from tests.hub.mqtt.rig import V3, V5, Box, Device, durable_box


def back(box: Box, client_id: str = "r", **options: Any) -> Device:
    """Come back to a session; what came with it is left for `take`."""
    device = box.device(client_id, clean=False, **{"expiry_s": 1_000} | options)
    connack = box.connack(device)
    assert (connack.reason_code, connack.session_present) == (0, True)
    device.line.packets.remove(connack)
    return device


def found(device: Device) -> list[Publish]:
    """Return the messages that came, and acknowledge none of them."""
    return [each for each in device.take() if isinstance(each, Publish)]


@pytest.mark.parametrize("goodbye", [False, True])
def test_a_session_that_ends_with_its_connection_is_not_found_after_a_restart(goodbye: bool) -> None:
    box = durable_box()
    device = box.joined("r", expiry_s=1_000)
    device.subscribe("a", qos=1)
    if goodbye:
        device.goodbye(expiry_s=0)
    else:
        device.cut()
        back(box, expiry_s=0)
    again = box.restart().device("r", clean=False, expiry_s=1_000)
    assert not box.connack(again).session_present


def test_mqtt_3_8_3_3_no_local_is_about_the_client_and_not_its_connection() -> None:
    box = Box()
    will = Will("a", b"my will", 1)
    device = box.joined("r", expiry_s=1_000, will=will)
    assert device.subscribe(SubscribeFilter("a", 1, no_local=True)) == [1]
    # Said because of the connection that takes this one over.
    assert back(box).payloads() == []


def test_no_local_holds_for_what_waited_over_a_restart() -> None:
    box = durable_box()
    device = box.joined("r", properties=ConnectProperties(session_expiry_s=1_000, receive_maximum=1))
    device.subscribe(SubscribeFilter("a", 1, no_local=True))
    box.joined("w").publish("a", b"1", 1)
    box.joined("w").publish("a", b"2", 1)
    device.publish("a", b"mine", 1)
    after = box.restart()
    # Sessions have the same names there as they had here, one after the other.
    after.joined("somebody")
    assert back(after).payloads() == [b"1", b"2"]


def test_mqtt_3_3_4_9_a_smaller_receive_maximum_holds_for_what_is_sent_again() -> None:
    box = Box()
    device = box.joined("r", expiry_s=1_000)
    device.subscribe("a", qos=2)
    writer = box.joined("w")
    for n in range(4):
        writer.publish("a", b"%d" % n, 1 + n % 2)
    device.cut()
    again = back(box, properties=ConnectProperties(session_expiry_s=1_000, receive_maximum=1))
    came: list[bytes] = []
    while messages := found(again):
        assert len(messages) == 1
        came.append(messages[0].payload)
        if messages[0].qos == 1:
            again.send(packets.Puback(messages[0].packet_id))
        else:
            again.send(packets.Pubrec(messages[0].packet_id), packets.Pubcomp(messages[0].packet_id))
    assert came == [b"0", b"1", b"2", b"3"]


def test_what_came_with_qos_0_does_not_come_again_when_more_is_asked_for() -> None:
    box = Box()
    device = box.joined("r", expiry_s=1_000)
    device.subscribe("a", "b/#")
    writer = box.joined("w")
    writer.publish("a", b"1", 1)
    writer.publish("b/c", b"2", 1)
    assert device.payloads() == [b"1", b"2"]
    for name in ("a", "b/#"):
        device.subscribe(SubscribeFilter(name, 2, retain_handling=2))
    device.cut()
    assert back(box).payloads() == []


@pytest.mark.parametrize("seed", range(8))
def test_filters_that_overlap_bring_what_was_missed_once_however_late_the_broker_is(seed: int) -> None:
    box = Box("faulty", seed=seed)
    device = box.joined("r", expiry_s=1_000)
    device.subscribe("a/b", "a/#", qos=2)
    device.cut()
    writer = box.joined("w")
    for n in range(5):
        writer.publish("a/b" if n % 2 else "a/c", b"%d" % n, 2)
    assert back(box).payloads() == [b"0", b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize("restart", [False, True])
def test_mqtt_3_8_4_3_what_waits_is_not_lost_by_another_qos_for_its_filter(restart: bool) -> None:
    box = durable_box()
    device = box.joined("r", properties=ConnectProperties(session_expiry_s=1_000, receive_maximum=1))
    device.subscribe("a/#", qos=2)
    writer = box.joined("w")
    for n in range(3):
        writer.publish("a/b", b"%d" % n, 2)
    device.subscribe(SubscribeFilter("a/#", 0, retain_handling=2))
    device.cut()
    assert back(box.restart() if restart else box).payloads() == [b"0", b"1", b"2"]


def test_a_message_of_qos_2_whose_connection_ended_before_it_was_stored_is_published_once() -> None:
    box, gate = Box(), Gate()

    async def slow(_session: Any, _draft: Draft) -> None:
        await gate

    box.hub.hooks.add_publish("a", slow)
    reader = box.joined("reader")
    reader.subscribe("a", qos=2)
    writer = box.joined("r", expiry_s=1_000)
    message = Publish("a", b"once", 2, packet_id=7)
    writer.send(message)
    writer.cut()
    gate.open()
    box.settle()
    again = back(box)
    for _ in range(2):
        again.send(Publish("a", b"once", 2, dup=True, packet_id=7))
    assert again.take() == [packets.Pubrec(7), packets.Pubrec(7)]
    assert reader.payloads() == [b"once"]


class Failing:
    """A broker that answers no question for a while."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.fails = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def read(self, request: Read, done: Any) -> None:
        if self.fails:
            done(ReadResult(Code.NOT_AVAILABLE, Position("", 0)))
        else:
            self._inner.read(request, done)


def test_a_resume_that_fails_in_the_middle_loses_no_place() -> None:
    box = Box(wrap=Failing)
    device = box.joined("r", expiry_s=1_000)
    device.subscribe("a", "b", "c", qos=1)
    device.cut()
    writer = box.joined("w")
    for name in ("a", "b", "c"):
        writer.publish(name, name.encode(), 1)
    assert isinstance(box.broker, Failing)
    box.broker.fails = True
    assert back(box).line.closed is not None
    box.broker.fails = False
    assert back(box).payloads() == [b"a", b"b", b"c"]


def test_a_channel_that_was_forgotten_meanwhile_brings_what_came_in_its_next_life() -> None:
    box = Box()
    device = box.joined("r", V3, clean=False)
    device.subscribe("a", qos=1)
    device.cut()
    # Nobody uses it, and nothing is kept in it.
    box.clock.advance(10_000.0)
    box.joined("w").publish("a", b"missed", 1)
    again = box.device("r", V3, clean=False)
    assert again.payloads() == [b"missed"]


def test_a_message_of_qos_2_that_no_log_has_any_more_is_released() -> None:
    lost = (Underway(5, "a", "e", 1, 2), Underway(6, "a", "e", 2, 1))
    # Of QoS 1 nothing is left; with QoS 2 the client may have it, and waits for PUBREL.
    assert flights_of(lost, {}) == ([Flight(5, None, Stage.RELEASED)], [])


def test_many_messages_are_written_down_before_their_time() -> None:
    box = durable_box(options=MqttOptions(sys_interval_s=0, inflight_messages=1_000))
    device = box.joined("r", expiry_s=1_000)
    device.subscribe("a", qos=1)
    writer = box.joined("w")
    for _ in range(_CHECKPOINT_MESSAGES):
        writer.publish("a", b"x", 1)
    written = []
    for each in found(device):
        # No time goes by between them.
        device.mqtt.receive(encode(packets.Puback(each.packet_id), V5), False)
        written.append(box.service.metrics()["chappe_mqtt_records_written_total"])
    assert set(written[:-1]) == {written[0]}
    assert written[-1] == written[0] + 1
