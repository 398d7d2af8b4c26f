from __future__ import annotations

from collections import Counter

import pytest

from chappe.hub.mqtt import MqttOptions
from chappe.protocols.mqtt import packets
from chappe.protocols.mqtt.packets import Publish, Unsubscribe
from tests.hub.mqtt.boxes import GONE_S, SHARED, Boxes, answer, came, member, once, post, publish
from tests.hub.mqtt.rig import Device


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("count", [2, 3])
def test_mqtt_4_8_2_each_message_goes_to_one_member_of_all_nodes(count: int, qos: int) -> None:
    nodes = Boxes(count)
    members = [member(box, f"m{n}{k}", SHARED, qos) for n, box in enumerate(nodes.boxes) for k in range(2)]
    payloads = publish(nodes[0], 60)
    got = [came(device) for device in members]
    assert sum(got, Counter()) == once(payloads)
    assert all(got)
    assert nodes.metric("chappe_mqtt_group_elsewhere_total") == 60 * (count - 1)
    nodes.pass_time(1)
    assert nodes.metric("chappe_mqtt_group_awaited") == 0


def test_members_of_different_qos_get_what_they_were_granted_and_nobody_waits_for_qos_0() -> None:
    nodes = Boxes()
    low, high = member(nodes[0], "low", SHARED, 0), member(nodes[1], "high", SHARED, 2)
    payloads = publish(nodes[0], 20)
    assert nodes[1].service.metrics()["chappe_mqtt_group_awaited"] == 0
    assert {each.qos for each in low.line.packets if isinstance(each, Publish)} == {0}
    assert {each.qos for each in high.line.packets if isinstance(each, Publish)} == {2}
    assert came(low, high) == once(payloads)


def test_messages_that_are_kept_nowhere_go_to_one_member() -> None:
    nodes = Boxes()
    members = [member(box, "m", "$share/crew/live/a", 0) for box in nodes.boxes]
    writer = nodes[0].joined("w")
    for number in range(20):
        writer.publish("live/a", str(number).encode())
    assert came(*members) == once([str(number).encode() for number in range(20)])


@pytest.mark.parametrize("way", ["goodbye", "unsubscribe", "cut"])
def test_what_the_last_member_at_a_node_leaves_goes_to_another_node(way: str) -> None:
    nodes = Boxes()
    one, two = member(nodes[0], "one", SHARED, 1), member(nodes[1], "two", SHARED, 1)
    payloads = publish(nodes[1], 30)
    got = came(two)
    assert 0 < len(got) < 30
    if way == "goodbye":
        one.goodbye()
    elif way == "unsubscribe":
        got += came(one)
        one.send(Unsubscribe(9, (SHARED,)))
    else:
        one.cut()
    later = publish(nodes[1], 10, first=30)
    assert got + came(two) == once(payloads + later)


def test_a_node_that_stops_in_good_order_leaves_its_messages_to_the_others() -> None:
    nodes = Boxes(3)
    members = [member(box, f"m{n}{k}", SHARED, 2) for n, box in enumerate(nodes.boxes) for k in range(2)]
    payloads = publish(nodes[1], 30)
    for device in members[:2]:
        assert {each.qos for each in device.line.packets if isinstance(each, Publish)} == {2}
    got = came(*members)
    member(nodes[0], "slow", "$share/slow/jobs/#", 1)
    others = [member(box, f"s{n}", "$share/slow/jobs/#", 1) for n, box in enumerate(nodes.boxes[1:])]
    payloads += publish(nodes[1], 30, first=30)
    got += came(*members)
    nodes.stop(0)
    payloads += publish(nodes[1], 30, first=60)
    got += came(*members[2:])
    assert got == once(payloads)
    # Nobody at the stopped node acknowledged anything.
    assert came(*others) == once(payloads[30:])


def test_what_a_killed_node_did_not_come_to_goes_to_the_others() -> None:
    nodes = Boxes(3)
    members = [member(box, f"m{n}", SHARED, 1) for n, box in enumerate(nodes.boxes)]
    payloads = publish(nodes[1], 30)
    got = came(*members[1:])
    assert len(got) < 30
    nodes.kill(0)
    payloads += publish(nodes[1], 30, first=30)
    got += came(*members[1:])
    nodes.pass_time(GONE_S)
    got += came(*members[1:])
    assert got == once(payloads)
    assert nodes[1].service.metrics()["chappe_mqtt_group_passed_on_total"] == 0
    assert nodes[1].service.metrics()["chappe_mqtt_group_taken_over_total"] > 0


def test_what_was_acknowledged_at_a_killed_node_does_not_come_again() -> None:
    nodes = Boxes(2)
    one, two = member(nodes[0], "one", SHARED, 1), member(nodes[1], "two", SHARED, 1)
    payloads = publish(nodes[1], 30)
    got = came(one, two)
    nodes.pass_time(1)
    nodes.kill(0)
    nodes.pass_time(GONE_S)
    assert got + came(two) == once(payloads)


def test_mqtt_4_8_2_4_qos_2_of_a_killed_node_waits_for_its_member() -> None:
    nodes = Boxes(2)
    one = member(nodes[0], "one", SHARED, 2, expiry_s=600)
    two = member(nodes[1], "two", SHARED, 2)
    payloads = publish(nodes[1], 20)
    sent = {each.payload: each.packet_id for each in one.take() if isinstance(each, Publish)}
    assert sent
    nodes.kill(0)
    nodes.pass_time(GONE_S)
    got = came(two)
    assert not set(sent) & set(got)
    again = nodes[1].joined("one", clean=False, expiry_s=600)
    repeated = [each for each in again.line.packets if isinstance(each, Publish) and each.dup]
    assert {each.payload: each.packet_id for each in repeated} == sent
    assert got + came(again) == once(payloads)


def test_a_node_that_joins_gets_its_part_and_nothing_comes_twice() -> None:
    nodes = Boxes(2)
    members = [member(nodes[0], "m0", SHARED, 1)]
    payloads = publish(nodes[0], 10)
    members.append(member(nodes[1], "m1", SHARED, 1))
    payloads += publish(nodes[0], 20, first=10)
    members.append(member(nodes.add(), "m2", SHARED, 1))
    payloads += publish(nodes[0], 30, first=30)
    got = [came(device) for device in members]
    assert sum(got, Counter()) == once(payloads)
    assert all(got)


def absent(nodes: Boxes, *, both: bool) -> None:
    """Let a group have a member with a session at each of two nodes, and then nobody connected."""
    for number in range(2):
        member(nodes[number], f"m{number}", SHARED, 1, expiry_s=600)
    for number in range(2):
        nodes[number].service.sessions.live[f"m{number}"].lost(1006)
        if both:
            nodes.pass_time(0.5)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("both", [True, False])
def test_a_group_has_one_place_for_all_nodes(order: tuple[int, int], both: bool) -> None:
    nodes = Boxes(3)
    absent(nodes, both=both)
    payloads = publish(nodes[2], 20)
    # Each comes back where the other one was.
    got = came(*(nodes[1 - number].joined(f"m{number}", clean=False, expiry_s=600) for number in order))
    assert got == once(payloads)


def test_members_that_come_back_at_the_same_time_get_what_was_missed_once() -> None:
    nodes = Boxes(2)
    absent(nodes, both=True)
    payloads = publish(nodes[1], 40)
    devices = [Device(box) for box in nodes.boxes]
    for number, device in enumerate(devices):
        properties = packets.ConnectProperties(session_expiry_s=600)
        post(device, packets.Connect(f"m{number}", device.version, False, properties=properties))
    got: Counter[bytes] = Counter()
    for _ in range(40):
        nodes.clock.advance(0.1)
        for device in devices:
            got.update(each.payload for each in answer(device))
    assert got == once(payloads)


def test_a_group_of_clean_sessions_leaves_no_place() -> None:
    nodes = Boxes(2)
    for box in nodes.boxes:
        member(box, "m", SHARED, 1).goodbye()
    publish(nodes[0], 5)
    assert came(member(nodes[1], "later", SHARED, 1)) == Counter()
    nodes.pass_time(3)
    assert [list(box.service.groups._groups) for box in nodes.boxes] == [[], [SHARED]]


def test_a_member_that_unsubscribes_somewhere_leaves_the_place_to_those_away() -> None:
    nodes = Boxes(2)
    away = member(nodes[0], "away", SHARED, 1, expiry_s=600)
    away.cut()
    last = member(nodes[1], "last", SHARED, 1)
    first = publish(nodes[1], 5)
    got = came(last)
    last.send(Unsubscribe(9, (SHARED,)))
    payloads = publish(nodes[1], 5, first=5)
    assert got + came(nodes[1].joined("away", clean=False, expiry_s=600)) == once(first + payloads)


def test_a_session_that_ends_leaves_what_it_was_sent_to_members_anywhere() -> None:
    nodes = Boxes(2)
    one = member(nodes[0], "one", SHARED, 1, expiry_s=10)
    payloads = publish(nodes[1], 5)
    one.cut()
    two = member(nodes[1], "two", SHARED, 1)
    assert came(two) == once(payloads)


def test_what_a_session_was_sent_with_qos_2_goes_to_nobody_else_when_it_ends() -> None:
    nodes = Boxes(2)
    one = member(nodes[0], "one", SHARED, 2, expiry_s=10)
    publish(nodes[1], 5)
    assert len([each for each in one.take() if isinstance(each, Publish)]) == 5
    one.cut()
    two = member(nodes[1], "two", SHARED, 2)
    nodes.pass_time(12)
    later = publish(nodes[1], 5, first=5)
    assert came(two) == once(later)


def test_a_node_reads_on_when_what_it_said_is_stored_and_never_comes() -> None:
    nodes = Boxes(2)
    one, two = member(nodes[0], "one", SHARED, 1), member(nodes[1], "two", SHARED, 1)
    for way in nodes.engine.nodes:
        way.loses = lambda publication: publication.channel.startswith("$hub/mqtt-groups/")
    payloads = publish(nodes[1], 20)
    got = came(two)
    one.cut()
    for way in nodes.engine.nodes:
        way.loses = lambda publication: False
    nodes.pass_time(GONE_S)
    got += came(two)
    later = publish(nodes[1], 5, first=20)
    assert got + came(two) == once(payloads + later)
    nodes.pass_time(GONE_S)
    assert nodes.metric("chappe_mqtt_group_awaited") == 0


def test_a_node_that_was_cut_off_learns_what_the_others_did_meanwhile() -> None:
    nodes = Boxes(2)
    one, two = member(nodes[0], "one", SHARED, 1, expiry_s=600), member(nodes[1], "two", SHARED, 1)
    payloads = publish(nodes[1], 10)
    got = came(one, two)
    nodes.pass_time(1)
    nodes.kill(0)
    nodes.pass_time(GONE_S)
    payloads += publish(nodes[1], 20, first=10)
    got += came(two)
    nodes.engine.nodes[0].restore()
    nodes.pass_time(GONE_S)
    assert got + came(two, one) == once(payloads)
    payloads = publish(nodes[1], 20, first=30)
    assert came(two, one) == once(payloads)


def test_what_is_kept_in_memory_of_what_others_have_is_bounded_and_counted() -> None:
    nodes = Boxes(options=MqttOptions(sys_interval_s=0, session_queue_messages=5))
    silent, two = member(nodes[0], "silent", SHARED, 1), member(nodes[1], "two", SHARED, 1)
    payloads = publish(nodes[1], 40)
    got = came(two)
    metrics = nodes[1].service.metrics()
    assert metrics["chappe_mqtt_group_awaited"] == len(payloads) - len(got)
    assert metrics["chappe_mqtt_group_forgotten_total"] > 0
    assert nodes[1].service.groups._groups[SHARED]._items._held <= 5
    assert got + came(silent) == once(payloads)


def test_a_new_node_with_more_to_hold_than_it_may_asks_at_once() -> None:
    nodes = Boxes(options=MqttOptions(sys_interval_s=0, session_queue_messages=20))
    one = member(nodes[0], "one", SHARED, 1)
    writer = nodes[1].joined("writer")
    two = Device(nodes.start())
    post(two, packets.Connect("two", two.version, True))
    post(two, packets.Subscribe(1, (packets.SubscribeFilter(SHARED, 1),)))
    nodes.clock.advance(0.1)
    got: Counter[bytes] = Counter()
    for number in range(40):
        post(writer, Publish(f"jobs/{number}", str(number).encode(), 1, packet_id=number + 1))
        nodes.clock.advance(0.01)
        got.update(each.payload for device in (one, two) for each in answer(device))
    # Well within the first second of the new node.
    assert [each for each in two.line.packets if isinstance(each, Publish)]
    assert got + came(one, two) == once([str(number).encode() for number in range(40)])


def test_what_a_killed_node_had_and_others_do_not_keep_is_read_again() -> None:
    nodes = Boxes(options=MqttOptions(sys_interval_s=0, session_queue_messages=5))
    member(nodes[0], "silent", SHARED, 1)
    two = member(nodes[1], "two", SHARED, 1)
    payloads = publish(nodes[1], 40)
    got = came(two)
    assert len(got) < 40
    nodes.kill(0)
    nodes.pass_time(GONE_S)
    assert got + came(two) == once(payloads)
    assert nodes[1].service.metrics()["chappe_mqtt_group_lost_total"] == 0


@pytest.mark.parametrize("qos", [1, 2])
def test_what_finds_no_room_at_any_member_waits_in_the_log_and_comes_when_there_is_some(qos: int) -> None:
    nodes = Boxes(options=MqttOptions(sys_interval_s=0, session_queue_messages=5, inflight_messages=3))
    members = [member(box, f"m{n}", SHARED, qos) for n, box in enumerate(nodes.boxes)]
    payloads = publish(nodes[0], 60)
    assert all(len(each.mqtt.outbound.window.flights) == 3 for each in members if each.mqtt.outbound is not None)
    assert all(box.service.groups._groups[SHARED]._items._held <= 8 for box in nodes.boxes)
    assert came(*members) == once(payloads)
    assert nodes.metric("chappe_mqtt_dropped_total") == 0


def test_a_node_that_does_not_claim_what_is_its_own_is_helped_out() -> None:
    nodes = Boxes(options=MqttOptions(sys_interval_s=0, inflight_messages=2))
    silent, two = member(nodes[0], "silent", SHARED, 1), member(nodes[1], "two", SHARED, 1)
    payloads = publish(nodes[1], 20)
    got = came(two)
    for _ in range(20):
        nodes.pass_time(1)
        got += came(two)
    # All but what is under way to the one that says nothing.
    assert sum(got.values()) == 18
    assert got + came(silent) == once(payloads)


def test_who_comes_after_all_nodes_with_members_were_killed_goes_on_where_they_were() -> None:
    nodes = Boxes(3)
    one = member(nodes[1], "one", SHARED, 2, expiry_s=600)
    two = member(nodes[2], "two", SHARED, 2, expiry_s=600)
    payloads = publish(nodes[0], 20)
    got = came(one)
    sent = {each.payload for each in two.take() if isinstance(each, Publish)}
    for number in (1, 2):
        nodes.kill(number)
    payloads += publish(nodes[0], 10, first=20)
    again = nodes.start().joined("one", clean=False, expiry_s=600)
    nodes.pass_time(GONE_S)
    got += came(again)
    assert not sent & set(got)
    back = nodes[0].joined("two", clean=False, expiry_s=600)
    assert got + came(back) == once(payloads)


def test_a_group_is_written_down_in_one_when_its_log_is_long_and_when_the_last_member_goes() -> None:
    nodes = Boxes(2)
    one = member(nodes[0], "one", SHARED, 1, expiry_s=600)
    publish(nodes[1], 5)
    assert sum(came(one).values()) == 5
    one.cut()
    nodes.pass_time(3)
    assert not nodes[0].service.groups._groups
    payloads = publish(nodes[1], 5, first=5)
    # Nothing of what is done is in the log any more: only the last word about it.
    assert came(nodes[1].joined("one", clean=False, expiry_s=600)) == once(payloads)


def test_a_node_that_was_taken_for_gone_lets_go_of_sessions_that_others_took_over() -> None:
    nodes = Boxes(2)
    one = member(nodes[0], "one", SHARED, 2, expiry_s=600)
    two = member(nodes[1], "two", SHARED, 2, expiry_s=600)
    payloads = publish(nodes[1], 20)
    nodes.kill(0)
    nodes.pass_time(GONE_S)
    got = came(two)
    nodes.engine.nodes[0].restore()
    nodes.pass_time(GONE_S)
    assert one.line.closed is not None
    assert nodes[0].service.metrics()["chappe_mqtt_records_lost_total"] == 1
    assert not nodes[0].service.sessions.live
    assert got + came(nodes[0].joined("one", clean=False, expiry_s=600), two) == once(payloads)


def test_without_one_log_of_all_servers_each_message_goes_to_one_member_too() -> None:
    nodes = Boxes(2)
    for box in nodes.boxes:
        box.broker.has_log = False  # type: ignore[attr-defined]
    members = [member(box, f"m{n}", SHARED, 1) for n, box in enumerate(nodes.boxes)]
    payloads = publish(nodes[1], 20)
    got = came(*members)
    assert got == once(payloads)
    assert nodes[0].service.groups._groups[SHARED].log.claims.floor is None
    payloads += publish(nodes[1], 20, first=20)
    nodes.kill(0)
    nodes.pass_time(GONE_S)
    assert got + came(members[1]) == once(payloads)
