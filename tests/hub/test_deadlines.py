"""Deadlines come in their order, whatever was moved and dropped before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.hub.deadlines import Deadlines

_STEPS = st.one_of(
    st.tuples(st.just("set"), st.integers(0, 5), st.integers(0, 20)),
    st.tuples(st.just("discard"), st.integers(0, 5), st.just(0)),
    st.tuples(st.just("pop"), st.just(0), st.integers(0, 20)),
)


@given(st.lists(_STEPS, max_size=60))
def test_it_behaves_like_a_map_that_is_sorted_each_time(steps: list[tuple[str, int, int]]) -> None:
    deadlines: Deadlines[int] = Deadlines()
    model: dict[int, int] = {}
    for step, key, at in steps:
        if step == "set":
            deadlines.set(key, at)
            # A key that is set again goes behind those that were set before it for the same time.
            model.pop(key, None)
            model[key] = at
        elif step == "discard":
            deadlines.discard(key)
            model.pop(key, None)
        else:
            due = sorted((key for key, when in model.items() if when <= at), key=model.__getitem__)
            assert deadlines.pop_due(at) == due
            for gone in due:
                del model[gone]
        assert deadlines.next() == (min(model.values()) if model else None)
        assert len(deadlines) == len(model)


def test_a_deadline_moved_for_ever_takes_bounded_memory() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("stays", 0.0)
    for number in range(10_000):
        deadlines.set("lease", 1_000.0 + number)
    assert len(deadlines._heap) < 100
    assert deadlines.pop_due(1e9) == ["stays", "lease"]


def test_keys_of_the_same_time_need_not_be_comparable() -> None:
    deadlines: Deadlines[object] = Deadlines()
    first, second = object(), object()
    deadlines.set(first, 1.0)
    deadlines.set(second, 1.0)
    assert deadlines.pop_due(1.0) == [first, second]


@pytest.mark.parametrize("now", [0.5, 0.999])
def test_nothing_is_due_before_its_time(now: float) -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("a", 1.0)
    assert deadlines.pop_due(now) == []
    assert deadlines.next() == 1.0
