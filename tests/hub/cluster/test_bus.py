"""Messages between nodes."""

import itertools
from typing import Any, Final

from chappe.hub.cluster.bus import ANSWER_TIMEOUT_S, PART_BYTES, Bus, _Part
from chappe.hub.contracts import Append
from chappe.hub.namespaces import Level, Namespace
from chappe.model.publication import Kind
from tests.hub.cluster.rig import GONE_S, Nodes, joined

LIVE: Final = Namespace(name="$hub", level=Level.LIVE)


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
    for payload in (b"", b"\xc1", b"hello", b"\x93\xa1x", b"\x96\xa9_Envelope\xa1x\xa1y\xc1\x00\xc2"):
        entry = Append("$hub/node/node0002", payload, Kind.BINARY, 0, LIVE)
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


def test_a_node_that_is_gone_leaves_no_parts_behind(nodes: Nodes) -> None:
    first, second = buses(nodes)
    part = first._encode(_Part("node0001", 1, 0, 9, b"x" * 100))
    nodes.engine.inner.append([Append("$hub/node/node0002", part, Kind.BINARY, 0, LIVE)], lambda outcomes: None)
    nodes.pass_time(0.1)
    assert len(second._parts) == 1
    nodes.kill(0)
    nodes.beat_until(GONE_S)
    assert (len(second._parts), second._parts_bytes, second.incomplete) == (0, 0, 1)


BODIES: list[Any] = [
    None,
    True,
    -1,
    2**63,
    1.5,
    "",
    "\ud7ff",
    b"\xff",
    [],
    [1, 2],
    ["a", 1],
    {},
    {"x": 1},
    {"number": "1"},
]


def test_a_message_of_any_kind_with_any_body_hurts_nobody(nodes: Nodes) -> None:
    a, b = nodes.worlds
    holder = joined(b.client(name="Ada B"))
    holder.ask("lock", resource="doc")
    first, second = buses(nodes)
    known = list(second._handlers)
    assert len(known) > 15
    for kind, body in itertools.product(known, BODIES):
        if kind not in ("leaving", "session.end"):
            first.tell(kind, body, "node0002")
            first.ask(kind, body, ("node0002",), lambda answers: None)
    nodes.beat_until(5)
    assert (a.errors, b.errors) == ([], [])
    assert not holder.session.is_over
    assert second.malformed > 100


def test_an_answer_that_is_not_understood_counts_as_none(nodes: Nodes) -> None:
    first, second = buses(nodes)
    second.on("test", lambda sender, body, answer: answer("no number"))
    told: list[Any] = []
    first.ask("test", None, ("node0002",), told.append, of=int)
    nodes.pass_time(ANSWER_TIMEOUT_S + 0.1)
    assert (told, first.malformed, first.unanswered) == ([{}], 1, 1)


def test_parts_within_parts_are_no_message(nodes: Nodes) -> None:
    first, second = buses(nodes)
    payload = b"x"
    for _ in range(3_000):
        payload = first._encode(_Part("node0001", 1, 0, 1, payload))
    nodes.engine.inner.append([Append("$hub/node/node0002", payload, Kind.BINARY, 0, LIVE)], lambda outcomes: None)
    nodes.pass_time(0.1)
    assert (second.malformed, nodes.worlds[1].errors) == (1, [])
