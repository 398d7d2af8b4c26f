"""Which answers belong to which POST."""

from __future__ import annotations

import asyncio

import pytest

from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.model.frame import Frame
from chappe.protocols import base
from chappe.protocols.poll import PollEncoder
from chappe.protocols.sse import MessageFrame
from chappe.transports.posting import Inquiry, Post, Posting


def frame(message: base.Message) -> MessageFrame:
    made: Frame | None = PollEncoder().message(message)
    assert isinstance(made, MessageFrame)
    return made


def post(pushed: bool = False) -> Post:
    return Post(asyncio.get_running_loop().create_future(), pushed)


async def test_answers_find_their_post_by_id_and_keep_the_order_of_the_commands() -> None:
    posting, first, second = Posting(16, 1_000), post(), post()
    posting.begin(first)
    posting.begin(second)
    posting.took([base.Rpc(1, "slow"), base.Ping(2), base.PongReceived()])
    posting.took([base.Ping(1), base.Ping(None)])
    for message in (base.Pong(2), base.Pong(None)):
        assert posting.route(frame(message))[0]
    assert first.body() == b'{"messages":[{"type":"pong","id":2}]}'
    # One id for two commands at once: answers are given in the order in which they come.
    assert posting.route(frame(base.Result(1, "done")))[0]
    assert posting.route(frame(base.Pong(1)))[0]
    assert first.is_done
    assert second.is_done
    assert first.body() == b'{"messages":[{"type":"reply","id":1,"result":"done"},{"type":"pong","id":2}]}'
    assert second.body() == b'{"messages":[{"type":"pong","id":1},{"type":"pong"}]}'


async def test_what_is_pushed_or_late_or_no_answer_is_for_the_mailbox() -> None:
    posting, pushed, late = Posting(16, 1_000), post(pushed=True), post()
    posting.begin(pushed)
    posting.took([base.Ping(1)])
    assert pushed.is_done
    assert posting.route(frame(base.Pong(1))) == (False, base.Ping(1))
    posting.begin(late)
    posting.took([base.Ping(1), base.Ping(2)])
    assert posting.route(frame(base.Pong(2)))[0]
    late.finish()
    assert not posting.route(frame(base.Pong(1)))[0]
    assert late.body() == b'{"messages":[{"type":"pong","id":2}]}'
    assert posting.route(frame(base.Missed("a", 1))) == (False, None)
    assert posting.route(frame(base.Done(9))) == (False, None)


async def test_the_last_answers_are_remembered_and_no_number_is_carried_out_twice() -> None:
    posting = Posting(2, 1_000)
    posts = {number: post() for number in (5, 3, 9)}
    for number, each in posts.items():
        assert posting.find(number) is None
        posting.remember(number, each)
    for number in (0, 3):
        with pytest.raises(ChappeError) as refused:
            posting.find(number)
        assert refused.value.code == Code.UNRECOVERABLE_POSITION
    assert posting.find(5) is posts[5]
    assert posting.find(9) is posts[9]
    assert posting.find(7) is None


async def test_answers_that_are_kept_count_until_they_were_written_or_forgotten() -> None:
    posting, kept, passing = Posting(16, 50), post(), post()
    posting.remember(1, kept)
    for each in (kept, passing):
        posting.begin(each)
        posting.took([base.Ping(1)])
        posting.route(frame(base.Pong(1)))
    size = len(frame(base.Pong(1)).payload)
    assert posting.held_bytes == 2 * size
    posting.release(kept)
    posting.release(passing)
    assert posting.held_bytes == size
    assert posting.make_room()
    third = post()
    posting.begin(third)
    posting.took([base.Rpc(1, "a")])
    posting.route(frame(base.Result(1, "x" * 30)))
    # The one that was told goes first; what is still to be written stays, and is too much.
    assert not posting.make_room()
    with pytest.raises(ChappeError):
        posting.find(1)


async def test_the_end_finishes_all_that_wait() -> None:
    posting, unread, running = Posting(16, 1_000), post(), post()
    inquiry = Inquiry(asyncio.get_running_loop().create_future(), lambda answer: None)
    posting.begin(running)
    posting.took([base.Ping(1)])
    posting.begin(unread)
    posting.inquire(inquiry, base.Ping(2))
    posting.finish()
    assert unread.is_done
    assert running.is_done
    assert inquiry.is_done
    assert inquiry.message is None
    assert running.body() == b'{"messages":[]}'
