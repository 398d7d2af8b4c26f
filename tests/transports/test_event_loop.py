"""The hub's clock and hooks on a real event loop."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from chappe.transports.event_loop import LoopClock, Tasks


def keep(told: list[tuple[Any, BaseException | None]]) -> Any:
    return lambda result, error: told.append((result, error))


@pytest.mark.loops("asyncio", "uvloop")
async def test_a_timer_calls_once_and_never_inside_the_call_that_asked() -> None:
    clock, called = LoopClock(), asyncio.Event()
    clock.call_later(0, called.set)
    assert not called.is_set()
    async with asyncio.timeout(5):
        await called.wait()


async def test_a_cancelled_timer_does_not_call() -> None:
    clock, called, later = LoopClock(), asyncio.Event(), asyncio.Event()
    clock.call_later(0, called.set).cancel()
    clock.call_later(0.01, later.set)
    await later.wait()
    assert not called.is_set()


def test_a_clock_serves_one_loop_after_another() -> None:
    clock = LoopClock()

    async def use() -> None:
        called = asyncio.Event()
        clock.call_later(0, called.set)
        async with asyncio.timeout(5):
            await called.wait()

    for _ in range(2):
        asyncio.run(use())


def test_the_clock_is_monotonic_and_knows_the_wall() -> None:
    clock = LoopClock()
    assert abs(clock.now() - time.monotonic()) < 5
    assert abs(clock.wall_ms() - time.time() * 1_000) < 5_000


async def test_a_result_comes_back_later() -> None:
    tasks, told = Tasks(), list[tuple[Any, BaseException | None]]()

    async def work() -> int:
        return 7

    tasks.spawn(work(), keep(told))
    assert told == []
    await tasks.stop(5)
    assert told == [(7, None)]
    await asyncio.sleep(0)
    assert len(tasks) == 0


async def test_an_exception_comes_back_as_it_is() -> None:
    tasks, told = Tasks(), list[tuple[Any, BaseException | None]]()

    async def fail() -> None:
        raise KeyError("x")

    tasks.spawn(fail(), keep(told))
    await tasks.stop(5)
    assert isinstance(told[0][1], KeyError)


async def test_any_awaitable_will_do() -> None:
    tasks, told = Tasks(), list[tuple[Any, BaseException | None]]()
    future = asyncio.get_running_loop().create_future()
    future.set_result("done")
    tasks.spawn(future, keep(told))
    await tasks.stop(5)
    assert told == [("done", None)]


async def test_what_does_not_end_in_time_is_cancelled_and_told_so() -> None:
    tasks, told = Tasks(), list[tuple[Any, BaseException | None]]()
    tasks.spawn(asyncio.Event().wait(), keep(told))
    await asyncio.sleep(0)
    await tasks.stop(0.01)
    assert isinstance(told[0][1], asyncio.CancelledError)
    await asyncio.sleep(0)
    assert len(tasks) == 0


async def test_what_never_began_is_told_too_when_it_is_stopped() -> None:
    tasks, told = Tasks(), list[tuple[Any, BaseException | None]]()
    tasks.spawn(asyncio.Event().wait(), keep(told))
    await tasks.stop(0)
    assert len(told) == 1


async def test_stopping_with_nothing_to_stop_returns_at_once() -> None:
    await Tasks().stop(60)
