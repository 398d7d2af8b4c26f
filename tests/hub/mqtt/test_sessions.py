from __future__ import annotations

import pytest

from chappe.hub.contracts import Claims
from chappe.hub.mqtt import MqttOptions
from chappe.hub.mqtt.adoption import GRACE_S
from chappe.protocols.mqtt import packets
from chappe.protocols.mqtt.packets import NEVER_EXPIRES, Connect, Publish, Will, WillProperties
from chappe.protocols.mqtt.reason_codes import ReasonCode
from tests.hub.harness import Tokens
from tests.hub.mqtt.rig import V3, V5, Box, Device, durable_box


@pytest.fixture
def box() -> Box:
    return Box()


def resumed(box: Box, client_id: str, version: packets.Version = V5, **options: object) -> Device:
    """Come back to a session, which must be there."""
    device = box.device(client_id, version, clean=False, **({"expiry_s": 1_000} if version is V5 else {}), **options)  # type: ignore[arg-type]
    connack = box.connack(device)
    assert (connack.reason_code, connack.session_present) == (0, True)
    device.line.packets.remove(connack)
    return device


# --- What waits for a session ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [V3, V5])
def test_mqtt_4_1_what_was_missed_is_read_from_the_log(box: Box, version: packets.Version) -> None:
    device = box.joined("r", version, clean=False, **({"expiry_s": 1_000} if version is V5 else {}))
    device.subscribe("a", "b/+", qos=2)
    device.cut()
    writer = box.joined("w")
    writer.publish("a", b"1", 1)
    writer.publish("b/c", b"2", 2)
    writer.publish("a", b"not kept", 0)
    writer.publish("other", b"no", 2)
    again = resumed(box, "r", version)
    assert sorted((each.payload, each.qos) for each in again.messages()) == [(b"1", 1), (b"2", 2)]
    writer.publish("a", b"live", 1)
    assert again.payloads() == [b"live"]
    again.cut()
    assert resumed(box, "r", version).payloads() == []


def test_messages_of_other_protocols_wait_too(box: Box) -> None:
    box.joined("r", expiry_s=1_000).subscribe("a", qos=1)
    box.service.sessions.live["r"].lost(1006)
    box.append("a", {"n": 1})
    assert resumed(box, "r").payloads() == [b'{"n":1}']


def test_overlapping_filters_bring_what_was_missed_once(box: Box) -> None:
    device = box.joined("r", expiry_s=1_000)
    device.subscribe("a/b", qos=1, identifier=1)
    device.subscribe("a/#", qos=2, identifier=2)
    device.cut()
    box.joined("w").publish("a/b", b"once", 2)
    (message,) = resumed(box, "r").messages()
    assert (message.payload, message.qos, set(message.properties.subscription_ids)) == (b"once", 2, {1, 2})


def test_retained_messages_do_not_come_again_with_the_session(box: Box) -> None:
    box.joined("w").publish("a", b"kept", 1, retain=True)
    device = box.joined("r", expiry_s=1_000)
    device.subscribe("a", qos=1)
    assert device.payloads() == [b"kept"]
    device.cut()
    assert resumed(box, "r").payloads() == []


def test_namespaces_keep_more_for_sessions_than_they_say(box: Box) -> None:
    device = box.joined("r", expiry_s=10_000)
    device.subscribe("short/a", qos=1)
    device.cut()
    writer = box.joined("w")
    for n in range(50):
        writer.publish("short/a", str(n).encode(), 1)
    # Longer than the namespace keeps anything.
    box.clock.advance(600.0)
    got: list[bytes] = []
    again = resumed(box, "r")
    while found := again.payloads():
        got += found
    assert got == [str(n).encode() for n in range(50)]


def test_beyond_the_queue_messages_are_dropped_counted_and_logged() -> None:
    box = Box(options=MqttOptions(sys_interval_s=0, session_queue_messages=5))
    device = box.joined("r", expiry_s=1_000)
    device.subscribe("short/a", qos=1)
    device.cut()
    writer = box.joined("w")
    for n in range(12):
        writer.publish("short/a", str(n).encode(), 1)
    # The oldest go: 5 are kept.
    assert resumed(box, "r").payloads() == [str(n).encode() for n in range(7, 12)]
    assert box.service.gaps == 1
    assert any("not kept any more" in line for _, line in box.log)


# --- What is on its way ----------------------------------------------------------------------------------------------


def test_mqtt_4_4_what_is_not_acknowledged_is_sent_again_first_with_its_id(box: Box) -> None:
    device = box.joined("r", expiry_s=1_000)
    device.subscribe("a", qos=2)
    writer = box.joined("w")
    writer.publish("a", b"1", 1)
    writer.publish("a", b"2", 2)
    writer.publish("a", b"3", 2)
    one, two, three = [each for each in device.take() if isinstance(each, Publish)]
    device.send(packets.Pubrec(two.packet_id))
    device.cut()
    writer.publish("a", b"4", 1)
    again = resumed(box, "r").take()
    assert [(type(each), each.packet_id) for each in again[:3]] == [  # type: ignore[union-attr]
        (Publish, one.packet_id),
        (packets.Pubrel, two.packet_id),
        (Publish, three.packet_id),
    ]
    assert [each.dup for each in again if isinstance(each, Publish)] == [True, True, False]
    assert again[3].payload == b"4"  # type: ignore[union-attr]


def test_what_waited_behind_a_full_window_comes_once(box: Box) -> None:
    narrow = packets.ConnectProperties(session_expiry_s=1_000, receive_maximum=2)
    device = box.joined("r", properties=narrow)
    device.subscribe("a", "b/#", qos=1)
    writer = box.joined("w")
    for n in range(6):
        writer.publish("a" if n % 2 else "b/c", str(n).encode(), 1)
    first = [each for each in device.take() if isinstance(each, Publish)]
    assert [each.payload for each in first] == [b"0", b"1"]
    device.send(packets.Puback(first[0].packet_id))
    device.cut()
    again = resumed(box, "r")
    got: list[bytes] = []
    while found := again.payloads():
        got += found
    assert sorted(got) == [b"1", b"2", b"3", b"4", b"5"]


@pytest.mark.parametrize("durable", [False, True])
def test_a_message_of_qos_2_that_was_published_is_not_published_again_after_a_reconnect(durable: bool) -> None:
    box = durable_box() if durable else Box()
    reader = box.joined("r")
    reader.subscribe("a", qos=2)
    writer = box.joined("w", expiry_s=1_000)
    writer.send(Publish("a", b"once", 2, packet_id=5))
    writer.cut()
    again = resumed(box, "w")
    again.send(Publish("a", b"once", 2, dup=True, packet_id=5))
    assert [type(each) for each in again.take()] == [packets.Pubrec]
    again.send(packets.Pubrel(5), Publish("a", b"new", 2, packet_id=5))
    assert reader.payloads() == [b"once", b"new"]


# --- Beginning and end -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "first", "then", "present"),
    [
        (V3, {"clean": True}, {"clean": False}, False),
        (V3, {"clean": False}, {"clean": True}, False),
        (V3, {"clean": False}, {"clean": False}, True),
        (V5, {"clean": True}, {"clean": False}, False),
        (V5, {"clean": True, "expiry_s": 10}, {"clean": False}, True),
        (V5, {"clean": False, "expiry_s": 10}, {"clean": True}, False),
        (V5, {"clean": True, "expiry_s": NEVER_EXPIRES}, {"clean": False}, True),
    ],
)
def test_a_session_is_there_if_it_was_to_stay_and_is_wanted(
    box: Box, version: packets.Version, first: dict[str, bool], then: dict[str, bool], present: bool
) -> None:
    device = box.joined("a", version, **first)
    device.subscribe("x", qos=1)
    device.goodbye()
    again = box.device("a", version, **then)  # type: ignore[arg-type]
    assert box.connack(again).session_present is present
    assert len(again.mqtt.filters) == int(present)


def test_a_session_ends_when_its_time_is_over(box: Box) -> None:
    device = box.joined("a", expiry_s=10)
    device.subscribe("x", qos=1)
    device.cut()
    box.clock.advance(11.0)
    assert box.service.sessions.expired == 1
    assert not box.service.retention.needs_of("a")
    assert box.connack(box.device("a", clean=False)).session_present is False


def test_mqtt_3_14_2_a_goodbye_may_change_the_expiry_but_not_from_none(box: Box) -> None:
    device = box.joined("a", expiry_s=1)
    device.goodbye(expiry_s=100)
    box.clock.advance(50.0)
    device = resumed(box, "a")
    device.goodbye(expiry_s=0)
    device = box.device("a", clean=False)
    assert box.connack(device).session_present is False
    device.goodbye(expiry_s=5)
    assert device.line.packets[-1].reason_code == ReasonCode.PROTOCOL_ERROR  # type: ignore[union-attr]


def test_mqtt_3_1_4_the_same_client_elsewhere_ends_the_older_connection(box: Box) -> None:
    first = box.joined("a", expiry_s=10)
    first.subscribe("x", qos=1)
    second = box.device("a", clean=False, expiry_s=10)
    assert box.connack(second).session_present is True
    assert first.line.packets[-1].reason_code == ReasonCode.SESSION_TAKEN_OVER  # type: ignore[union-attr]
    assert first.line.closed is not None
    box.joined("w").publish("x", b"1", 1)
    assert second.payloads() == [b"1"]
    assert box.service.sessions.taken_over == 1


def test_a_client_id_is_taken_over_by_the_same_identity_only() -> None:
    box = Box(authenticator=Tokens(ada=Claims(user="ada"), bob=Claims(user="bob")))
    first = box.joined("a", password=b"ada", expiry_s=10)
    for stranger in ({"password": b"bob"}, {}, {"user_name": "Cleo"}):
        refused = box.device("a", **stranger)
        assert box.connack(refused).reason_code == ReasonCode.CLIENT_IDENTIFIER_NOT_VALID
    assert first.line.closed is None
    first.cut()
    assert box.connack(box.device("a", password=b"bob")).reason_code == ReasonCode.CLIENT_IDENTIFIER_NOT_VALID
    assert box.connack(box.device("a", clean=False, password=b"ada")).session_present


def test_a_claimed_name_comes_back_with_its_client_id(box: Box) -> None:
    box.joined("a", user_name="Ada", expiry_s=10)
    second = box.joined("a", user_name="Ada", clean=False)
    assert second.mqtt.session.name == "Ada"


# --- Wills -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def watcher(box: Box) -> Device:
    watcher = box.joined("watcher")
    watcher.subscribe("will", qos=1)
    return watcher


def will(delay_s: int = 0, **options: bool) -> Will:
    return Will("will", b"gone", 1, properties=WillProperties(will_delay_s=delay_s), **options)


def test_mqtt_3_1_2_5_a_lost_connection_says_its_will_and_a_goodbye_does_not(box: Box, watcher: Device) -> None:
    box.joined("a", will=will()).goodbye()
    assert watcher.payloads() == []
    box.joined("a", will=will()).cut()
    assert watcher.payloads() == [b"gone"]
    box.joined("a", will=will()).goodbye(ReasonCode.DISCONNECT_WITH_WILL)
    assert watcher.payloads() == [b"gone"]
    box.joined("a", will=will()).feed(b"\xff\xff")
    assert watcher.payloads() == [b"gone"]


def test_a_will_may_be_retained(box: Box) -> None:
    box.joined("a", will=will(retain=True)).cut()
    late = box.joined("late")
    late.subscribe("will", qos=1)
    (message,) = late.messages()
    assert (message.payload, message.retain) == (b"gone", True)


@pytest.mark.parametrize(("delay_s", "expiry_s", "after_s"), [(3, 5, 3), (5, 0, 0), (5, 2, 2)])
def test_mqtt_3_1_3_2_2_a_will_waits_for_its_delay_or_the_end_of_the_session(
    box: Box, watcher: Device, delay_s: int, expiry_s: int, after_s: int
) -> None:
    box.joined("a", will=will(delay_s), expiry_s=expiry_s).mqtt.lost(1006)
    if after_s:
        box.clock.advance(after_s - 0.5)
        assert watcher.payloads() == []
        box.clock.advance(1.0)
    assert watcher.payloads() == [b"gone"]
    box.clock.advance(20.0)
    assert watcher.payloads() == []


def test_a_client_that_is_back_in_time_takes_its_will_back(box: Box, watcher: Device) -> None:
    box.joined("a", will=will(10), expiry_s=100).cut()
    resumed(box, "a")
    box.clock.advance(50.0)
    assert watcher.payloads() == []


def test_a_clean_start_ends_the_session_and_so_says_its_will(box: Box, watcher: Device) -> None:
    box.joined("a", will=will(10), expiry_s=100).cut()
    box.joined("a")
    assert watcher.payloads() == [b"gone"]


def test_hooks_are_asked_about_wills(box: Box, watcher: Device) -> None:
    async def censor(session: object, draft: object) -> None:
        draft.data = "nicer"  # type: ignore[attr-defined]

    box.hub.hooks.add_publish("will", censor)
    box.joined("a", will=will()).cut()
    assert watcher.payloads() == [b"nicer"]


# --- Another hub over the same broker --------------------------------------------------------------------------------


def test_sessions_survive_a_restart_with_their_filters_and_places() -> None:
    box = durable_box()
    device = box.joined("r", expiry_s=1_000)
    device.subscribe("a", qos=2, identifier=7)
    writer = box.joined("w")
    writer.publish("a", b"before", 1)
    assert device.payloads() == [b"before"]
    box.clock.advance(5.0)
    writer.publish("a", b"while it dies", 1)
    again = box.restart()
    again.joined("w2").publish("a", b"after", 1)
    device = resumed(again, "r")
    messages = device.messages()
    assert [each.payload for each in messages] == [b"while it dies", b"after"]
    assert all(each.properties.subscription_ids == (7,) for each in messages)


def test_after_a_restart_qos_2_goes_on_where_it_was() -> None:
    box = durable_box()
    device = box.joined("r", expiry_s=1_000)
    device.subscribe("a", qos=2)
    writer = box.joined("w")
    writer.publish("a", b"1", 2)
    writer.publish("a", b"2", 2)
    one, two = [each for each in device.take() if isinstance(each, Publish)]
    device.send(packets.Pubrec(one.packet_id))
    device = resumed(box.restart(), "r")
    found = device.take()
    assert [(type(each), each.packet_id) for each in found] == [  # type: ignore[union-attr]
        (packets.Pubrel, one.packet_id),
        (Publish, two.packet_id),
    ]
    assert found[1].payload == b"2"  # type: ignore[union-attr]
    assert found[1].dup  # type: ignore[union-attr]


def test_after_a_restart_a_message_of_qos_2_is_not_published_again() -> None:
    box = durable_box()
    writer = box.joined("w", expiry_s=1_000)
    writer.send(Publish("a", b"once", 2, packet_id=5))
    again = box.restart()
    reader = again.joined("r")
    reader.subscribe("a", qos=2)
    device = resumed(again, "w")
    device.send(Publish("a", b"once", 2, dup=True, packet_id=5))
    device.send(packets.Pubrel(5))
    device.send(Publish("a", b"new", 2, packet_id=5))
    assert reader.payloads() == [b"new"]


def test_a_restart_says_the_wills_of_who_does_not_come_back_once() -> None:
    box = durable_box()
    box.joined("gone", will=will(), expiry_s=1_000)
    box.joined("back", will=Will("will", b"back"), expiry_s=1_000)
    again = box.restart()
    watcher = again.joined("watcher")
    watcher.subscribe("will", qos=1)
    resumed(again, "back")
    again.clock.advance(GRACE_S + 1)
    again.settle()
    assert watcher.payloads() == [b"gone"]
    third = again.restart()
    watcher = third.joined("watcher")
    watcher.subscribe("will", qos=1)
    third.clock.advance(GRACE_S + 1)
    assert watcher.payloads() == []


def test_sessions_that_ended_are_gone_after_a_restart() -> None:
    box = durable_box()
    box.joined("expired", expiry_s=5).cut()
    box.joined("clean", expiry_s=1_000).goodbye()
    box.joined("clean")
    box.clock.advance(10.0)
    again = box.restart()
    assert not again.service.sessions.away
    assert box.connack(again.device("expired", clean=False)).session_present is False


def test_expiry_goes_on_while_the_hub_is_away() -> None:
    box = durable_box()
    box.joined("a", expiry_s=100).goodbye()
    box.clock.advance(60.0)
    again = box.restart()
    again.clock.advance(41.0)
    assert box.connack(again.device("a", clean=False)).session_present is False


def test_nothing_is_written_where_nothing_survives(box: Box) -> None:
    device = box.joined("a", expiry_s=100)
    device.subscribe("x", qos=2)
    device.cut()
    assert not [name for name in box.memory._streams if name.startswith("$hub/")]
    assert isinstance(Connect("a"), Connect)
