"""A mailbox gives everything, in order, and again until it is acknowledged; against a naive model too."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any, Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.model.frame import Frame
from chappe.transports.poll_link import Mailbox, session_body, simple_body
from chappe.transports.session_stream import SessionStream
from tests.hub.harness import World, namespace
from tests.protocols.sse.reader import EventReader
from tests.transports.mailboxes import Boxes, publish, told
from tests.transports.test_sse_stream import Carrier

EXAMPLES: Final = int(os.environ.get("CHAPPE_EXAMPLES", "1000" if os.environ.get("CI") == "true" else "50"))


def data(body: bytes | None) -> list[Any]:
    """Return what the publications of an answer say."""
    assert body is not None
    return [message["data"] for message in json.loads(body)["messages"] if message["type"] == "publication"]


async def test_a_burst_goes_in_one_answer_at_the_end_of_the_tick() -> None:
    boxes = Boxes()
    mailbox = boxes.subscribed("a")
    assert mailbox.ask("0") is None
    waiting = mailbox.wait(60)
    for number in range(3):
        publish(boxes.world, "a", number)
        assert not waiting.done()
    assert data(await waiting) == [0, 1, 2]
    assert not mailbox.is_waiting


async def test_a_poll_that_is_answered_in_the_tick_of_its_burst_is_answered_once() -> None:
    boxes = Boxes()
    mailbox = boxes.subscribed("a")
    mailbox.ask("0")
    first = mailbox.wait(60)
    publish(boxes.world, "a", 1)
    body = mailbox.ask("0")
    assert data(body) == [1]
    assert await first is None
    assert mailbox.ask("1") is None
    second = mailbox.wait(60)
    await asyncio.sleep(0)
    assert not second.done()


async def test_a_poll_whose_client_went_away_takes_nothing_with_it() -> None:
    boxes = Boxes()
    mailbox = boxes.subscribed("a")
    mailbox.ask("0")
    waiting = mailbox.wait(60)
    mailbox.leave(waiting)
    assert await waiting is None
    mailbox.leave(waiting)
    publish(boxes.world, "a", 1)
    assert data(mailbox.ask("0")) == [1]


async def test_the_holder_of_a_name_lives_until_it_expires() -> None:
    boxes = Boxes(session_s=30)
    mailbox = boxes.begin()
    told(mailbox, {"type": "connect", "id": 1, "name": "Ada"})
    answers: list[bool] = []
    mailbox.probe(2, answers.append)
    await asyncio.sleep(0)
    boxes.world.clock.advance(31)
    mailbox.probe(2, answers.append)
    await asyncio.sleep(0)
    assert answers == [True, False]
    (reply,) = told(boxes.begin(), {"type": "connect", "id": 1, "name": "Ada"})
    assert reply["name"] == "Ada"


async def test_bytes_come_in_base64_and_several_bare_messages_as_a_batch() -> None:
    frames = [Frame(b'{"a":1}', True), Frame(b"\xff", False)]
    assert session_body("h", 3, frames) == b'{"session":"h","cursor":"3","messages":[{"a":1},{"$base64":"/w=="}]}'
    assert simple_body(frames[:1]) == b'{"a":1}'
    batch = json.loads(simple_body(frames))
    assert [json.loads(text) for text in batch["messages"]] == [{"a": 1}, {"$base64": "/w=="}]


class OpenCarrier(Carrier):
    """A connection that is not lost with what it carried."""

    def begin(self, receiver: Any, behind: bytes = b"") -> None:
        """Note who is told of its end."""
        self.receiver = receiver


class Polling(RuleBasedStateMachine):
    """One reader who polls, loses answers, repeats, reads a stream for a while, expires and comes back."""

    loop: asyncio.AbstractEventLoop

    def __init__(self) -> None:
        super().__init__()
        self.published = 0
        self.seen: list[int] = []
        self.position: dict[str, Any] | None = None
        self.lost: bytes | None = None
        self.waiting: asyncio.Future[bytes | None] | None = None
        self.carrier: OpenCarrier | None = None
        self.events = 0

    def teardown(self) -> None:
        if hasattr(self, "mailbox"):
            self.go_on()

    @initialize()
    def begin(self) -> None:
        async def make() -> Boxes:
            # Whoever stays away for long finds everything still there.
            return Boxes(
                World(namespaces=[namespace("default", history_count=10_000, history_age_s=1e9)]), session_s=30
            )

        self.boxes = self.loop.run_until_complete(make())
        self.come()

    @rule(count=st.integers(1, 4))
    def publish(self, count: int) -> None:
        async def publish_all() -> None:
            for _ in range(count):
                publish(self.boxes.world, "a", self.published)
                self.published += 1
            # To the end of the tick.
            await asyncio.sleep(0)
            await asyncio.sleep(0)

        self.loop.run_until_complete(publish_all())
        if self.carrier is not None:
            self.read()

    @precondition(lambda self: self.carrier is None)
    @rule(lose=st.booleans())
    def poll(self, lose: bool) -> None:
        self.ask(lose)

    @precondition(lambda self: self.waiting is not None and self.waiting.done())
    @rule(lose=st.booleans())
    def take(self, lose: bool) -> None:
        assert self.waiting is not None
        body, self.waiting = self.waiting.result(), None
        self.arrives(body, lose)

    @precondition(lambda self: self.carrier is None)
    @rule()
    def ask_with_a_cursor_of_long_ago(self) -> None:
        number = int(self.cursor)
        for wrong in (str(number - 2), str(number + 2), "x"):
            with pytest.raises(ChappeError) as refused:
                self.mailbox.acknowledge(wrong)
            assert refused.value.code == Code.UNRECOVERABLE_POSITION

    @precondition(lambda self: self.carrier is None)
    @rule()
    def read_as_a_stream(self) -> None:
        async def attach() -> None:
            self.mailbox.acknowledge(self.cursor)
            self.carrier, self.events = OpenCarrier(self.boxes.world), 0
            SessionStream(self.mailbox, {}).attach(self.carrier)

        self.loop.run_until_complete(attach())
        self.waiting = self.lost = None
        self.read()

    @precondition(lambda self: self.carrier is not None)
    @rule(lose=st.booleans())
    def poll_again_behind_the_stream(self, lose: bool) -> None:
        self.carrier = None
        # What the stream was given is over; the cursor is the one behind it.
        self.cursor = str(self.mailbox._cursor)
        self.ask(lose)

    @rule()
    def do_not_come_for_long(self) -> None:
        async def pass_time() -> None:
            self.boxes.world.clock.advance(95)

        self.loop.run_until_complete(pass_time())
        if self.carrier is None:
            assert self.boxes.sessions.find(self.mailbox.handle) is self.mailbox
            assert self.mailbox.ended == (Code.UNKNOWN_SESSION, "")
            self.come()

    def come(self) -> None:
        """Begin a session and subscribe from where the reader is."""

        async def subscribe() -> Mailbox:
            mailbox = self.boxes.begin()
            since = {} if self.position is None else {"since": self.position}
            (reply,) = told(mailbox, {"type": "subscribe", "id": 1, "channel": "a", **since})
            if self.position is None:
                assert not self.seen
                self.position = {"epoch": reply["epoch"], "offset": reply["offset"]}
            else:
                assert reply["recovered"]
            return mailbox

        self.mailbox = self.loop.run_until_complete(subscribe())
        self.cursor = "0"
        self.lost = self.waiting = None

    def ask(self, lose: bool) -> None:
        async def ask() -> None:
            body = self.mailbox.ask(self.cursor)
            if body is None:
                self.waiting = self.mailbox.wait(60)
            else:
                self.waiting = None
                self.arrives(body, lose)

        self.loop.run_until_complete(ask())

    def arrives(self, body: bytes | None, lose: bool) -> None:
        """Take an answer, or lose it on its way."""
        if body is None:
            return
        if self.lost is not None:
            assert body == self.lost
        if lose:
            self.lost = body
            return
        self.lost = None
        self.cursor = json.loads(body)["cursor"]
        for message in json.loads(body)["messages"]:
            self.sees(message)

    def read(self) -> None:
        """Take the events of the stream."""
        assert self.carrier is not None
        events = EventReader().feed(b"".join(frame.payload for frame in self.carrier.frames))
        for said in events[self.events :]:
            if said.name == "message":
                assert said.id
                self.sees(json.loads(said.data))
        self.events = len(events)

    def sees(self, message: Any) -> None:
        assert message["data"] == len(self.seen), "lost, doubled or out of order"
        self.seen.append(message["data"])
        self.position = {"epoch": message["epoch"], "offset": message["offset"]}

    def go_on(self) -> None:
        """Read to the end: everything that was published was seen."""
        if self.carrier is None:
            if self.waiting is not None and self.waiting.done():
                self.take(lose=False)
            for _ in range(3):
                self.ask(lose=False)
        assert self.seen == list(range(self.published))


def test_nothing_is_lost_doubled_or_out_of_order_whatever_happens_to_answers() -> None:
    loop = asyncio.new_event_loop()
    try:
        machine = type("PollingHere", (Polling,), {"loop": loop})
        run_state_machine_as_test(
            machine, settings=settings(max_examples=EXAMPLES, stateful_step_count=30, deadline=None)
        )
    finally:
        loop.close()
