"""Waiting for the hub: the answer, its error, or 108; late calls do nothing."""

import asyncio

import pytest

from chappe.api.waiting import Waiting, settled
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError


async def test_an_answer_inside_the_call_is_there_at_once() -> None:
    waiting: Waiting[int] = Waiting()
    waiting.take(lambda text: len(text))("four", None)
    assert await settled(waiting) == 4


async def test_an_answer_may_be_nothing() -> None:
    waiting: Waiting[None] = Waiting()
    waiting.take(lambda answer: None)(None, None)
    await settled(waiting)
    assert waiting.result() is None


async def test_a_later_answer_is_waited_for() -> None:
    waiting: Waiting[int] = Waiting()
    asyncio.get_running_loop().call_soon(waiting.take(int), "7", None)
    assert await settled(waiting) == 7


async def test_an_error_is_raised() -> None:
    waiting: Waiting[int] = Waiting()
    waiting.take(int)(None, ChappeError(Code.CONFLICT))
    with pytest.raises(ChappeError) as caught:
        await settled(waiting)
    assert caught.value.code == 114


async def test_no_answer_is_108_and_a_late_one_is_ignored() -> None:
    waiting: Waiting[int] = Waiting()
    done = waiting.take(int)
    with pytest.raises(ChappeError) as caught:
        await settled(waiting, 0.01)
    assert caught.value.code == 108
    assert caught.value.detail == {"timeout_s": 0.01}
    done("7", None)
    done(None, ChappeError(Code.CONFLICT))


async def test_an_error_that_nobody_waits_for_is_silent() -> None:
    waiting: Waiting[int] = Waiting()
    waiting.take(int)(None, ChappeError(Code.CONFLICT))
    del waiting
    await asyncio.sleep(0)


async def test_who_stops_waiting_leaves_nothing_behind() -> None:
    waiting: Waiting[int] = Waiting()
    task = asyncio.ensure_future(settled(waiting))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    waiting.take(int)("7", None)
