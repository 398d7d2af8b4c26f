"""Who has which mailbox, how long, and how it ended."""

from __future__ import annotations

import pytest

from chappe.hub.session import Peer
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.protocols import base
from tests.hub.harness import World
from tests.transports.mailboxes import Boxes, told


async def test_a_mailbox_is_found_until_it_expires_and_its_seat_is_given_back() -> None:
    boxes = Boxes(session_s=30)
    of_the_broker = boxes.world.clock.pending
    mailbox = boxes.begin()
    assert boxes.sessions.find(mailbox.handle) is mailbox
    assert boxes.admission.websockets.of("192.0.2.1") == 1
    boxes.world.clock.advance(29)
    mailbox.ask(None)
    boxes.world.clock.advance(29)
    assert list(boxes.world.hub.sessions.values()) == [mailbox.session]
    boxes.world.clock.advance(2)
    assert not boxes.world.hub.sessions
    assert boxes.admission.websockets.taken == 0
    # Its end is told for as long as its handle would let another connection have its id.
    assert boxes.sessions.find(mailbox.handle) is mailbox
    assert mailbox.ended == (Code.UNKNOWN_SESSION, "")
    boxes.world.clock.advance(121)
    assert boxes.sessions.find(mailbox.handle) is None
    assert boxes.world.clock.pending == of_the_broker


async def test_a_client_that_ends_session_after_session_fills_no_memory() -> None:
    # A session that ended has no seat, and its end was told for thirty seconds to any number of them.
    boxes = Boxes(session_s=30)
    mailboxes = [boxes.begin() for _ in range(1_010)]
    for mailbox in mailboxes:
        mailbox.session.close(Code.INVALID_TOKEN)
    assert [boxes.sessions.find(mailbox.handle) for mailbox in mailboxes] == [None] * 10 + mailboxes[10:]
    boxes.world.clock.advance(31)
    assert all(boxes.sessions.find(mailbox.handle) is None for mailbox in mailboxes)


async def test_a_waiting_poll_is_alive_and_answered_with_nothing_at_its_time() -> None:
    boxes = Boxes(session_s=30)
    mailbox = boxes.begin()
    mailbox.ask(None)
    waiting = mailbox.wait(60)
    boxes.world.clock.advance(59)
    assert not waiting.done()
    boxes.world.clock.advance(2)
    assert await waiting is None
    boxes.world.clock.advance(28)
    assert not mailbox.session.is_over


async def test_all_sessions_share_one_timer() -> None:
    boxes = Boxes(session_s=30)
    of_the_broker = boxes.world.clock.pending
    for _ in range(50):
        boxes.begin().ask(None)
    assert boxes.world.clock.pending == of_the_broker + 1
    boxes.world.clock.advance(31)
    assert boxes.sessions.counters.sessions_expired == 50


async def test_who_does_not_say_who_it_is_ends_where_anonymous_is_refused() -> None:
    boxes = Boxes(World(anonymous=False), session_s=30)
    mailbox = boxes.begin()
    boxes.world.clock.advance(11)
    assert mailbox.ended is not None
    assert mailbox.ended[0] == Code.STALE


async def test_ids_that_clients_make_up_are_no_handles() -> None:
    boxes = Boxes()
    named = boxes.begin(client_id="x")
    assert boxes.sessions.find_simple("x") is named
    assert boxes.sessions.find("x") is None
    assert boxes.sessions.find_simple(boxes.begin().handle) is None


async def test_a_session_that_ended_without_a_word_is_not_found() -> None:
    boxes = Boxes()
    mailbox = boxes.begin()
    mailbox.session.lost(1006)
    assert boxes.sessions.find(mailbox.handle) is None
    assert boxes.admission.websockets.taken == 0


async def test_a_connection_is_taken_over_with_its_id_its_name_and_its_handle() -> None:
    boxes = Boxes()
    ada = boxes.world.client(name="Ada")
    public_id, handle = ada.session.id, ada.session.resume
    mailbox = await boxes.sessions.take_over(handle, Peer(address="192.0.2.1", carrier="poll"))
    assert (mailbox.session.id, mailbox.session.name, mailbox.handle) == (public_id, "Ada", handle)
    assert boxes.world.hub.resumption.find(handle) is mailbox.session
    with pytest.raises(ChappeError) as refused:
        await boxes.sessions.take_over("0" * 32, Peer(address="192.0.2.1"))
    assert refused.value.code == Code.UNKNOWN_SESSION
    assert boxes.admission.websockets.taken == 1


async def test_subscribing_to_several_leaves_nothing_when_one_is_refused() -> None:
    boxes = Boxes()
    mailbox = boxes.begin()
    with pytest.raises(ChappeError) as refused:
        await boxes.sessions.subscribe(mailbox, {"a": None, "closed": None}, None)
    assert refused.value.code == Code.PERMISSION_DENIED
    assert not mailbox.session.subscriptions
    replies = await boxes.sessions.subscribe(mailbox, {"a": None}, None)
    assert isinstance(replies["a"], base.Subscribed)
    assert told(mailbox, {"type": "ping", "id": 1}) == [{"type": "pong", "id": 1}]


async def test_what_is_counted_is_told() -> None:
    boxes = Boxes()
    mailbox = boxes.begin()
    mailbox.ask(None)
    mailbox.wait(60)
    metrics = boxes.sessions.metrics()
    assert (metrics["chappe_poll_sessions"], metrics["chappe_polls_waiting"]) == (1, 1)
    boxes.sessions.shutdown()
    assert boxes.sessions.metrics()["chappe_poll_sessions"] == 0
    boxes.sessions.forget()
    assert boxes.sessions.find(mailbox.handle) is None
