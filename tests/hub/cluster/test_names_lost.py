"""Claimed names stay unique when messages between nodes are lost, and nobody shows a name that it does not have."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from chappe.hub.contracts import Read, ReadResult
from chappe.model.error_codes import Code
from chappe.model.position import Position
from chappe.model.publication import Publication
from tests.hub.cluster.rig import GONE_S, Nodes, ended, overwrite, patiently


def first(text: bytes) -> Callable[[Publication], bool]:
    """Lose the first publication with a text in it."""
    lost = False

    def loses(publication: Publication) -> bool:
        nonlocal lost
        is_it = not lost and text in publication.payload
        lost = lost or is_it
        return is_it

    return loses


def test_who_comes_back_on_another_node_gets_its_name_when_the_holders_answer_is_lost(nodes: Nodes) -> None:
    a, b = nodes.worlds
    holder, newcomer = a.client(), b.client()
    connected = holder.ask("connect", name="Ada B")
    nodes.way(1).loses = first(b"name.probe")
    answer = patiently(newcomer, "connect", name="Ada B", resume=connected["resume"])
    assert (answer["type"], answer["resumed"], answer["session"]) == ("reply", True, connected["session"])
    assert ended(holder) == Code.STALE
    for world in nodes.worlds:
        assert patiently(world.client(), "connect", name="Ada B")["code"] == Code.NAME_IN_USE


def test_a_holder_that_was_never_asked_keeps_its_name(nodes: Nodes) -> None:
    a, b = nodes.worlds
    holder, newcomer = a.client(), b.client()
    connected = holder.ask("connect", name="Ada B")
    nodes.way(0).loses = first(b"name.probe")
    assert patiently(newcomer, "connect", name="Ada B", resume=connected["resume"])["code"] == Code.NAME_IN_USE
    assert not holder.session.is_over
    for world in nodes.worlds:
        assert patiently(world.client(), "connect", name="Ada B")["code"] == Code.NAME_IN_USE


def test_a_name_is_one_sessions_when_the_question_what_the_handle_stands_for_is_lost(nodes: Nodes) -> None:
    a, b = nodes.worlds
    holder, newcomer = a.client(), b.client()
    connected = holder.ask("connect", name="Ada B")
    nodes.way(0).loses = first(b"session.resume")
    assert patiently(newcomer, "connect", name="Ada B", resume=connected["resume"])["resumed"] is False
    assert newcomer.session.name == "Ada B"
    assert holder.session.is_over


@pytest.mark.parametrize("moment_ms", range(1, 20))
def test_who_comes_back_and_goes_at_once_leaves_the_name_to_one_at_most(nodes: Nodes, moment_ms: int) -> None:
    a, b = nodes.worlds
    for world in (a, b):
        holder, newcomer, third = a.client(), world.client(), a.client()
        connected = holder.ask("connect", name="Ada B")
        newcomer.send({"type": "connect", "id": 1, "name": "Ada B", "resume": connected["resume"]})
        nodes.pass_time(moment_ms / 1_000)
        newcomer.cut()
        nodes.pass_time(1)
        is_free = patiently(third, "connect", name="Ada B")["type"] == "reply"
        assert is_free == holder.session.is_over
        holder.cut()
        third.cut()
        nodes.pass_time(1)


def test_a_claim_that_the_engine_did_not_show_is_looked_at_again(nodes: Nodes) -> None:
    a, b = nodes.worlds
    lost, kept = a.client(name="Ada B"), a.client(name="Blaise P")
    nodes.kill(0)
    nodes.beat_until(GONE_S)
    assert b.client().ask("connect", name="Ada B")["type"] == "reply"
    way = nodes.way(0)
    read = way.read

    def fail(request: Read, done: Callable[[ReadResult], None]) -> None:
        nodes.clock.call_later(0.001, lambda: done(ReadResult(Code.NOT_AVAILABLE, Position("", 0))))

    way.read = fail  # type: ignore[method-assign]
    way.restore()
    nodes.beat_until(7)
    assert not lost.session.is_over
    way.read = read  # type: ignore[method-assign]
    nodes.beat_until(7)
    assert ended(lost) == Code.NAME_IN_USE_CLOSE
    assert not kept.session.is_over
    assert a.hub.cluster is not None
    assert a.hub.cluster.names._unsure == {}
    nodes.beat_until(6)
    assert a.hub.cluster.names._timer_repair is None


def test_who_goes_while_another_node_is_asked_takes_nothing_from_the_next_one(nodes: Nodes) -> None:
    a, b = nodes.worlds
    holder, gone, taker = a.client(name="Ada B"), b.client(), b.client()
    nodes.way(0).loses = first(b"name.probe")
    gone.send({"type": "connect", "id": 1, "name": "Ada B"})
    nodes.pass_time(0.1)
    gone.cut()
    holder.cut()
    nodes.pass_time(0.1)
    assert taker.ask("connect", name="Ada B")["type"] == "reply"
    # Until nobody waits for the lost answer any more.
    nodes.pass_time(6)
    for world in nodes.worlds:
        assert patiently(world.client(), "connect", name="Ada B")["code"] == Code.NAME_IN_USE


@pytest.mark.parametrize("moment_ms", [0.5, 1.5, 2.5])
def test_a_claim_is_looked_at_although_it_was_passed_on_meanwhile(nodes: Nodes, moment_ms: float) -> None:
    a, _ = nodes.worlds
    holder, heir = a.client(), a.client()
    connected = holder.ask("connect", name="Ada B")
    overwrite(nodes, "name/ada b", msgspec.msgpack.encode({"node": "node0002", "number": 99, "name": "Ada B"}))
    nodes.way(0).interrupt()
    # Before the node is told, and while it reads the record.
    nodes.pass_time(moment_ms / 1_000)
    heir.send({"type": "connect", "id": 1, "name": "Ada B", "resume": connected["resume"]})
    nodes.beat_until(5)
    assert heir.session.is_over or heir.session.name == ""
    assert holder.session.is_over


def test_a_node_learns_that_it_was_gone_although_the_first_word_of_it_is_lost(nodes: Nodes) -> None:
    a, b = nodes.worlds
    lost = a.client(name="Ada B")
    # Of all that node A sends nothing reaches B, although A hears itself.
    nodes.way(1).loses = lambda publication: publication.payload.find(b"node0001") > 0
    nodes.beat_until(GONE_S)
    assert patiently(b.client(), "connect", name="Ada B")["type"] == "reply"
    nodes.way(0).loses = first(b"gone")
    nodes.way(1).loses = lambda publication: False
    nodes.beat_until(7)
    assert ended(lost) == Code.NAME_IN_USE_CLOSE


def test_a_name_that_is_not_settled_yet_is_not_passed_on(nodes: Nodes) -> None:
    a, _ = nodes.worlds
    holder, heir = a.client(), a.client()
    holder.send({"type": "connect", "id": 1, "name": "Ada B"})
    assert a.hub.cluster is not None
    names = a.hub.cluster.names
    asked: Any = (holder.session, heir.session)
    assert not names.pass_on("Ada B", *asked)
    nodes.pass_time(1)
    assert holder.answer(1)["type"] == "reply"
    assert not names.pass_on("Blaise P", *asked)
    assert names.pass_on("ADA B", *asked)
