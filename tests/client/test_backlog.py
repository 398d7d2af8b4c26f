"""A queue that makes its writer wait."""

import asyncio

import pytest

from chappe.client.backlog import Backlog
from chappe.client.errors import ClientClosed
from chappe.model.errors import LocalProtocolError


async def test_a_full_backlog_makes_the_writer_wait_and_drops_nothing() -> None:
    backlog: Backlog[int] = Backlog(2)
    await backlog.put(1)
    writing = asyncio.create_task(backlog.put(2))
    await asyncio.sleep(0)
    assert not writing.done()
    assert await backlog.get() == 1
    await writing
    assert await backlog.get() == 2


async def test_what_was_put_can_be_taken_after_the_end() -> None:
    backlog: Backlog[int] = Backlog(2)
    await backlog.put(1)
    backlog.end(ClientClosed())
    assert await backlog.get() == 1
    with pytest.raises(ClientClosed):
        await backlog.get()


async def test_a_waiting_reader_learns_of_the_end() -> None:
    backlog: Backlog[int] = Backlog(2)
    reading = asyncio.create_task(backlog.get())
    await asyncio.sleep(0)
    backlog.end(ClientClosed())
    with pytest.raises(ClientClosed):
        await reading


def test_a_backlog_for_nothing_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="queue_size is 0"):
        Backlog(0)
