"""Reads of one channel: a script selects, and answers too large for one go are read in parts."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from chappe.brokers.redis.appending import NOWHERE, meta_age_ms
from chappe.brokers.redis.connection import Command
from chappe.brokers.redis.entries import Keys, decode_kept, decode_message
from chappe.brokers.redis.scripts import READ
from chappe.hub.contracts import Read, ReadResult
from chappe.hub.namespaces import Namespace
from chappe.model.error_codes import Code
from chappe.model.position import Position
from chappe.model.publication import Publication

#: Bytes of entries in one answer, about: a server is busy with it for a millisecond, and the feed waits behind it.
PART_BYTES: Final = 524_288
#: Numbers beyond are no offsets, and Lua could not tell them apart.
_MOST: Final = 1 << 52
UNREADABLE: Final = ReadResult(Code.NOT_AVAILABLE, NOWHERE)

Ask = Callable[[Command, Callable[[Any], None]], None]


class Part(NamedTuple):
    """Hold one answer of the script.

    Attributes:
        last, first: the channel's last offset and that of the oldest publication kept.
        low, high: offsets of what was asked for; empty if low is above.
        trimmed, passed: log positions of the last publication not kept and of the last transient one.
        more: 1 if the rest did not fit.
        found: publications in the direction that was asked for.
    """

    generation: str
    epoch: str
    last: int
    first: int
    low: int
    high: int
    retained: Publication | None
    trimmed: int
    passed: int
    more: int
    found: list[Publication]


class Origin(NamedTuple):
    """Hold an epoch that was never used, for a channel that has none, and what is known of the server.

    Attributes:
        generation: of the partition; if it is not that any more, the script finds out.
    """

    epoch: str
    run_id: str
    generation: str


class Question(msgspec.Struct, frozen=True):
    """Name a channel and what to read of it: `newest`, `since`, `before`, `log` (see `scripts.READ`)."""

    channel: str
    namespace: Namespace
    what: str
    epoch: str = ""
    start: int = 0
    limit: int = 0

    @property
    def is_upwards(self) -> bool:
        """Whether the oldest comes first."""
        return self.what == "since"


class Reader:
    """Asks one question and collects the parts of the answer: `part` is the first with all publications, or None.

    What comes behind a part may be trimmed before it is read: then the publications end there, and `is_cut` says so.
    """

    def __init__(
        self, ask: Ask, keys: Keys, origin: Origin, question: Question, done: Callable[["Reader"], None]
    ) -> None:
        """Take the way to the server, and what a channel gets that is not there yet."""
        self.question = question
        self.part: Part | None = None
        self.is_cut = False
        self._ask = ask
        self._keys = keys
        self._origin = origin
        self._done = done

    def start(self) -> None:
        """Ask."""
        question = self.question
        start, limit = (min(max(number, -1), _MOST) for number in (question.start, question.limit))
        self._send(question.what, question.epoch, start, limit)

    def _send(self, what: str, epoch: str, start: int, limit: int) -> None:
        question, keys = self.question, self._keys
        command: Command = (
            "EVALSHA",
            READ.sha,
            4,
            keys.meta(question.channel),
            keys.history(question.channel),
            keys.state,
            keys.index,
            self._origin.epoch,
            self._origin.run_id,
            what,
            epoch,
            start,
            limit,
            # By log nobody says which namespace it is: what the last publication said holds.
            -1 if question.what == "log" else int(question.namespace.history_age_s * 1000),
            meta_age_ms(question.namespace),
            PART_BYTES,
            question.channel,
            self._origin.generation,
        )
        self._ask(command, self._answered)

    def _answered(self, answer: Any) -> None:
        question = self.question
        try:
            part = _part(answer, upwards=question.is_upwards)
        except (TypeError, ValueError):
            self.part = None
            self._done(self)
            return
        whole = self.part
        if whole is None:
            whole = self.part = part
        else:
            start = self._next(whole)
            if part.epoch != whole.epoch or (part.low if question.is_upwards else part.high) != start:
                self.is_cut = True
                self._done(self)
                return
            whole.found.extend(part.found)
        start = self._next(whole)
        at_end = start > whole.high if question.is_upwards else start < whole.low
        if at_end or not part.more:
            self._done(self)
        else:
            self._send("range", whole.epoch, start, whole.high if question.is_upwards else whole.low)

    def _next(self, whole: Part) -> int:
        return whole.low + len(whole.found) if self.question.is_upwards else whole.high - len(whole.found)


def _part(answer: Any, *, upwards: bool) -> Part:
    if not isinstance(answer, list):
        raise TypeError("the server refused or is gone")
    generation, epoch, last, first, low, high, retained, trimmed, passed, more, found = answer
    epoch = epoch.decode()
    start, step = (low, 1) if upwards else (high, -1)
    publications = [decode_kept(data, epoch, start + step * number) for number, data in enumerate(found)]
    slot = None
    if retained is not None:
        message = decode_message(retained)
        slot = message.publication(message.log, retained=True)
    return Part(generation.decode(), epoch, last, first, low, high, slot, trimmed, passed, more, publications)


def question_of(request: Read) -> Question:
    """Return what a request asks of the script."""
    since = request.since
    if since is None:
        return Question(request.channel, request.namespace, "newest", "", 0, request.limit)
    what = "before" if request.reverse else "since"
    return Question(request.channel, request.namespace, what, since.epoch, since.offset, request.limit)


def result_of(request: Read, reader: Reader) -> ReadResult:
    """Return the answer to a request."""
    part = reader.part
    if part is None:
        return UNREADABLE
    since, found = request.since, part.found
    position = Position(part.epoch, part.last)
    if since is None:
        return ReadResult(0, position, found if request.reverse else found[::-1], False, part.retained)
    trimmed = part.first - 1
    known = since.epoch == part.epoch and since.offset <= part.last
    if request.reverse:
        # All that is kept before it, and nothing was kept before that.
        all_of_it = known and len(found) >= min(since.offset - 1, part.last) - trimmed
        whole = (trimmed == 0 or since.offset <= 1) and not reader.is_cut
        return ReadResult(0, position, found, all_of_it and whole, part.retained)
    unbroken = known and trimmed <= since.offset
    complete = unbroken and len(found) == part.last - since.offset
    return ReadResult(0, position, found, complete, part.retained, unbroken)
