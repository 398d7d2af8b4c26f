"""What channels brought lately, so that a thousand clients who come back cost the engine one read of each history.

What a read of a gap brought, and what the feed brought since, is all there is after the gap's beginning: for as long as
the channel is attached and its feed was not interrupted. Whoever comes back with a position in that stretch is answered
from here. So is one whose position the broker has called lost: what is lost stays lost.

Nothing is kept of what a broker answers inside the question: it is kept there, as near as it could be here.
"""

from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Final, TypeAlias

from chappe.hub.contracts import ReadResult, Timer
from chappe.model.position import Position
from chappe.model.publication import Publication

if TYPE_CHECKING:
    from chappe.hub.channels import Channel
    from chappe.hub.hub import HubCore

#: Seconds that a channel's stretch is kept when nobody comes back: twice the longest wait of clients (30 s).
RECENT_IDLE_S: Final = 60.0
#: Publications that a flight notes for those who join it; above, nobody can join it any more.
MOST_NOTED: Final = 10_000
#: Of all that may be kept, one channel takes so much at most.
_CHANNEL_SHARE: Final = 4
#: Counted for each publication beside its payload and headers: the objects that hold it, as brokers count.
_ENTRY_BYTES: Final = 400
#: Epochs that are known to be over, of each channel; they end one by one, and clients come with the last ones.
_MOST_OVER: Final = 8

_offset = attrgetter("offset")


class Stretch:
    """All publications of a channel behind one position, in one epoch, up to the newest that is known.

    Attributes:
        epoch: empty before the first answer.
        after: everything behind this offset is here.
        end: the newest offset that a read told or the feed brought.
        size: what is here, in bytes.
    """

    __slots__ = (
        "_age_ms",
        "_answered",
        "_lost",
        "_most",
        "_most_bytes",
        "_over",
        "_publications",
        "_retained",
        "_retained_at",
        "after",
        "end",
        "epoch",
        "size",
        "used_at",
    )

    def __init__(self, most: int, most_bytes: int, age_s: float) -> None:
        """Take the most publications and bytes, and how old one may be (0: any age)."""
        self._most = most
        self._most_bytes = most_bytes
        self._age_ms = age_s * 1_000
        self._publications: deque[Publication] = deque()
        self._over: dict[str, None] = {}
        # The last answer: many ask for the same.
        self._answered: tuple[Position, ReadResult] | None = None
        # No gap that begins here or before can be filled: it is trimmed, or longer than any that is.
        self._lost = -1
        self._retained: Publication | None = None
        self._retained_at = -1
        self.epoch = ""
        self.after = self.end = 0
        self.size = 0
        self.used_at = 0.0

    def __len__(self) -> int:
        return len(self._publications)

    def answer(self, since: Position, now_ms: int) -> ReadResult | None:
        """Return what a broker would say to a client that comes back; None: that is not known here."""
        self._expire(now_ms)
        if self._answered is not None and self._answered[0] == since:
            return self._answered[1]
        if since.epoch == self.epoch and self.after <= since.offset <= self.end:
            found: list[Publication] = []
            for publication in reversed(self._publications):
                if publication.offset <= since.offset:
                    break
                found.append(publication)
            found.reverse()
            result = ReadResult(0, Position(self.epoch, self.end), found, True, None, True)
            self._answered = since, result
            return result
        is_lost = since.offset <= self._lost if since.epoch == self.epoch else since.epoch in self._over
        # Who recovers nothing gets what is retained, which the feed does not tell.
        if is_lost and self._retained_at == self.end:
            return ReadResult(0, Position(self.epoch, self.end), (), False, self._retained)
        return None

    def learn(self, since: Position, result: ReadResult, noted: Sequence[Publication]) -> bool:
        """Take an answer of the broker, and what the feed brought meanwhile; False: the two speak of two lives."""
        epoch, told = result.position.epoch, result.position.offset
        if self.epoch not in ("", epoch) or any(publication.epoch != epoch for publication in noted):
            return False
        self._answered = None
        found = result.publications if result.complete else ()
        if not self.epoch:
            self.epoch = epoch
            self.after, self.end = since.offset if result.complete else told, told
            self._publications.extend(found)
            self.size = sum(map(size_of, found))
            for publication in noted:
                self.take(publication)
        elif result.complete:
            self._join(since.offset, told, found)
        if since.epoch != epoch:
            self._over[since.epoch] = None
            if len(self._over) > _MOST_OVER:
                del self._over[next(iter(self._over))]
        elif not result.complete and since.offset <= told:
            self._lost = max(self._lost, since.offset)
        if told == self.end:
            self._retained, self._retained_at = result.retained, told
        self._trim()
        return True

    def take(self, publication: Publication) -> bool:
        """Take what the feed brings; False: it is of another life."""
        if publication.epoch != self.epoch:
            return False
        # What was read before the feed brought it is here already.
        if publication.offset > self.end:
            self._answered = None
            self.end = publication.offset
            self._publications.append(publication)
            self.size += size_of(publication)
            self._trim()
        return True

    def _join(self, after: int, told: int, found: Sequence[Publication]) -> None:
        """Put an answer and what is here together, if nothing can be missing between them."""
        if after > self.end or told < self.after:
            return
        if after < self.after:
            newer = [publication for publication in self._publications if publication.offset > told]
            self._publications = deque((*found, *newer))
            self.after = after
        else:
            self._publications.extend(publication for publication in found if publication.offset > self.end)
        self.end = max(self.end, told)
        self.size = sum(map(size_of, self._publications))

    def _trim(self) -> None:
        while len(self._publications) > self._most or self.size > self._most_bytes:
            self._drop_oldest()

    def _expire(self, now_ms: int) -> None:
        if self._age_ms:
            while self._publications and self._publications[0].time_ms <= now_ms - self._age_ms:
                self._drop_oldest()

    def _drop_oldest(self) -> None:
        self._answered = None
        gone = self._publications.popleft()
        self.after = gone.offset
        self.size -= size_of(gone)


class Flight:
    """A question on its way to the broker, and what the feed brought meanwhile.

    Attributes:
        since, limit: what was asked.
        noted: what the feed brought since then.
        guests: who waits for the answer beside who asked, and how much was noted before each came.
    """

    __slots__ = ("guests", "is_full", "limit", "noted", "since")

    def __init__(self, since: Position | None, limit: int) -> None:
        self.since = since
        self.limit = limit
        self.noted: list[Publication] = []
        self.guests: list[tuple[Guest, int]] = []
        self.is_full = False

    def note(self, publication: Publication) -> None:
        """Keep what the feed brings for those who join later; too much of it ends the joining."""
        if len(self.noted) < MOST_NOTED:
            self.noted.append(publication)
        else:
            self.is_full = True

    def serves(self, since: Position | None, limit: int) -> bool:
        """Tell whether its answer may be one to another question too: the same, or one about a part of the gap."""
        if self.is_full:
            return False
        if since is None or self.since is None:
            return since is self.since and limit == self.limit
        return since.epoch == self.since.epoch and since.offset >= self.since.offset

    def part(self, result: ReadResult, since: Position | None) -> ReadResult | None:
        """Return the answer to a question that it serves; None: this answer does not tell."""
        if since is None or since == self.since or result.error or since.epoch != result.position.epoch:
            return result
        if not result.complete or since.offset > result.position.offset:
            return None
        found = result.publications[bisect_right(result.publications, since.offset, key=_offset) :]
        return ReadResult(0, result.position, found, True, result.retained, True)


Guest: TypeAlias = Callable[[Flight, int, ReadResult], None]
"""Takes the answer to a question that serves its own, and how much of what was noted it was too late for."""


class Recovery:
    """Keeps the stretches of channels to which clients come back.

    Attributes:
        kept_bytes: what all of them take.
    """

    def __init__(self, hub: "HubCore") -> None:
        self._hub = hub
        # Those that were used longest ago first.
        self._kept: OrderedDict[Channel, None] = OrderedDict()
        self._timer: Timer | None = None
        self.kept_bytes = 0

    def __len__(self) -> int:
        """Return how many channels are kept."""
        return len(self._kept)

    def answer(self, channel: "Channel", since: Position) -> ReadResult | None:
        """Return what a channel's broker would say to a client that comes back; None: it has to be asked."""
        stretch = channel.stretch
        if stretch is None:
            return None
        before = stretch.size
        found = stretch.answer(since, self._hub.clock.wall_ms())
        self.kept_bytes += stretch.size - before
        if found is not None:
            stretch.used_at = self._hub.clock.now()
            self._kept.move_to_end(channel)
        return found

    def learn(self, channel: "Channel", flight: Flight, result: ReadResult) -> None:
        """Keep what a read of a gap brought, behind which the feed goes on."""
        limits = self._hub.limits
        if flight.since is None or result.error or flight.is_full or not limits.recovery_cache_bytes:
            return
        stretch = channel.stretch
        if stretch is None:
            namespace = channel.namespace
            most = min(namespace.history_count if namespace.keeps_history else 0, limits.recovery_publications)
            most_bytes = limits.recovery_cache_bytes // _CHANNEL_SHARE
            stretch = channel.stretch = Stretch(most, most_bytes, namespace.history_age_s)
            self._kept[channel] = None
        before = stretch.size
        if not stretch.learn(flight.since, result, flight.noted):
            self.kept_bytes += stretch.size - before
            self.forget(channel)
            return
        self.kept_bytes += stretch.size - before
        stretch.used_at = self._hub.clock.now()
        self._kept.move_to_end(channel)
        self._make_room()
        if self._timer is None:
            self._timer = self._hub.clock.call_later(RECENT_IDLE_S, self._sweep)

    def fed(self, channel: "Channel", publication: Publication) -> None:
        """Take what the feed brings to a channel that is kept or being read."""
        for flight in channel.flights:
            flight.note(publication)
        stretch = channel.stretch
        if stretch is None:
            return
        before = stretch.size
        is_ours = stretch.take(publication)
        self.kept_bytes += stretch.size - before
        if is_ours:
            self._make_room()
        else:
            self.forget(channel)

    def forget(self, channel: "Channel") -> None:
        """Forget what is kept of a channel, and let nobody join its reads: it is not whole any more, or given up."""
        channel.flights = ()
        stretch, channel.stretch = channel.stretch, None
        if stretch is not None:
            self.kept_bytes -= stretch.size
            del self._kept[channel]

    def _make_room(self) -> None:
        while self.kept_bytes > self._hub.limits.recovery_cache_bytes:
            self._hub.counters.recovery_evicted += 1
            self._drop(next(iter(self._kept)))

    def _sweep(self) -> None:
        """Let go of what nobody came back to, so that publishing costs nothing here any more."""
        self._timer = None
        now = self._hub.clock.now()
        while self._kept:
            channel = next(iter(self._kept))
            assert channel.stretch is not None
            left_s = channel.stretch.used_at + RECENT_IDLE_S - now
            if left_s > 0:
                self._timer = self._hub.clock.call_later(left_s, self._sweep)
                return
            self._drop(channel)

    def _drop(self, channel: "Channel") -> None:
        """Forget what is kept of a channel that is whole; who reads it may be joined as before."""
        stretch, channel.stretch = channel.stretch, None
        if stretch is not None:
            self.kept_bytes -= stretch.size
        del self._kept[channel]


def size_of(publication: Publication) -> int:
    """Return what keeping a publication takes, in bytes: payload, headers and what holds them."""
    headers = publication.headers or {}
    return len(publication.payload) + sum(len(name) + len(value) for name, value in headers.items()) + _ENTRY_BYTES
