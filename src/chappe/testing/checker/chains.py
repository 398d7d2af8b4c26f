"""What one subscriber saw of one channel, over all its reconnections."""

from collections.abc import Iterator

from chappe.testing.checker.findings import Finding, Kind
from chappe.testing.checker.journal import Closed, Dropped, Event, Seen, Settled, Subscribed, Unsubscribed
from chappe.testing.checker.stored import Stored

_END = 1 << 62


class Chain:
    """Follows the subscriptions of one subscriber to one channel, in order.

    A chain is what lies between two moments at which the subscriber was told of a gap (or of its beginning): within it
    every stored publication must have been seen, once and in order.

    Attributes:
        recovered: subscriptions that were answered `recovered: true`.
    """

    def __init__(self, subscriber: str, stored: Stored) -> None:
        self.recovered = 0
        self._subscriber = subscriber
        self._stored = stored
        self._open = False
        self._epoch: str | None = None
        self._subscribed_at = 0.0
        # Above this offset everything stored must be seen, as far as `_last`; up to `_recovered_to` by recovery.
        self._whole_after = 0
        self._recovered_to = 0
        self._last = 0
        self._seen: set[int] = set()

    def follow(self, event: Event) -> Iterator[Finding]:
        """Take the next event of this subscriber and channel."""
        match event:
            case Subscribed():
                yield from self.finish()
                yield from self._subscribe(event)
            case Seen():
                yield from self._see(event)
            case Settled():
                yield from self._settle(event)
            case Dropped():
                yield from self.finish()
                self._whole_after = _END
            case Closed() | Unsubscribed():
                yield from self.finish()
                self._open = False
            case _:
                pass

    def finish(self) -> Iterator[Finding]:
        """Judge what was seen so far: between the first and the last publication nothing may be missing."""
        yield from self._missing(self._last)

    def _finding(self, kind: Kind, text: str) -> Finding:
        return Finding(kind, self._stored.channel, f"{self._subscriber} {text}")

    def _missing(self, until: int) -> Iterator[Finding]:
        if self._epoch is None:
            return
        for offset in self._stored.between(self._epoch, self._whole_after, until):
            if offset not in self._seen:
                kind = Kind.FALSE_RECOVERED if offset <= self._recovered_to else Kind.LOST
                yield self._finding(kind, f"did not see {offset} of epoch {self._epoch!r}")
        # What was judged once is not judged again.
        self._whole_after = max(self._whole_after, until)

    def _subscribe(self, event: Subscribed) -> Iterator[Finding]:
        since = event.since
        self._open = True
        self._subscribed_at = event.time
        if event.recovered and since is not None:
            self.recovered += 1
            if since.epoch != event.epoch or since.offset > event.offset:
                asked = f"since {since.offset} of {since.epoch!r}"
                text = f"got recovered: true at {event.offset} of {event.epoch!r} {asked}"
                yield self._finding(Kind.FALSE_RECOVERED, text)
            if self._epoch == event.epoch:
                skipped = self._stored.between(event.epoch, max(self._last, self._whole_after), since.offset)
                if skipped and self._whole_after != _END:
                    yield self._finding(Kind.SILENT_GAP, f"went on from {since.offset} without {list(skipped)[:5]}")
                self._last = max(self._last, since.offset)
            else:
                self._begin(event.epoch, since.offset)
            self._whole_after = since.offset
            self._recovered_to = event.offset
            return
        if self._epoch == event.epoch and event.offset < self._last:
            text = f"was told {event.offset} of epoch {event.epoch!r} after it had seen {self._last}"
            yield self._finding(Kind.REORDERED, text)
        self._begin(event.epoch, event.offset)
        if event.replay:
            self._last = -1

    def _begin(self, epoch: str, offset: int) -> None:
        self._epoch = epoch
        self._last = self._whole_after = offset
        self._recovered_to = -1
        self._seen = set()

    def _see(self, event: Seen) -> Iterator[Finding]:
        where = f"{event.offset} of epoch {event.epoch!r}"
        if not self._open or self._epoch is None:
            yield self._finding(Kind.UNINVITED, f"saw {where} without a subscription")
            return
        if event.epoch != self._epoch:
            yield self._finding(Kind.SILENT_GAP, f"saw {where} while it was in epoch {self._epoch!r}")
            yield from self.finish()
            self._begin(event.epoch, event.offset - 1)
            self._subscribed_at = event.time
        if event.offset <= self._last:
            kind = Kind.DOUBLED if event.offset in self._seen else Kind.REORDERED
            yield self._finding(kind, f"saw {where} after {self._last}")
        self._seen.add(event.offset)
        if self._whole_after == _END:  # it was told of a gap: whole again from here
            self._whole_after = event.offset
        self._last = max(self._last, event.offset)

    def _settle(self, event: Settled) -> Iterator[Finding]:
        if not self._open or self._epoch is None or self._whole_after == _END:
            return
        for epoch, offset in self._stored.in_other_epochs(self._epoch, self._subscribed_at, event.time):
            yield self._finding(Kind.SILENT_GAP, f"stayed in epoch {self._epoch!r} and missed {offset} of {epoch!r}")
        acknowledged = self._stored.last_acknowledged(self._epoch, event.time)
        yield from self._missing(max(acknowledged, self._recovered_to, self._last))
