"""A mailbox: the link of a session whose client comes and asks."""

import asyncio
import base64
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from chappe.hub.session import Session
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.model.frame import Bundle, Frame
from chappe.protocols import base
from chappe.protocols.sse import EventFrame, MessageFrame
from chappe.transports.posting import Inquiry, Post, Posting
from chappe.transports.send_queue import SendQueue
from chappe.transports.stream_places import Places

#: A cursor of more digits is none of ours.
_MAX_DIGITS: Final = 15
#: Ends after which nothing that waits is told any more: the credential counts no longer.
_RIGHTS_ENDED: Final = frozenset({Code.EXPIRED, Code.INVALID_TOKEN, Code.DISCONNECTED})


class PollOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How sessions of polls are kept.

    Attributes:
        hold_s: how long a poll waits at most, and a POST for its answers.
        session_s: how long a session lives between polls, and how long its end is told.
        simple: whether clients may make ids up.
        remembered_answers: answers of numbered POSTs that are kept for repetitions.
        waiting_posts: POSTs of one session that wait because it is over its rate or its hook is busy.
    """

    hold_s: float = 60.0
    session_s: float = 30.0
    simple: bool = False
    remembered_answers: int = 16
    waiting_posts: int = 16


class Keeper(Protocol):
    """Who keeps mailboxes."""

    def watch(self, mailbox: "Mailbox", at: float) -> None:
        """Call `due` at a time of the hub's clock, in place of the one that was set."""

    def unread(self, mailbox: "Mailbox") -> None:
        """Learn that the stream that read a mailbox is gone, or was never there."""

    def ended(self, mailbox: "Mailbox") -> None:
        """Learn that the session of a mailbox is over; what waits may still be asked for."""


class Reader(Protocol):
    """A stream that reads a mailbox."""

    def send(self, frame: Frame) -> None:
        """Pass a frame on."""

    def close(self, code: int, reason: str) -> None:
        """End, because the hub ended the session."""

    def displaced(self) -> None:
        """End, because somebody else reads from here on."""

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for the reader."""


class Mailbox:
    """What the hub says to a session, in order, until its client has said that it has it.

    Everything that waits is given out as one batch under a new cursor; who asks with that cursor has it, who asks with
    the one before gets it again. What was given out is not held against a slow reader, what came behind it is.

    Attributes:
        session: whose link it is; set right after it was made.
        handle: the name by which requests call it.
        posting: its POSTs.
        places: where its client is in its channels: behind what it acknowledged, or a stream was given.
        is_collected: POSTs are given their answers.
        simple: at most once: every poll acknowledges what the one before was answered.
        was_stream: it began as a stream that named its channels, and ends with it.
        closing: the session is over, or will be at the end of this tick.
        ended: the code and the reason with which it ended, once it has.
        due_at, queued_at: when it is looked at next, and when the keeper will come for that at the latest; seconds.
        seat: what its address is given back when it ends; None: it has none.
    """

    __slots__ = (
        "_cursor",
        "_given",
        "_keeper",
        "_loop",
        "_now",
        "_options",
        "_paused",
        "_posts",
        "_queue",
        "_reader",
        "_waiting",
        "_waking",
        "closing",
        "due_at",
        "ended",
        "frame_bytes",
        "handle",
        "is_collected",
        "places",
        "posting",
        "queued_at",
        "seat",
        "session",
        "simple",
        "was_stream",
    )

    session: Session

    def __init__(
        self, keeper: Keeper, handle: str, options: PollOptions, queue: SendQueue, max_bytes: int, collected: bool
    ) -> None:
        """Make an empty one.

        Args:
            max_bytes: what answers to POSTs may take here.
            collected: POSTs are given their answers; else everything is for polls.
        """
        self._keeper = keeper
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._queue = queue
        self._given: list[Frame] = []
        self._cursor = 0
        self._waiting: asyncio.Future[bytes | None] | None = None
        self._waking = False
        self._reader: Reader | None = None
        self._paused = False
        self._posts: deque[tuple[Post, bytes]] = deque()
        self.is_collected = collected
        self.posting = Posting(options.remembered_answers, max_bytes)
        self.places = Places()
        self.handle = handle
        self.simple = False
        self.was_stream = False
        self.closing = False
        self.ended: tuple[int, str] | None = None
        self.due_at = 0.0
        self.queued_at = 0.0
        self.frame_bytes = 0
        self.seat: str | None = None

    # --- Polls -------------------------------------------------------------------------------------------------------

    def ask(self, cursor: str | None) -> bytes | None:
        """Return what there is to say, as the body of an answer; None if nothing waits: `wait` next.

        A poll that waits is answered with nothing.

        Raises:
            ChappeError: 112, a cursor that is neither the last one nor the one before.
        """
        self.acknowledge(cursor)
        self._displace()
        self._live()
        return self._give_again() if self._given else self._give()

    def wait(self, timeout_s: float) -> "asyncio.Future[bytes | None]":
        """Return what becomes the body of an answer, or None at the timeout, the end, or when another poll comes."""
        waiting: asyncio.Future[bytes | None] = self._loop.create_future()
        self._waiting = waiting
        self._watch(self.session.hub.clock.now() + timeout_s)
        return waiting

    def leave(self, waiting: "asyncio.Future[bytes | None]") -> None:
        """Learn that the client of a waiting poll is gone."""
        if self._waiting is waiting:
            self._answer(None)

    @property
    def is_waiting(self) -> bool:
        """Whether a poll waits."""
        return self._waiting is not None

    @property
    def is_spent(self) -> bool:
        """Whether the session is over and nothing is left to be told but that."""
        return self.ended is not None and not self._given and not len(self._queue)

    def due(self) -> bool:
        """Answer a poll that waited long enough, or else return True: the session's life is over."""
        if self._waiting is not None:
            self._answer(None)
            return False
        return self._reader is None

    # --- POSTs -------------------------------------------------------------------------------------------------------

    def post(self, payload: bytes, number: int | None, pushed: bool) -> Post:
        """Take a frame of the client; return the POST that is told its answers, an earlier one for a known number.

        Frames are carried out in the order of these calls.

        Raises:
            ChappeError: 111, too many wait already; 112, the answer to the number is forgotten; 113, it is too large.
        """
        if len(payload) > self.frame_bytes:
            detail = {"limit": self.frame_bytes, "size": len(payload)}
            raise ChappeError(Code.MESSAGE_TOO_LARGE, detail=detail)
        if number is not None and (known := self.posting.find(number)) is not None:
            return known
        if len(self._posts) >= self._options.waiting_posts:
            raise ChappeError(Code.TOO_MANY_REQUESTS, detail={"limit": "poll.waiting_posts"})
        post = Post(self._loop.create_future(), pushed or not self.is_collected)
        if number is not None:
            self.posting.remember(number, post)
        if self._paused or self._posts:
            self._posts.append((post, payload))
        else:
            self._carry_out(post, payload)
        return post

    def _carry_out(self, post: Post, payload: bytes) -> None:
        if self.is_collected:
            self.posting.begin(post)
        else:
            post.finish()
        self.session.receive(payload, True)
        if self.closing:
            post.finish()

    async def inquire(
        self, command: base.Command, then: Callable[[base.Message], None] = lambda answer: None
    ) -> base.Message:
        """Carry a command out for the client, behind those that wait, and return its answer.

        Args:
            command: with `posting.free_id` for its id.
            then: gets the answer at once, before anything else happens to the session.

        Raises:
            ChappeError: it is refused; 108, the session ended meanwhile.
        """
        if self.closing or self.session.is_over:
            raise ChappeError(Code.NOT_AVAILABLE)
        inquiry = Inquiry(self._loop.create_future(), then)
        self.posting.inquire(inquiry, command)
        self.session.take(command)
        await inquiry.done
        answer = inquiry.message
        if isinstance(answer, base.Failed):
            raise ChappeError(answer.code, answer.reason, detail=answer.detail)
        if answer is None:
            raise ChappeError(Code.NOT_AVAILABLE)
        return answer

    # --- Streams -----------------------------------------------------------------------------------------------------

    def read_by(self, reader: Reader) -> list[Frame]:
        """Let a stream read from here on; return what waits, in order. Who read before ends."""
        self._displace()
        self._give()
        waiting, self._given = self._given, []
        self._reader = reader
        self._carried_by("sse")
        return waiting

    def stop_reading(self) -> None:
        """End the stream that reads, without a word; what comes waits for polls again."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.displaced()
            self.unread()

    def unread(self) -> None:
        """Wait for polls again: the stream that read is gone, or was never there."""
        self._carried_by("poll")
        self._keeper.unread(self)

    @property
    def is_read(self) -> bool:
        """Whether a stream reads it."""
        return self._reader is not None

    # --- Link --------------------------------------------------------------------------------------------------------

    def send(self, frame: Frame) -> None:
        """Keep a frame for the next poll, give it to the POST whose answer it is, or to the stream that reads."""
        if self.closing:
            return
        if type(frame) is MessageFrame and self._hear(frame):
            return
        if self._reader is not None:
            self._reader.send(frame)
        elif not self._queue.put(frame, self.posting.held_bytes):
            self._close_slow()
        elif self._waiting is not None:
            self._wake()

    def close(self, code: int, reason: str = "") -> None:
        """End: what waits may still be asked for, unless its client may not hear it any more, and then how it ended."""
        if self.ended is not None:
            return
        self.closing = True
        self.ended = (code, reason)
        self.posting.finish()
        for post, _ in self._posts:
            post.finish()
        self._posts.clear()
        if code in _RIGHTS_ENDED and self.is_collected:
            self._withhold()
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close(code, reason)
        if self._waiting is not None:
            self._wake()
        self._keeper.ended(self)

    def clear(self) -> None:
        """Forget what waits: nobody will ask."""
        self._given.clear()
        self._queue.clear()

    def pause(self) -> None:
        """Carry out no more POSTs."""
        self._paused = True

    def resume(self) -> None:
        """Go on with those that waited."""
        self._paused = False
        while self._posts and not self._paused and not self.closing:
            self._carry_out(*self._posts.popleft())

    def limit(self, frame_bytes: int) -> None:
        """Set the largest body taken."""
        self.frame_bytes = frame_bytes

    def probe(self, timeout_s: float, done: Callable[[bool], None]) -> None:
        """Answer that the client lives, until it expires: it cannot be asked."""
        self._loop.call_soon(done, not self.closing)

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait to be asked for."""
        if self._reader is not None:
            return self._reader.queued_bytes
        return self._queue.queued_bytes

    # --- Inside ------------------------------------------------------------------------------------------------------

    def acknowledge(self, cursor: str | None) -> None:
        """Forget what was given out with a cursor; with the one before, or none, keep it to be repeated.

        Raises:
            ChappeError: 112, a cursor that is neither.
        """
        if not self._given:
            if cursor is not None and cursor != str(self._cursor):
                raise _unknown(cursor)
            return
        if (cursor is None and not self.simple) or cursor == str(self._cursor - 1):
            return
        if cursor is not None and cursor != str(self._cursor):
            raise _unknown(cursor)
        for frame in self._given:
            if type(frame) is EventFrame:
                self.places.move(frame.publication)
        self._given.clear()

    def _hear(self, frame: MessageFrame) -> bool:
        """Learn from a message; return True if it is for a POST."""
        message = frame.message
        taken, command = self.posting.route(frame)
        if type(message) is base.Subscribed:
            self.places.enter(message, command.since if type(command) is base.Subscribe else None)
        elif type(message) is base.Unsubscribed:
            self.places.leave(message.channel)
        elif type(command) is base.Unsubscribe and type(message) is base.Done:
            self.places.leave(command.channel)
        if taken and not self.posting.make_room():
            self._close_slow()
        return taken

    def _withhold(self) -> None:
        """Keep only errors, which may say why it ends: anything else would be delivered without the right to it."""
        waiting = self._given
        while len(self._queue):
            waiting.append(self._queue.pop())
        errors = [frame for frame in waiting if isinstance(frame, MessageFrame) and type(frame.message) is base.Failed]
        self.clear()
        for frame in errors:
            self._queue.put(frame, 0)

    def _carried_by(self, carrier: str) -> None:
        session = self.session
        session.peer = msgspec.structs.replace(session.peer, carrier=carrier)

    def _displace(self) -> None:
        if self._waiting is not None:
            self._answer(None)
        self.stop_reading()

    def _give(self) -> bytes | None:
        """Return everything that waits as one batch."""
        queue = self._queue
        if not len(queue):
            return None
        given = self._given
        while len(queue):
            frame = queue.pop()
            if isinstance(frame, Bundle):
                given += frame.frames
            else:
                given.append(frame)
        for channel, count in queue.take_dropped().items():
            self.session.dropped(channel, count)
        while len(queue):
            given.append(queue.pop())
        self._cursor += 1
        return self._give_again()

    def _give_again(self) -> bytes:
        if self.simple:
            return simple_body(self._given)
        return session_body(self.handle, self._cursor, self._given)

    def beginning(self) -> bytes:
        """Return the body of the answer with which a session begins."""
        return session_body(self.handle, self._cursor, self._given)

    def _wake(self) -> None:
        """Answer the waiting poll at the end of the tick, so that a burst goes in one answer."""
        if not self._waking:
            self._waking = True
            self._loop.call_soon(self._woken)

    def _woken(self) -> None:
        self._waking = False
        if self._waiting is not None and (len(self._queue) or self.ended is not None):
            self._answer(self._give())

    def _answer(self, body: bytes | None) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(body)
        self._live()

    def _live(self) -> None:
        """Begin the time between polls anew."""
        if self.ended is None:
            self._watch(self.session.hub.clock.now() + self._options.session_s)

    def _watch(self, at: float) -> None:
        self.due_at = at
        if at < self.queued_at:
            self._keeper.watch(self, at)

    def _close_slow(self) -> None:
        self.closing = True
        # Not from inside a fan-out: the end of a session changes the audience that is being served.
        self._loop.call_soon(self.session.close, Code.SLOW_CONSUMER)


def session_body(handle: str, cursor: int, frames: Sequence[Frame]) -> bytes:
    """Return the answer to a poll of a session."""
    messages = b",".join([_text_of(frame) for frame in frames])
    return b'{"session":"%b","cursor":"%d","messages":[%b]}' % (handle.encode(), cursor, messages)


def simple_body(frames: Sequence[Frame]) -> bytes:
    """Return the answer to a poll of the simple form: the bare message, or a batch of several."""
    payloads = [_text_of(frame) for frame in frames]
    if len(payloads) == 1:
        return payloads[0]
    return msgspec.json.encode({"type": "batch", "messages": [payload.decode() for payload in payloads]})


def _text_of(frame: Frame) -> bytes:
    return frame.payload if frame.text else b'{"$base64":"%b"}' % base64.b64encode(frame.payload)


def _unknown(cursor: str) -> ChappeError:
    shown = cursor if len(cursor) <= _MAX_DIGITS and cursor.isascii() and cursor.isdigit() else "it"
    problem = f"{shown} is neither the last cursor nor the one before"
    return ChappeError(Code.UNRECOVERABLE_POSITION, detail={"field": "cursor", "problem": problem})
