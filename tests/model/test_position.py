"""A position is an offset of an epoch."""

import pytest

from chappe.model.position import Position


def test_positions_are_equal_only_within_one_epoch() -> None:
    assert Position("x1", 41) == Position("x1", 41)
    assert Position("x1", 41) != Position("x2", 41)
    assert len({Position("x1", 41), Position("x1", 41), Position("x1", 42)}) == 2


def test_positions_have_no_order_because_epochs_have_none() -> None:
    with pytest.raises(TypeError):
        _ = Position("x1", 1) < Position("x1", 2)  # type: ignore[operator]


def test_a_position_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Position("x1", 1).offset = 2  # type: ignore[misc]
