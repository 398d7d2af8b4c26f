"""Publications that the hub has not acknowledged: they are sent again after a cut, in order."""

import asyncio
from collections.abc import Iterator
from typing import Any, Final

from chappe.client.errors import ConnectionLost, QueueFull, Unconfirmed
from chappe.client.exchange import Answer
from chappe.client.messages import Reply
from chappe.model.errors import ChappeError

#: The hub remembers an idempotency key for 300 s. An unacknowledged publication that is older, counted from its first
#: sending with a minute to spare, could be stored twice: its sender is told instead.
RESEND_WINDOW_S: Final = 240.0


class Entry:
    """One publication that waits for its acknowledgement.

    Attributes:
        fields: the command, without an id.
        sent_at: when it was first sent, monotonic seconds; None: not yet.
        waits: whether the hub refused it for now: it goes out again when the hub said.
    """

    __slots__ = ("answer", "fields", "sent_at", "waits")

    def __init__(self, fields: dict[str, Any], answer: "asyncio.Future[Reply]") -> None:
        self.fields = fields
        self.answer = answer
        self.sent_at: float | None = None
        self.waits = False

    def answered(self, answer: Answer) -> None:
        """Take what came of it; a lost connection changes nothing, it goes out again over the next one."""
        if self.answer.done() or isinstance(answer, ConnectionLost):
            return
        if isinstance(answer, Reply):
            self.answer.set_result(answer)
        else:
            self.answer.set_exception(answer)


class Outbox:
    """A bounded, ordered set of entries; when it is full, `add` raises."""

    def __init__(self, max_publications: int) -> None:
        self._max = max_publications
        self._entries: dict[Entry, None] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, fields: dict[str, Any]) -> Entry:
        """Put a publication behind the others.

        Raises:
            QueueFull: as many as allowed wait already; nothing was sent.
        """
        if len(self._entries) >= self._max:
            reason = f"{self._max} publications wait for an acknowledgement already, publish more slowly"
            raise QueueFull("publish_queue", self._max, reason)
        entry = Entry(fields, asyncio.get_running_loop().create_future())
        self._entries[entry] = None
        return entry

    def discard(self, entry: Entry) -> None:
        """Take a publication out: it was acknowledged, refused, or its publisher does not wait any more."""
        self._entries.pop(entry, None)

    def to_send(self, now: float, *, known: bool = True) -> Iterator[Entry]:
        """Give what a new connection has to send, oldest first, and mark it as sent.

        What may be forgotten by the hub is not given: its publisher gets `Unconfirmed`.

        Args:
            now: monotonic seconds.
            known: whether the hub takes us for who sent before: keys are remembered for each publisher.
        """
        for entry in tuple(self._entries):
            if entry.answer.done():
                continue
            if entry.sent_at is not None and not (known and now - entry.sent_at <= RESEND_WINDOW_S):
                entry.answer.set_exception(Unconfirmed(entry.fields["channel"], entry.fields["key"]))
                continue
            if entry.sent_at is None:
                entry.sent_at = now
            entry.waits = False
            yield entry

    def to_send_again(self) -> Iterator[Entry]:
        """Give what the hub refused for now, and what was not sent since, oldest first."""
        now = asyncio.get_running_loop().time()
        for entry in tuple(self._entries):
            if not entry.answer.done() and (entry.waits or entry.sent_at is None):
                entry.waits = False
                entry.sent_at = now if entry.sent_at is None else entry.sent_at
                yield entry

    def fail(self, error: ChappeError) -> None:
        """Tell every publisher that there will be no connection."""
        for entry in self._entries:
            if not entry.answer.done():
                entry.answer.set_exception(error)
