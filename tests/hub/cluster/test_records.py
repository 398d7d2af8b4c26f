"""Records that all nodes agree on."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from chappe.hub.cluster.records import KEEP, Changed, Records
from chappe.model.error_codes import Code
from tests.hub.cluster.rig import Nodes


def records(nodes: Nodes) -> list[Records]:
    return [world.hub.cluster.records for world in nodes.worlds if world.hub.cluster is not None]


def test_a_record_is_read_on_every_node_and_its_end_too(nodes: Nodes) -> None:
    first, second = records(nodes)
    told: list[Any] = []
    first.change("key", lambda value: {"x": 1}, told.append)
    nodes.pass_time(0.1)
    second.read("key", told.append)
    nodes.pass_time(0.1)
    second.change("key", lambda value: None, told.append)
    nodes.pass_time(0.1)
    first.read("key", told.append)
    nodes.pass_time(0.1)
    assert told[0] == Changed(True, 0, {"x": 1})
    assert [each.value for each in (told[1], told[3])] == [{"x": 1}, None]


def test_a_change_that_keeps_tells_what_is_there(nodes: Nodes) -> None:
    first, second = records(nodes)
    told: list[Any] = []
    first.change("key", lambda value: 1, told.append)
    nodes.pass_time(0.1)
    second.change("key", lambda value: KEEP, told.append)
    nodes.pass_time(0.1)
    assert told[1] == Changed(False, 0, 1)


def test_without_the_engine_a_change_fails_and_says_so(nodes: Nodes) -> None:
    first, _ = records(nodes)
    nodes.way(0).cut()
    told: list[Any] = []
    first.change("key", lambda value: 1, told.append)
    first.read("key", told.append)
    nodes.pass_time(0.1)
    assert told == [Changed(False, Code.NOT_AVAILABLE, None), None] or told == [None, Changed(False, 108, None)]


@given(steps=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3)), max_size=30))
def test_every_increment_by_compare_and_set_counts_once(steps: list[tuple[int, int]]) -> None:
    nodes = Nodes()
    both = records(nodes)
    told: list[Changed] = []
    for who, pause_ms in steps:
        both[who].change("count", lambda value: (value or 0) + 1, told.append)
        nodes.pass_time(pause_ms / 1_000)
    nodes.pass_time(1)
    done = [change for change in told if change.done]
    assert len(told) == len(steps)
    assert sorted(change.value for change in done) == list(range(1, len(done) + 1))
