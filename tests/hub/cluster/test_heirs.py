"""A node that goes in good order leaves its handles to another one, where they are good as before."""

from typing import Any

import pytest

from chappe.hub.cluster.heirs import AT_ONCE
from tests.hub.cluster.rig import GONE_S, Nodes, patiently
from tests.hub.harness import World


@pytest.fixture
def nodes() -> Nodes:
    return Nodes(3)


def leave(nodes: Nodes, world: World) -> None:
    """End a node as a server does."""
    assert world.hub.cluster is not None
    world.hub.shutdown(tuple(world.hub.sessions.values()))
    world.hub.cluster.stop()
    nodes.pass_time(0.1)


def resumed(world: World, connected: dict[str, Any]) -> bool:
    answer = patiently(world.client(), "connect", resume=connected["resume"])
    if answer["resumed"]:
        assert answer["session"] == connected["session"]
    return bool(answer["resumed"])


@pytest.mark.parametrize("comes_to", [1, 2])
@pytest.mark.parametrize("was_cut", [False, True])
def test_an_anonymous_session_of_a_node_that_left_resumes_at_any_other(
    nodes: Nodes, comes_to: int, was_cut: bool
) -> None:
    client = nodes.worlds[0].client()
    connected = client.ask("connect")
    if was_cut:
        client.cut()
    leave(nodes, nodes.worlds[0])
    assert resumed(nodes.worlds[comes_to], connected)
    # The handle is the newcomer's: once more it stands for nothing else.
    assert [world.hub.cluster is not None and world.hub.cluster.heirs.inherited for world in nodes.worlds] == [0, 0, 1]


def test_it_stands_for_one_session_however_often_it_is_brought(nodes: Nodes) -> None:
    connected = nodes.worlds[0].client().ask("connect")
    leave(nodes, nodes.worlds[0])
    for number in (1, 2, 2, 1):
        assert resumed(nodes.worlds[number], connected)
    ids = [id_ for world in nodes.worlds[1:] for id_ in world.hub.sessions]
    assert ids.count(connected["session"]) == 1


def test_heirs_have_heirs_and_nodes_that_come_later_know_them(nodes: Nodes) -> None:
    first = nodes.worlds[0].client().ask("connect")
    leave(nodes, nodes.worlds[0])
    second = nodes.worlds[1].client().ask("connect")
    late = nodes.add()
    nodes.pass_time(1)
    for number in (2, 1):
        leave(nodes, nodes.worlds[number])
    assert resumed(late, first)
    assert resumed(late, second)
    another = nodes.add()
    nodes.pass_time(1)
    third = late.client().ask("connect")
    leave(nodes, late)
    assert resumed(another, third)


def test_who_moved_before_its_node_left_is_found_where_it_is(nodes: Nodes) -> None:
    a, b, c = nodes.worlds
    connected = a.client().ask("connect")
    assert resumed(b, connected)
    leave(nodes, a)
    assert resumed(c, connected)


def test_who_asks_a_node_that_leaves_at_this_moment_is_sent_to_its_heir(nodes: Nodes) -> None:
    a, b, c = nodes.worlds
    connected = [a.client().ask("connect") for _ in range(2)]
    asking = [(world.client(), each) for world, each in zip((b, c), connected, strict=True)]
    assert a.hub.cluster is not None
    a.hub.shutdown(tuple(a.hub.sessions.values()))
    a.hub.cluster.stop()
    # The question crosses what the node says last.
    numbers = [client.command("connect", resume=each["resume"]) for client, each in asking]
    nodes.pass_time(6)
    assert [client.answer(number)["resumed"] for (client, _), number in zip(asking, numbers, strict=True)] == [True] * 2


def test_a_handle_is_worth_as_long_as_it_would_have_been(nodes: Nodes) -> None:
    a, b, _ = nodes.worlds
    client = a.client()
    connected = client.ask("connect")
    client.cut()
    nodes.pass_time(100)
    leave(nodes, a)
    nodes.beat_until(a.limits.resume_window_s - 95)
    assert not resumed(b, connected)


def test_another_users_handle_is_worth_nothing_at_the_heir_either(nodes: Nodes) -> None:
    connected = nodes.worlds[0].client().ask("connect", token="ada")
    leave(nodes, nodes.worlds[0])
    stranger = nodes.worlds[2].client()
    assert patiently(stranger, "connect", token="blaise", resume=connected["resume"])["resumed"] is False
    assert patiently(nodes.worlds[1].client(), "connect", token="ada", resume=connected["resume"])["resumed"] is True


def test_all_of_many_sessions_are_left(nodes: Nodes) -> None:
    clients = [nodes.worlds[0].client() for _ in range(AT_ONCE + 5)]
    connected = [client.ask("connect") for client in clients[:3]]
    for client in clients[3:]:
        client.command("connect")
    nodes.pass_time(0.1)
    leave(nodes, nodes.worlds[0])
    heir = nodes.worlds[2].hub.cluster
    assert heir is not None
    assert heir.metrics()["chappe_sessions_inherited_total"] == AT_ONCE + 5
    assert all(resumed(nodes.worlds[1], each) for each in connected)


def test_the_last_node_leaves_nothing_and_what_was_left_is_forgotten(nodes: Nodes) -> None:
    a, b, c = nodes.worlds
    for world in (a, b):
        leave(nodes, world)
    nodes.beat_until(a.limits.resume_window_s + GONE_S)
    leave(nodes, c)
    assert c.hub.cluster is not None
    assert c.hub.cluster.heirs.left == 0


def test_a_killed_node_has_no_heir(nodes: Nodes) -> None:
    connected = nodes.worlds[0].client().ask("connect")
    nodes.kill(0)
    nodes.beat_until(GONE_S)
    assert not resumed(nodes.worlds[1], connected)
