"""Messages between nodes."""

from typing import Any

from chappe.hub.cluster.bus import ANSWER_TIMEOUT_S, PART_BYTES, Bus
from chappe.hub.contracts import Append
from chappe.hub.namespaces import Level, Namespace
from chappe.model.publication import Kind
from tests.hub.cluster.rig import Nodes


def buses(nodes: Nodes) -> list[Bus]:
    return [world.hub.cluster.bus for world in nodes.worlds if world.hub.cluster is not None]


def test_a_question_is_answered_by_each_node_asked(nodes: Nodes) -> None:
    nodes.add()
    first, second, third = buses(nodes)
    for bus, value in ((second, 2), (third, 3)):
        bus.on("test", lambda sender, body, answer, value=value: answer([body, value]))
    told: list[Any] = []
    first.ask("test", {"x": 1}, ("node0002", "node0003"), told.append)
    nodes.pass_time(0.1)
    assert told == [{"node0002": [{"x": 1}, 2], "node0003": [{"x": 1}, 3]}]


def test_who_does_not_answer_is_missing_after_the_timeout(nodes: Nodes) -> None:
    first, second = buses(nodes)
    second.on("test", lambda sender, body, answer: None)
    told: list[Any] = []
    first.ask("test", None, ("node0002",), told.append)
    nodes.pass_time(ANSWER_TIMEOUT_S - 0.1)
    assert told == []
    nodes.pass_time(0.2)
    assert (told, first.unanswered) == ([{}], 1)


def test_a_late_or_repeated_answer_changes_nothing(nodes: Nodes) -> None:
    first, second = buses(nodes)
    answers: list[Any] = []
    second.on("test", lambda sender, body, answer: answers.append(answer))
    told: list[Any] = []
    first.ask("test", None, ("node0002",), told.append)
    nodes.pass_time(0.1)
    answers[0]("once")
    answers[0]("twice")
    nodes.pass_time(ANSWER_TIMEOUT_S * 2)
    assert told == [{"node0002": "once"}]


def test_with_nobody_to_ask_the_answer_is_there_at_once(nodes: Nodes) -> None:
    first, _ = buses(nodes)
    told: list[Any] = []
    first.ask("test", None, ("node0001",), told.append)
    assert told == [{}]


def test_what_another_program_writes_to_the_engine_is_counted_and_hurts_nobody(nodes: Nodes) -> None:
    first, second = buses(nodes)
    live = Namespace(name="$hub", level=Level.LIVE)
    for payload in (b"", b"\xc1", b"hello", b"\x93\xa1x", b"\x96\xa9_Envelope\xa1x\xa1y\xc1\x00\xc2"):
        entry = Append("$hub/node/node0002", payload, Kind.BINARY, 0, live)
        nodes.engine.inner.append([entry], lambda outcomes: None)
    nodes.pass_time(0.1)
    assert second.malformed == 5
    assert (first.malformed, nodes.worlds[1].errors) == (0, [])


def test_what_is_larger_than_an_engine_takes_goes_in_parts_both_ways(nodes: Nodes) -> None:
    first, second = buses(nodes)
    large = "x" * (3 * PART_BYTES + 7)
    second.on("test", lambda sender, body, answer: answer(body + "y"))
    told: list[Any] = []
    first.ask("test", large, ("node0002",), told.append)
    nodes.pass_time(0.1)
    assert told == [{"node0002": large + "y"}]


def test_a_message_with_a_part_missing_is_counted_and_forgotten(nodes: Nodes) -> None:
    first, second = buses(nodes)
    heard: list[Any] = []
    second.on("test", lambda sender, body, answer: heard.append(body))
    inner = nodes.engine.inner
    whole: list[Append] = []

    def keep(batch: Any, done: Any) -> None:
        whole.extend(batch)

    nodes.way(0).append, append = keep, nodes.way(0).append  # type: ignore[method-assign]
    first.tell("test", "x" * (3 * PART_BYTES), "node0002")
    nodes.way(0).append = append  # type: ignore[method-assign]
    assert len(whole) == 4
    for entries in (whole[:1], whole[2:], whole):
        inner.append(entries, lambda outcomes: None)
    nodes.pass_time(0.1)
    assert [len(each) for each in heard] == [3 * PART_BYTES]
    assert second.incomplete == 1


def test_a_kind_that_is_not_known_is_passed_over(nodes: Nodes) -> None:
    first, _ = buses(nodes)
    first.tell("of a newer version", {"x": 1})
    nodes.pass_time(0.1)
    assert nodes.worlds[1].errors == []


def test_a_node_that_is_gone_is_not_waited_for(nodes: Nodes) -> None:
    first, second = buses(nodes)
    second.on("test", lambda sender, body, answer: None)
    told: list[Any] = []
    first.ask("test", None, ("node0002",), told.append)
    first.forget("node0002")
    assert told == [{}]
