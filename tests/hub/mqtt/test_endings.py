from __future__ import annotations

from collections import Counter

import pytest

from chappe.protocols.mqtt.packets import Publish
from tests.hub.mqtt.boxes import GONE_S, SHARED, Boxes, came, member, once, publish


def test_members_that_leave_two_nodes_at_the_same_moment_leave_one_place() -> None:
    nodes = Boxes(3)
    for number in range(2):
        member(nodes[number], f"m{number}", SHARED, 1, expiry_s=600)
    # Neither node has heard of the other's when it tells of its own.
    for number in range(2):
        nodes[number].service.sessions.live[f"m{number}"].lost(1006)
    payloads = publish(nodes[2], 20)
    assert came(nodes[2].joined("m0", clean=False, expiry_s=600)) == once(payloads)


@pytest.mark.parametrize("is_missed", [True, False], ids=["missed", "not missed yet"])
@pytest.mark.parametrize("qos", [1, 2])
def test_who_comes_after_a_kill_of_the_only_node_with_members_goes_on_where_it_was(qos: int, is_missed: bool) -> None:
    nodes = Boxes(2)
    device = member(nodes[0], "one", SHARED, qos, expiry_s=600)
    other = member(nodes[0], "two", SHARED, qos, expiry_s=600)
    payloads = publish(nodes[1], 10)
    got = came(device, other)
    assert got == once(payloads)
    nodes.pass_time(2)
    nodes.kill(0)
    payloads += publish(nodes[1], 10, first=10)
    if is_missed:
        nodes.pass_time(GONE_S)
    device = nodes[1].device("one", clean=False, expiry_s=600)
    payloads += publish(nodes[1], 10, first=20)
    nodes.pass_time(GONE_S)
    assert got + came(device) == once(payloads)


def test_a_member_that_waits_for_one_of_a_dead_node_loses_nothing() -> None:
    nodes = Boxes(2)
    member(nodes[0], "one", SHARED, 1, expiry_s=600)
    nodes.pass_time(2)
    nodes.kill(0)
    payloads = publish(nodes[1], 10)
    # It does not come back, and that it is dead is not known.
    stranger = member(nodes[1], "stranger", SHARED, 1)
    payloads += publish(nodes[1], 10, first=10)
    nodes.pass_time(GONE_S)
    assert came(stranger) == once(payloads)


def test_what_was_sent_with_qos_1_from_a_killed_node_comes_again_and_is_marked() -> None:
    nodes = Boxes(2)
    one = member(nodes[0], "one", SHARED, 1, expiry_s=600)
    payloads = publish(nodes[1], 5)
    assert [each.payload for each in one.take() if isinstance(each, Publish)] == payloads
    nodes.kill(0)
    nodes.pass_time(GONE_S)
    again = nodes[1].joined("one", clean=False, expiry_s=600)
    assert Counter(set(came(again))) == once(payloads)
