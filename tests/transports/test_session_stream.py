"""A stream that reads a mailbox (at a real port: tests/api/test_session_streams.py)."""

from __future__ import annotations

import json

from chappe.transports.session_stream import SessionStream
from tests.transports.mailboxes import Boxes, publish
from tests.transports.test_sse_stream import Carrier


async def test_what_waits_comes_first_and_every_event_has_the_place_behind_it() -> None:
    boxes = Boxes()
    mailbox = boxes.subscribed("a", "b")
    publish(boxes.world, "a", 1)
    mailbox.ask("0")
    publish(boxes.world, "b", 2)
    carrier = Carrier(boxes.world)
    SessionStream(mailbox, {}).attach(carrier)
    publish(boxes.world, "a", 3)
    first, *events = carrier.events()
    assert first.name == "subscribed"
    assert carrier.data() == [1, 2, 3]
    assert len({first.id, *(event.id for event in events)}) == 4
    assert mailbox.session.peer.carrier == "sse"


async def test_the_end_is_told_and_a_displaced_stream_is_told_nothing() -> None:
    boxes = Boxes()
    mailbox = boxes.subscribed("a")
    first, second = Carrier(boxes.world), Carrier(boxes.world)
    SessionStream(mailbox, {}).attach(first)
    SessionStream(mailbox, {}).attach(second)
    assert [event.name for event in first.events()] == ["subscribed"]
    assert first.closed == (1000, "")
    mailbox.session.close(3001, "gone")
    last = second.events()[-1]
    assert (last.name, json.loads(last.data)) == ("close", {"type": "close", "code": 3001, "reason": "gone"})
    late = Carrier(boxes.world)
    SessionStream(mailbox, {}).attach(late)
    assert late.closed == (1000, "")
