"""What POSTs of a session ask, and which answers belong to which of them."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.protocols import base
from chappe.protocols.sse import MessageFrame

#: Messages that answer a command, exactly one for each.
ANSWERS: Final = frozenset(
    (
        base.Connected,
        base.Subscribed,
        base.Published,
        base.HistoryPage,
        base.PresenceList,
        base.Locked,
        base.Unlocked,
        base.LockOwned,
        base.Result,
        base.Done,
        base.Failed,
        base.Pong,
    )
)

#: Where the ids of inquiries begin: clients count from the other end.
_LOWEST_ID: Final = -(2**63)


class Post:
    """One POST.

    Attributes:
        pushed: its answers go to the mailbox, in their place among everything else.
        done: all answers are there, or no more will come with it.
        size_bytes: of its answers so far.
    """

    __slots__ = ("_answers", "_missing", "done", "pushed", "size_bytes")

    def __init__(self, done: "asyncio.Future[None]", pushed: bool) -> None:
        self.pushed = pushed
        self.done = done
        self.size_bytes = 0
        self._answers: list[bytes | None] = []
        self._missing = 0

    def expect(self, count: int) -> None:
        """Learn how many answers there will be."""
        self._answers = [None] * count
        self._missing = count
        if not count:
            self.finish()

    def answer(self, place: int, frame: MessageFrame) -> None:
        """Take the answer to one of its commands."""
        self._answers[place] = frame.payload
        self._missing -= 1
        self.size_bytes += len(frame.payload)
        if not self._missing:
            self.finish()

    def finish(self) -> None:
        """Wait for no more answers: what is still to come goes to the mailbox."""
        if not self.done.done():
            self.done.set_result(None)

    @property
    def is_done(self) -> bool:
        """Whether it takes no more answers."""
        return self.done.done()

    def body(self) -> bytes:
        """Return the answers that are there, in the order of their commands."""
        return b'{"messages":[%b]}' % b",".join(payload for payload in self._answers if payload is not None)


class Inquiry(Post):
    """A command that the hub's own side asks for the client; its answer is for nobody else.

    Attributes:
        message: the answer, once it is there.
    """

    __slots__ = ("_then", "message")

    def __init__(self, done: "asyncio.Future[None]", then: Callable[[base.Message], None]) -> None:
        """Take who gets the answer at once, before anything else happens to the session."""
        super().__init__(done, False)
        self.message: base.Message | None = None
        self._then = then

    def answer(self, place: int, frame: MessageFrame) -> None:
        """Take the answer."""
        self.message = frame.message
        self._then(frame.message)
        self.finish()


class Posting:
    """The POSTs of one session: in order, each remembered by its number, and who gets which answer.

    Answers are known by the `id` they repeat. A client that uses one for several commands at once gets their answers in
    the order in which they come.

    Attributes:
        held_bytes: of answers that were taken for POSTs and are kept here.
    """

    __slots__ = ("_forgotten", "_max_answers", "_max_bytes", "_numbered", "_open", "_unread", "held_bytes")

    def __init__(self, max_answers: int, max_bytes: int) -> None:
        """Take how many answers are remembered for repetitions, and how much of them."""
        self._max_answers = max_answers
        self._max_bytes = max_bytes
        self._unread: deque[Post] = deque()
        self._open: dict[int | None, deque[tuple[Post, int, base.Command]]] = {}
        self._numbered: dict[int, Post] = {}
        self._forgotten = -1
        self.held_bytes = 0

    def find(self, number: int) -> Post | None:
        """Return the POST that came with a number before; None: it is a new one.

        Raises:
            ChappeError: 112, it may have come before, and its answer is forgotten.
        """
        if number <= self._forgotten:
            problem = f"seq={number}: its answer is not kept any more, expected {self._forgotten + 1} or more"
            raise ChappeError(Code.UNRECOVERABLE_POSITION, problem, detail={"field": "seq"})
        return self._numbered.get(number)

    def remember(self, number: int, post: Post) -> None:
        """Keep a POST for who repeats its number, and forget the one with the lowest if there are too many."""
        if len(self._numbered) >= self._max_answers:
            self._forget(min(self._numbered))
        self._numbered[number] = post

    def begin(self, post: Post) -> None:
        """Take a POST whose frame the session gets now; frames are decoded in this order."""
        self._unread.append(post)

    def took(self, commands: Sequence[base.Command]) -> None:
        """Learn which commands the next frame has."""
        post = self._unread.popleft()
        asked = [command for command in commands if type(command) is not base.PongReceived]
        if post.pushed:
            post.finish()
        else:
            post.expect(len(asked))
        for place, command in enumerate(asked):
            self._open.setdefault(command.id, deque()).append((post, place, command))  # type: ignore[union-attr]

    @property
    def free_id(self) -> int:
        """An id for an inquiry that no command has which is not answered yet."""
        number = _LOWEST_ID
        while number in self._open:
            number += 1
        return number

    def inquire(self, inquiry: Inquiry, command: base.Command) -> None:
        """Take a command that is about to be carried out and came in no frame."""
        self._open.setdefault(command.id, deque()).append((inquiry, 0, command))  # type: ignore[union-attr]

    def route(self, frame: MessageFrame) -> tuple[bool, base.Command | None]:
        """Return whether a POST takes a message, and the command that it answers; None: it answers none of ours."""
        message = frame.message
        if type(message) not in ANSWERS:
            return False, None
        line = self._open.get(message.id)  # type: ignore[union-attr]
        if line is None:
            return False, None
        post, place, command = line.popleft()
        if not line:
            del self._open[message.id]  # type: ignore[union-attr]
        if post.is_done:
            return False, command
        post.answer(place, frame)
        if type(post) is Post:
            self.held_bytes += len(frame.payload)
        return True, command

    def release(self, post: Post) -> None:
        """Learn that the answer of a POST was written; it is kept if it has a number."""
        if post.size_bytes and post not in self._numbered.values():
            self._drop(post)

    def make_room(self) -> bool:
        """Forget the oldest answers that were told until the rest is within bounds; return False if it is not."""
        for number in sorted(self._numbered):
            if self.held_bytes <= self._max_bytes:
                break
            if self._numbered[number].is_done:
                self._forget(number)
        return self.held_bytes <= self._max_bytes

    def finish(self) -> None:
        """End all that wait: no more answers come."""
        for line in self._open.values():
            for post, _, _ in line:
                post.finish()
        for post in self._unread:
            post.finish()
        self._open.clear()
        self._unread.clear()

    def _forget(self, number: int) -> None:
        # What is lower may have come too: nobody remembers.
        self._forgotten = max(self._forgotten, number)
        self._drop(self._numbered.pop(number))

    def _drop(self, post: Post) -> None:
        self.held_bytes -= post.size_bytes
        post.size_bytes = 0
