"""Several hubs on one engine behave as one: publications, sessions, three nodes."""

from collections.abc import Callable
from typing import Any

import pytest

from chappe.model.error_codes import Code
from tests.hub.cluster.rig import Nodes, ended, joined, names_in
from tests.hub.harness import Client


def test_publications_reach_the_other_node(nodes: Nodes) -> None:
    a, b = nodes.worlds
    reader = joined(b.client())
    writer = a.client()
    writer.ask("publish", channel="chat/lobby", data="hello")
    nodes.pass_time(0.1)
    assert reader.data("chat/lobby") == ["hello"]


def test_a_handle_of_another_node_resumes_the_session_with_its_id(nodes: Nodes) -> None:
    a, b = nodes.worlds
    old = a.client()
    connected = old.ask("connect", name="Ada B")
    new = b.client()
    answer = new.ask("connect", name="Ada B", resume=connected["resume"])
    assert (answer["resumed"], answer["session"]) == (True, connected["session"])
    assert old.session.is_over


def test_a_handle_that_was_cut_on_another_node_resumes_too(nodes: Nodes) -> None:
    a, b = nodes.worlds
    old = a.client()
    connected = old.ask("connect", name="Ada B")
    old.cut()
    answer = b.client().ask("connect", name="Ada B", resume=connected["resume"])
    assert (answer["resumed"], answer["session"]) == (True, connected["session"])


def test_a_handle_of_a_killed_node_is_worth_nothing_and_says_so(nodes: Nodes) -> None:
    a, b = nodes.worlds
    old = a.client()
    connected = old.ask("connect")
    nodes.kill(0)
    new = b.client()
    number = new.command("connect", resume=connected["resume"])
    nodes.pass_time(5)
    assert new.answer(number)["resumed"] is False


def test_a_handle_whose_answer_was_lost_resumes_again_on_any_node(nodes: Nodes) -> None:
    nodes.add()
    a, b, c = nodes.worlds
    old = a.client()
    connected = old.ask("connect", name="Ada B")
    for world in (b, c, b, a, a):
        # Each of them hears nothing of the new handle.
        newcomer = world.client()
        answer = newcomer.ask("connect", name="Ada B", resume=connected["resume"])
        assert (answer["resumed"], answer["session"]) == (True, connected["session"])
        newcomer.cut()


@pytest.mark.parametrize("what", [lambda c: {"user": "Ada"}, lambda c: {"session": c.session.id}])
def test_sessions_of_other_nodes_are_ended_by_user_and_by_id(nodes: Nodes, what: Callable[[Client], Any]) -> None:
    a, b = nodes.worlds
    client = b.client(token="ada")
    counts: list[int] = []
    assert a.hub.cluster is not None
    a.hub.cluster.end({**what(client), "code": Code.DISCONNECTED}, counts.append)
    nodes.pass_time(0.1)
    assert counts == [1]
    assert ended(client) == Code.DISCONNECTED


def test_three_nodes_agree(nodes: Nodes) -> None:
    nodes.add()
    clients = [joined(world.client(name=f"name {index}")) for index, world in enumerate(nodes.worlds)]
    nodes.pass_time(0.1)
    for client in clients:
        assert names_in(client) == ["name 0", "name 1", "name 2"]
    assert nodes.worlds[2].client().ask("connect", name="NAME 0")["code"] == Code.NAME_IN_USE


def test_a_session_that_ends_while_it_is_resumed_is_resumed_by_the_next(nodes: Nodes) -> None:
    a, b = nodes.worlds
    old = a.client()
    connected = old.ask("connect", name="Ada B")
    for moment_ms in range(1, 20):
        newcomer = b.client()
        newcomer.send({"type": "connect", "id": 1, "name": "Ada B", "resume": connected["resume"]})
        nodes.pass_time(moment_ms / 1_000)
        newcomer.cut()
        nodes.pass_time(1)
        again = b.client()
        answer = again.ask("connect", name="Ada B", resume=connected["resume"])
        assert (answer["resumed"], answer["session"]) == (True, connected["session"]), f"cut after {moment_ms} ms"
        connected = answer
        again.cut()


def test_who_is_refused_its_name_while_it_resumes_has_taken_nothing(nodes: Nodes) -> None:
    a, _ = nodes.worlds
    holder = a.client()
    connected = holder.ask("connect", name="Ada B")
    nodes.way(0).cut()
    newcomer = a.client()
    number = newcomer.command("connect", name="Cyd", resume=connected["resume"])
    nodes.pass_time(3)
    assert newcomer.answer(number)["code"] == Code.NOT_AVAILABLE
    nodes.way(0).restore()
    assert not holder.session.is_over
    assert a.client().ask("connect", name="Ada B")["code"] == Code.NAME_IN_USE


def test_who_comes_back_to_its_node_keeps_its_name_without_the_engine(nodes: Nodes) -> None:
    a, b = nodes.worlds
    holder = a.client()
    connected = holder.ask("connect", name="Ada B")
    nodes.way(0).cut()
    newcomer = a.client()
    answer = newcomer.ask("connect", name="Ada B", resume=connected["resume"])
    assert (answer["resumed"], answer["session"]) == (True, connected["session"])
    assert holder.session.is_over
    nodes.way(0).restore()
    nodes.pass_time(0.1)
    assert b.client().ask("connect", name="Ada B")["code"] == Code.NAME_IN_USE
    newcomer.cut()
    nodes.pass_time(0.1)
    assert b.client().ask("connect", name="Ada B")["type"] == "reply"
