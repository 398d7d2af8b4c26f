"""What one channel keeps, and the account of what all of them keep together."""

from collections import deque
from collections.abc import Iterable
from heapq import heapify, heappop, heappush, heapreplace
from itertools import islice
from typing import Final

from chappe.hub.namespaces import Namespace
from chappe.model.publication import Publication

#: Bytes counted for each publication beside its payload: what the objects that hold it take.
PUBLICATION_BYTES: Final = 400
#: Channels that went away and are still in the order, beyond twice those that are there, before it is made anew.
_STALE: Final = 1_024


def size_of(publication: Publication) -> int:
    """Return what keeping a publication costs, in bytes: its payload, its headers and what holds them."""
    headers = publication.headers
    if headers is None:
        return len(publication.payload) + PUBLICATION_BYTES
    # Each message of MQTT has headers, and comes here when it is kept and when it is let go: joining needs no loop.
    header_bytes = len("".join(headers)) + len("".join(headers.values()))
    return len(publication.payload) + header_bytes + PUBLICATION_BYTES


class Ledger:
    """Counts what all histories keep, and finds the oldest publication among them.

    The order is a heap with one entry for each channel, made from the oldest it had when the entry was made. A channel
    only ever loses its oldest, so an entry is never too late, and appending to a history costs nothing here.

    Attributes:
        kept_bytes: what is kept now, as `size_of` counts.
        trimmed: publications let go before their time to stay below the limit.
    """

    __slots__ = ("_order", "kept_bytes", "trimmed")

    def __init__(self) -> None:
        self.kept_bytes = 0
        self.trimmed = 0
        self._order: list[tuple[int, Stream]] = []

    @property
    def followed(self) -> int:
        """Channels in the order now."""
        return len(self._order)

    def follow(self, stream: "Stream", oldest_log: int) -> None:
        """Take a channel that begins to keep something into the order."""
        stream.ordered = True
        heappush(self._order, (oldest_log, stream))

    def trim(self, maximum_bytes: int) -> None:
        """Let the oldest publications go, whatever their channel, until no more than so many bytes are kept."""
        order = self._order
        while self.kept_bytes > maximum_bytes and order:
            log, stream = order[0]
            history = stream.history
            if history and history[0].log == log:
                stream.trim_oldest(history)
                self.trimmed += 1
            if history:
                heapreplace(order, (history[0].log, stream))
            else:
                heappop(order)
                stream.ordered = False
                stream.clear()

    def tidy(self, streams: Iterable["Stream"], count: int) -> None:
        """Let go of channels that are no longer there, if many are still in the order."""
        if len(self._order) <= 2 * count + _STALE:
            return
        self._order = []
        for stream in streams:
            stream.ordered = bool(stream.history)
            if stream.history:
                self._order.append((stream.history[0].log, stream))
        heapify(self._order)


class Stream:
    """One channel's life: its epoch, its last offset and what is kept."""

    __slots__ = (
        "age_s",
        "by_pattern",
        "count",
        "epoch",
        "history",
        "ledger",
        "log",
        "namespace",
        "offset",
        "ordered",
        "patterns",
        "retained",
        "times",
        "touched",
        "trimmed_log",
        "trimmed_offset",
    )

    def __init__(self, epoch: str, now: float, ledger: Ledger) -> None:
        self.epoch = epoch
        self.ledger = ledger
        self.offset = 0
        self.log = 0
        self.touched = now
        self.namespace: Namespace | None = None
        self.count = 0
        self.age_s = 0.0
        # A deque costs 600 bytes when empty: most channels of a live namespace never need one.
        self.history: deque[Publication] | None = None
        self.times: deque[float] = _NO_TIMES
        self.ordered = False
        # The newest publication that is not kept (any more): what comes before it cannot be given whole.
        self.trimmed_offset = 0
        self.trimmed_log = 0
        self.retained: Publication | None = None
        self.patterns = -1
        self.by_pattern = False

    def serve(self, namespace: Namespace) -> None:
        """Take the options of a namespace over; they hold from the next publication on."""
        self.namespace = namespace
        self.count = namespace.history_count if namespace.keeps_history else 0
        self.age_s = namespace.history_age_s
        while self.history and not self.count:
            self.trim_oldest(self.history)

    def keep(self, publication: Publication, now: float) -> None:
        """Keep the newest publication, in a channel that keeps any, and let the oldest go when there are too many."""
        history, times, ledger = self.history, self.times, self.ledger
        if history is None:
            history = self.history = deque()
            times = self.times = deque()
        history.append(publication)
        times.append(now)
        # Without a call where it can be: this is the way of every publication.
        plain = publication.headers is None
        ledger.kept_bytes += len(publication.payload) + PUBLICATION_BYTES if plain else size_of(publication)
        if not self.ordered:
            ledger.follow(self, history[0].log)
        while len(history) > self.count:
            self.trim_oldest(history)

    def trim_oldest(self, history: deque[Publication]) -> None:
        """Let the oldest publication go, and remember that it is missing."""
        gone = history.popleft()
        self.times.popleft()
        self.ledger.kept_bytes -= len(gone.payload) + PUBLICATION_BYTES if gone.headers is None else size_of(gone)
        # With a namespace that kept nothing for a while, something newer may be missing already.
        if gone.offset > self.trimmed_offset:
            self.trimmed_offset, self.trimmed_log = gone.offset, gone.log

    def expire(self, now: float) -> None:
        """Let go what is too old at a time; an age of 0 keeps everything until there are too many."""
        history = self.history
        if history is None or self.age_s <= 0:
            return
        oldest = now - self.age_s
        while history and self.times[0] <= oldest:
            self.trim_oldest(history)
        if not history:
            self.history, self.times = None, _NO_TIMES

    def clear(self) -> None:
        """Let the whole history go."""
        while self.history:
            self.trim_oldest(self.history)
        self.history, self.times = None, _NO_TIMES

    def after(self, offset: int) -> list[Publication]:
        """Return what is kept and came after an offset, oldest first; costs as much as it returns."""
        found: list[Publication] = []
        for publication in reversed(self.history or ()):
            if publication.offset <= offset:
                break
            found.append(publication)
        found.reverse()
        return found

    def newest(self, limit: int, before: int | None = None) -> list[Publication]:
        """Return the newest publications kept (that came before an offset), newest first."""
        backwards = reversed(self.history or ())
        if before is None:
            return list(islice(backwards, limit))
        return list(islice((publication for publication in backwards if publication.offset < before), limit))


_NO_TIMES: Final[deque[float]] = deque()
