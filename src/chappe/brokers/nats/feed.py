"""What comes back from the streams: once for each node, in order, after its outcome, with gaps told."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Container, Sequence
from functools import partial
from typing import Final

import msgspec

from chappe.brokers.nats.channels import is_publication
from chappe.brokers.nats.connection import Connection, field_of, number_of
from chappe.brokers.nats.record import LOG_STEP, Record, decode
from chappe.brokers.nats.streams import Streams
from chappe.brokers.nats.subjects import channel_of, filter_of
from chappe.hub.contracts import BrokerSink
from chappe.model.channels import is_pattern, pattern_matches
from chappe.model.publication import Publication

#: Channels whose last sequence is remembered, to tell copies and gaps.
_MOST_SEEN: Final = 100_000


class _Seen(msgspec.Struct, gc=False):
    sequence: int
    epoch: str


class Feed:
    """Takes what the streams republish, for what somebody is attached to.

    Log positions are the sequences of the main stream, in steps. Live channels are not in that stream: their
    publications count on from the last step that this node saw.

    Attributes:
        clock: the newest log position that was given here.
        gaps: how often the feed of a channel had lost something.
    """

    def __init__(self, streams: Streams, origin: int, untold: Container[int]) -> None:
        self._streams = streams
        self._origin = origin
        self._untold = untold
        self._sink: BrokerSink | None = None
        self._connection: Connection | None = None
        self._names: set[str] = set()
        self._seen: OrderedDict[str, _Seen] = OrderedDict()
        self._last_passed = (0, 0)
        # A publication and the number of the append it must wait for, or what to tell before anything newer.
        self._queue: deque[tuple[Publication | Sequence[str], int]] = deque()
        self._flushing: asyncio.Handle | None = None
        self.clock = 0
        self.gaps = 0

    def start(self, sink: BrokerSink) -> None:
        """Feed a sink from now on."""
        self._sink = sink

    def stop(self) -> None:
        """Feed nobody."""
        self._sink = None
        self.end()

    def begin(self, connection: Connection) -> None:
        """Ask again for everything that somebody is attached to."""
        self._connection = connection
        for name in self._names:
            self._subscribe(name)

    def end(self) -> None:
        """Forget what was under way: the connection is lost, and that is told when there is another one."""
        self._connection = None
        self._queue.clear()
        self._seen.clear()

    def renew(self) -> None:
        """Begin with log positions anew: the main stream did."""
        self.clock = 0

    def raise_clock(self, sequence: int) -> None:
        """Let live publications count on from a place in the main stream that was told to somebody."""
        self.clock = max(self.clock, sequence * LOG_STEP)

    def attach(self, name: str) -> None:
        """Ask for a channel or pattern."""
        if name not in self._names:
            self._names.add(name)
            if self._connection is not None:
                self._subscribe(name)

    def detach(self, name: str) -> None:
        """Ask no more for a channel or pattern."""
        if name not in self._names:
            return
        self._names.discard(name)
        if self._connection is not None:
            self._connection.unsubscribe(self._streams.feed_prefix + filter_of(name))
        # What comes while nobody asks is no gap.
        gone = [each for each in self._seen if pattern_matches(name, each)] if is_pattern(name) else [name]
        for each in gone:
            if not self._is_wanted(each):
                self._seen.pop(each, None)

    def tell(self, channels: Sequence[str] | None) -> None:
        """Tell of an interruption, behind what is queued already; None: at once, nothing is."""
        if channels is None:
            if self._sink is not None:
                self._sink.interrupted(None)
        else:
            self._queue.append((channels, 0))
            self.flush_soon()

    def flush_soon(self) -> None:
        """Feed what may be fed, when the present messages have been taken."""
        if self._flushing is None and self._queue:
            self._flushing = asyncio.get_running_loop().call_soon(self._flush)

    # --- Coming in ---------------------------------------------------------------------------------------------------

    def _subscribe(self, name: str) -> None:
        if self._connection is not None:
            came = partial(self._came, self._connection)
            self._connection.subscribe(self._streams.feed_prefix + filter_of(name), came)

    def _came(self, connection: Connection, subject: bytes, headers: bytes, data: bytes) -> None:
        if connection is not self._connection:
            # Of one that has ended, which may hand out what it had read: what came before it is forgotten already, so
            # that nobody would notice the gap.
            return
        try:
            channel = channel_of(subject[len(self._streams.feed_prefix) :].decode())
            record = decode(data)
        except (ValueError, msgspec.DecodeError):
            return  # somebody else wrote it
        if channel[:1] == "$" and not self._is_wanted(channel):
            return
        sequence = number_of(headers, b"Nats-Sequence")
        if sequence:
            self._stored(channel, record, sequence, headers)
        elif record.transient and (record.origin, record.number) != self._last_passed:
            self._last_passed = (record.origin, record.number)
            self._put(record.publication(channel, 0, self._epoch(record), 0), record)

    def _stored(self, channel: str, record: Record, sequence: int, headers: bytes) -> None:
        kept = field_of(headers, b"Nats-Stream").decode() == self._streams.main.name
        state = self._streams.main if kept else self._streams.live
        epoch = f"{state.id}-{record.birth or sequence:x}"
        seen = self._seen.get(channel)
        if seen is not None:
            if sequence <= seen.sequence and epoch == seen.epoch:
                return  # a copy: another name that somebody is attached to matches too
            before = number_of(headers, b"Nats-Last-Sequence")
            if epoch != seen.epoch or before > seen.sequence:
                self.gaps += 1
                self.tell([channel])
            seen.sequence, seen.epoch = sequence, epoch
        else:
            self._seen[channel] = _Seen(sequence, epoch)
            if len(self._seen) > _MOST_SEEN:
                self._seen.popitem(last=False)
        state.saw(sequence)
        if kept:
            self.clock = max(self.clock, sequence * LOG_STEP)
        if not is_publication(record):
            return
        if kept:
            log = sequence * LOG_STEP
        else:
            self.clock = log = self.clock + 1
        self._put(record.publication(channel, sequence, epoch, log), record)

    def _epoch(self, record: Record) -> str:
        state = self._streams.main if record.kept else self._streams.live
        return f"{state.id}-{record.birth:x}"

    def _is_wanted(self, channel: str) -> bool:
        return channel in self._names or any(pattern_matches(name, channel) for name in self._names if is_pattern(name))

    def _put(self, publication: Publication, record: Record) -> None:
        self._queue.append((publication, record.number if record.origin == self._origin else 0))
        self.flush_soon()

    # --- Going out ---------------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        self._flushing = None
        try:
            self._feed()
        except BaseException:
            # A sink that raises is a bug of its owner: what comes behind must arrive all the same.
            self.flush_soon()
            raise

    def _feed(self) -> None:
        queue = self._queue
        batch: list[Publication] = []
        while queue and self._sink is not None:
            entry, number = queue[0]
            if number and number in self._untold:
                break
            queue.popleft()
            if isinstance(entry, Publication):
                batch.append(entry)
                continue
            batch = self._give(batch)
            self._sink.interrupted(entry)
        self._give(batch)

    def _give(self, batch: list[Publication]) -> list[Publication]:
        if batch and self._sink is not None:
            self._sink.published(batch)
        return []
