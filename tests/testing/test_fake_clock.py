"""The fake clock fires what is due, in order."""

import pytest

from chappe.hub.contracts import Clock
from chappe.testing.fake_clock import FakeClock


def test_timers_fire_in_the_order_they_are_due() -> None:
    clock = FakeClock()
    fired: list[str] = []
    clock.call_later(2, lambda: fired.append("second"))
    clock.call_later(1, lambda: fired.append("first"))
    clock.call_later(2, lambda: fired.append("third"))
    clock.call_later(5, lambda: fired.append("too late"))
    clock.advance(2)
    assert fired == ["first", "second", "third"]
    assert clock.pending == 1


def test_a_timer_sees_the_moment_it_was_due_and_may_ask_for_another() -> None:
    clock = FakeClock(now=10)
    seen: list[float] = []

    def tick() -> None:
        seen.append(clock.now())
        clock.call_later(1, tick)

    clock.call_later(1, tick)
    clock.advance(3.5)
    assert seen == [11, 12, 13]
    assert clock.now() == 13.5


def test_a_call_is_never_made_inside_call_later_even_without_delay() -> None:
    clock = FakeClock()
    fired: list[int] = []
    clock.call_later(-1, lambda: fired.append(1))
    assert fired == []
    clock.advance()
    assert fired == [1]


def test_a_cancelled_timer_does_not_fire_and_cancelling_twice_is_harmless() -> None:
    clock = FakeClock()
    fired: list[int] = []
    timer = clock.call_later(1, lambda: fired.append(1))
    timer.cancel()
    timer.cancel()
    clock.advance(2)
    assert fired == []
    assert clock.pending == 0


def test_the_wall_clock_may_jump_without_moving_timers() -> None:
    clock = FakeClock(wall_ms=1_000)
    fired: list[int] = []
    clock.call_later(1, lambda: fired.append(1))
    clock.set_wall(9_000_000)
    assert clock.wall_ms() == 9_000_000
    clock.advance(0.5)
    assert fired == []
    assert clock.wall_ms() == 9_000_500


def test_a_timer_that_raises_stops_time_at_its_moment() -> None:
    clock = FakeClock(now=0)

    def fail() -> None:
        raise ValueError("a bug")

    clock.call_later(1, fail)
    with pytest.raises(ValueError, match="a bug"):
        clock.advance(5)
    assert clock.now() == 1


async def test_sleep_moves_time() -> None:
    clock = FakeClock(now=0)
    await clock.sleep(3)
    assert clock.now() == 3


def test_it_is_a_clock_of_the_hub() -> None:
    clock: Clock = FakeClock()
    assert clock.now() == 1_000
