"""Claimed names are unique among all nodes."""

from chappe.model.error_codes import Code
from tests.hub.cluster.rig import GONE_S, Nodes, ended, patiently


def test_a_name_claimed_on_one_node_is_in_use_on_the_other(nodes: Nodes) -> None:
    a, b = nodes.worlds
    a.client(name="Ada B")
    other = b.client()
    answer = other.ask("connect", name="ada b")
    assert answer["code"] == Code.NAME_IN_USE
    assert other.session.name == ""
    assert other.ask("connect", name="Ada C")["type"] == "reply"


def test_a_name_is_free_on_all_nodes_when_its_session_ends(nodes: Nodes) -> None:
    a, b = nodes.worlds
    holder = a.client(name="Ada B")
    holder.cut()
    nodes.pass_time(0.1)
    assert b.client().ask("connect", name="Ada B")["type"] == "reply"


def test_a_dead_holder_on_another_node_loses_its_name_after_a_probe(nodes: Nodes) -> None:
    a, b = nodes.worlds
    holder = a.client(name="Ada B")
    holder.link.alive = False
    assert patiently(b.client(), "connect", name="Ada B")["type"] == "reply"
    assert holder.session.is_over


def test_of_two_who_claim_a_name_at_once_on_two_nodes_one_gets_it(nodes: Nodes) -> None:
    a, b = nodes.worlds
    first, second = a.client(), b.client()
    first.send({"type": "connect", "id": 1, "name": "Ada B"})
    second.send({"type": "connect", "id": 1, "name": "Ada B"})
    nodes.pass_time(5)
    kinds = sorted([first.answer(1)["type"], second.answer(1)["type"]])
    assert kinds == ["error", "reply"]


def test_names_of_a_killed_node_are_free_after_its_time(nodes: Nodes) -> None:
    a, b = nodes.worlds
    a.client(name="Ada B")
    nodes.kill(0)
    early = b.client()
    assert patiently(early, "connect", name="Ada B")["code"] == Code.NAME_IN_USE
    nodes.beat_until(GONE_S)
    assert early.ask("connect", name="Ada B")["type"] == "reply"


def test_a_node_that_comes_back_gives_up_the_names_it_lost_and_keeps_the_others(nodes: Nodes) -> None:
    a, b = nodes.worlds
    lost, kept = a.client(name="Ada B"), a.client(name="Blaise P")
    nodes.kill(0)
    nodes.beat_until(GONE_S)
    assert b.client().ask("connect", name="Ada B")["type"] == "reply"
    nodes.way(0).restore()
    nodes.beat_until(5)
    assert lost.session.is_over
    assert ended(lost) == Code.NAME_IN_USE_CLOSE
    assert not kept.session.is_over
    assert b.client().ask("connect", name="Blaise P")["code"] == Code.NAME_IN_USE


def test_a_user_who_arrives_displaces_who_claimed_the_name_elsewhere(nodes: Nodes) -> None:
    a, b = nodes.worlds
    impostor = a.client(name="ada")
    b.client(token="ada")
    nodes.pass_time(0.1)
    assert ended(impostor) == Code.NAME_IN_USE_CLOSE
    assert a.client().ask("connect", name="ADA")["code"] == Code.NAME_IN_USE


def test_without_the_engine_no_name_is_given(nodes: Nodes) -> None:
    a, _ = nodes.worlds
    nodes.way(0).cut()
    client = a.client()
    client.send({"type": "connect", "id": 1, "name": "Ada B"})
    nodes.pass_time(5)
    assert client.answer(1)["code"] == Code.NOT_AVAILABLE
