"""Publications that were not acknowledged."""

import pytest

from chappe.client.errors import ConnectionLost, QueueFull, Unconfirmed
from chappe.client.messages import Reply
from chappe.client.outbox import RESEND_WINDOW_S, Outbox
from chappe.model.errors import ChappeError


def fields(key: str) -> dict[str, object]:
    return {"type": "publish", "channel": "news", "key": key}


async def test_a_new_connection_gets_them_all_in_order() -> None:
    outbox = Outbox(10)
    entries = [outbox.add(fields(str(number))) for number in range(5)]
    assert list(outbox.to_send(100.0)) == entries
    assert list(outbox.to_send(101.0)) == entries


async def test_a_lost_connection_answers_nothing() -> None:
    outbox = Outbox(10)
    entry = outbox.add(fields("a"))
    entry.answered(ConnectionLost(1006, "cut"))
    assert not entry.answer.done()
    entry.answered(Reply(1, offset=7, epoch="e"))
    assert entry.answer.result().offset == 7


async def test_what_was_answered_or_given_up_is_not_sent_again() -> None:
    outbox = Outbox(10)
    first, second, third = (outbox.add(fields(key)) for key in "abc")
    first.answered(Reply(1))
    second.answer.cancel()
    assert list(outbox.to_send(0.0)) == [third]
    outbox.discard(third)
    assert list(outbox.to_send(0.0)) == []


async def test_a_full_outbox_says_so_and_sends_nothing() -> None:
    outbox = Outbox(2)
    outbox.add(fields("a"))
    outbox.add(fields("b"))
    with pytest.raises(QueueFull) as caught:
        outbox.add(fields("c"))
    assert caught.value.code == 106
    assert caught.value.detail == {"limit": "publish_queue", "maximum": 2}
    assert len(outbox) == 2


async def test_what_the_hub_may_have_forgotten_is_not_sent_a_second_time() -> None:
    outbox = Outbox(10)
    sent = outbox.add(fields("a"))
    assert list(outbox.to_send(100.0)) == [sent]
    waiting = outbox.add(fields("b"))
    assert list(outbox.to_send(100.0 + RESEND_WINDOW_S + 1)) == [waiting]
    error = sent.answer.exception()
    assert isinstance(error, Unconfirmed)
    assert not error.retry
    assert error.detail == {"channel": "news", "key": "a"}


async def test_the_end_of_the_client_is_told_to_every_publisher() -> None:
    outbox = Outbox(10)
    entry = outbox.add(fields("a"))
    outbox.fail(ChappeError(3503))
    assert isinstance(entry.answer.exception(), ChappeError)
