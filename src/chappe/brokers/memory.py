"""Publications kept in the memory of one process.

`append` stores and answers inside the call. Everything is gone when the process ends: then epochs are new, and whoever
comes back learns that it missed something.
"""

import math
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final

from msgspec.structs import replace

from chappe.brokers.streams import Ledger, Stream, size_of
from chappe.hub.contracts import (
    IDEMPOTENCY_S,
    Append,
    BrokerSink,
    Clock,
    Outcome,
    Random,
    Read,
    ReadLog,
    ReadLogResult,
    ReadResult,
    Timer,
)
from chappe.model.channels import is_pattern, pattern_matches
from chappe.model.error_codes import Code
from chappe.model.position import Position
from chappe.model.publication import Publication

#: How long a channel that nobody uses keeps its epoch, at least: longer than clients try to come back at full pace.
DEFAULT_META_AGE_S: Final = 600.0
#: Idempotency keys held at once; about 80 MB, or 870 keyed publications a second for the whole five minutes.
DEFAULT_MAX_KEYS: Final = 262_144
#: What all histories may take together: a tenth of what a small server (2 GB) has, and two hours of a busy chat.
DEFAULT_HISTORY_BYTES: Final = 268_435_456
#: Channels with an epoch, history or not; about 60 MB when they keep nothing, and more than one process serves well.
DEFAULT_MAX_STREAMS: Final = 100_000
#: Channels that were asked for and never published to: each costs 500 bytes, and anybody may ask for names.
DEFAULT_MAX_UNBORN: Final = 10_000
#: Retained publications: one for each device of a large house; whoever needs more keeps state elsewhere.
DEFAULT_MAX_RETAINED: Final = 10_000
#: What they may take together; 6 KB each on average when all slots are used.
DEFAULT_RETAINED_BYTES: Final = 67_108_864
#: Channels looked at to find one to give up, so that making room costs the same however many there are.
ROOM_LOOKS: Final = 32
#: Seconds between two sweeps: what is too old for a reader is never given, the sweep only frees its memory.
SWEEP_S: Final = 10.0
#: Streams looked at in one go, about a millisecond, so that a sweep of many channels does not hold messages up.
SWEEP_SLICE: Final = 2_000

_NOWHERE: Final = Position("", 0)
_UNAVAILABLE: Final = Outcome(Code.NOT_AVAILABLE, _NOWHERE)
#: More digits are no position of ours; Python refuses to read very long numbers.
_MAX_DIGITS: Final = 19

_Done = Callable[[Sequence[Outcome]], None]


class MemoryBroker:
    """Keeps the publications of one process in its memory and hands them straight back.

    Every call answers inside the call, except that an `append` made from within a `done` or from within the sink is
    stored at once and answered when the outer one has been fed: otherwise one publication would overtake another.

    A channel that nobody is attached to, that keeps nothing and was not used for `meta_age_s` (or the age of its
    history and the life of an idempotency key, if that is longer) is forgotten; when it comes back it has a new epoch.

    Memory is bounded: whoever reads what a limit took away is told, by `complete` false or a new epoch. Channels that
    somebody is attached to are never given up: the limits of sessions and subscriptions bound those.

    Attributes:
        sequence: publications stored so far, which is also the log position.
        duplicates: appends whose idempotency key was known.
        conflicts: appends refused because `expect` was not the channel's position.
        keys_evicted: idempotency keys forgotten early because too many came; each may let a repetition through.
        streams_forgotten: channels whose epoch was given up.
        retained_bytes: what the retained publications take now.
        streams_evicted: those of them given up early, to stay below `max_streams` or `max_unborn`.
        retained_evicted: retained publications cleared to stay below `max_retained`, `retained_bytes`, `max_streams`.
    """

    name = "memory"
    durable = False
    shared = False
    _stream_type: type[Stream] = Stream

    def __init__(
        self,
        clock: Clock,
        random: Random,
        *,
        meta_age_s: float = DEFAULT_META_AGE_S,
        max_keys: int = DEFAULT_MAX_KEYS,
        history_bytes: int = DEFAULT_HISTORY_BYTES,
        max_streams: int = DEFAULT_MAX_STREAMS,
        max_unborn: int = DEFAULT_MAX_UNBORN,
        max_retained: int = DEFAULT_MAX_RETAINED,
        retained_bytes: int = DEFAULT_RETAINED_BYTES,
    ) -> None:
        """Take the limits; they are explained at their defaults.

        Args:
            meta_age_s: seconds that a channel nobody uses keeps its epoch.
            max_keys: idempotency keys held at once.
            history_bytes: what all histories may take together, 400 bytes counted for each publication beside its
                payload; beyond, the oldest publication of all goes first, whatever its channel.
            max_streams: channels that have an epoch; beyond, one that was not used for long is given up.
            max_unborn: those that nobody is attached to and nothing was ever published to.
            max_retained: retained publications; beyond, the one that was set longest ago is cleared.
            retained_bytes: what they may take together, counted as history is.
        """
        self._clock = clock
        self._random = random
        self._meta_age_s = meta_age_s
        self._max_keys = max_keys
        self._max_history_bytes = history_bytes
        self._max_streams = max_streams
        self._max_unborn = max_unborn
        self._max_retained = max_retained
        self._max_retained_bytes = retained_bytes
        self._ledger = Ledger()
        self._sink: BrokerSink | None = None
        # In the order in which room is made: those looked at and spared are put at the end.
        self._streams: OrderedDict[str, Stream] = OrderedDict()
        self._unborn: OrderedDict[str, None] = OrderedDict()
        # In the order in which they were set.
        self._retained: OrderedDict[str, Stream] = OrderedDict()
        self._attached: set[str] = set()
        self._patterns: set[str] = set()
        self._patterns_version = 0
        # In order of their age: all live equally long.
        self._keys: dict[tuple[str, str, str], tuple[Outcome, float]] = {}
        self._log_epoch = random(6).hex()
        self._forgotten_log = 0
        self._feeding = False
        self._waiting: deque[tuple[_Done, list[Outcome], list[Publication]]] = deque()
        self._timer: Timer | None = None
        self._unswept: list[str] = []
        self.sequence = 0
        self.duplicates = 0
        self.conflicts = 0
        self.keys_evicted = 0
        self.streams_forgotten = 0
        self.streams_evicted = 0
        self.retained_evicted = 0
        self.retained_bytes = 0

    @property
    def streams(self) -> int:
        """Channels with an epoch now."""
        return len(self._streams)

    @property
    def keys(self) -> int:
        """Idempotency keys held now."""
        return len(self._keys)

    @property
    def retained(self) -> int:
        """Retained publications held now."""
        return len(self._retained)

    @property
    def history_bytes(self) -> int:
        """Bytes that all histories take now."""
        return self._ledger.kept_bytes

    @property
    def history_trimmed(self) -> int:
        """Publications that went before their time, to stay below `history_bytes`."""
        return self._ledger.trimmed

    def metrics(self) -> dict[str, float]:
        """Return what is kept, and how often a limit or an age took something away, by name of the metric."""
        return {
            "chappe_broker_streams": self.streams,
            "chappe_broker_streams_forgotten_total": self.streams_forgotten,
            "chappe_broker_streams_evicted_total": self.streams_evicted,
            "chappe_broker_history_bytes": self.history_bytes,
            "chappe_broker_history_trimmed_total": self.history_trimmed,
            "chappe_broker_keys": self.keys,
            "chappe_broker_keys_evicted_total": self.keys_evicted,
            "chappe_broker_retained": self.retained,
            "chappe_broker_retained_bytes": self.retained_bytes,
            "chappe_broker_retained_evicted_total": self.retained_evicted,
            "chappe_broker_duplicates_total": self.duplicates,
            "chappe_broker_conflicts_total": self.conflicts,
        }

    async def start(self, sink: BrokerSink) -> None:
        """Take the sink; what was kept before a `stop` is still here."""
        self._sink = sink
        self._timer = self._clock.call_later(SWEEP_S, self._sweep)

    async def stop(self) -> None:
        """Answer everything that comes later 108; nothing is pending here between two calls."""
        self._sink = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def append(self, batch: Sequence[Append], done: _Done) -> None:
        """Store publications, answer, and feed those that somebody is attached to."""
        if self._sink is None:
            done([_UNAVAILABLE] * len(batch))
            return
        now = self._clock.now()
        streams, attached = self._streams, self._attached
        outcomes: list[Outcome] = []
        fed: list[Publication] = []
        for item in batch:
            stream = streams.get(item.channel) or self._open(item.channel, now)
            stream.touched = now
            if item.key is not None or item.expect is not None:
                answer = self._answer_known(stream, item, now)
                if answer is not None:
                    outcomes.append(answer)
                    continue
            publication = passed(stream, item) if item.transient else self._store(stream, item, now)
            outcome = Outcome(0, Position(stream.epoch, publication.offset))
            outcomes.append(outcome)
            if item.key is not None:
                self._remember(item, outcome, now)
            if item.channel in attached or (self._patterns and self._fed_by_pattern(stream, item.channel)):
                fed.append(publication)
        if self._feeding:
            self._waiting.append((done, outcomes, fed))
        else:
            self._answer_and_feed(done, outcomes, fed)

    def read(self, request: Read, done: Callable[[ReadResult], None]) -> None:
        """Read a channel; a channel never heard of gets its epoch here, so that a later gap can be told."""
        if self._sink is None:
            done(ReadResult(Code.NOT_AVAILABLE, _NOWHERE))
            return
        now = self._clock.now()
        stream = self._streams.get(request.channel) or self._open(request.channel, now)
        stream.touched = now
        stream.expire(now)
        position = Position(stream.epoch, stream.offset)
        publications, complete = _select(stream, request)
        done(ReadResult(0, position, publications, complete, stream.retained, _is_unbroken(stream, request)))

    def read_log(self, request: ReadLog, done: Callable[[ReadLogResult], None]) -> None:
        """Read all matching channels in the order in which they were published to."""
        position = f"{self._log_epoch}:{self.sequence}"
        if self._sink is None:
            done(ReadLogResult(Code.NOT_AVAILABLE, position))
            return
        now = self._clock.now()
        since = self._parse_log(request.since)
        floor = self._lost_log(request.pattern)
        found: list[Publication] = []
        retained: list[Publication] = []
        for channel, stream in self._streams.items():
            wanted = since is not None and stream.log > since
            if (wanted or stream.retained) and pattern_matches(request.pattern, channel):
                if stream.retained:
                    retained.append(stream.retained)
                if since is not None:
                    stream.expire(now)
                    floor = max(floor, stream.trimmed_log)
                    found += [publication for publication in stream.history or () if publication.log > since]
        found.sort(key=_log_of)
        retained.sort(key=_log_of)
        complete = since is not None and floor <= since and len(found) <= request.limit
        done(ReadLogResult(0, position, self.sequence, found[: max(request.limit, 0)], complete, retained))

    def attach(self, channel: str) -> None:
        """Feed a channel or pattern from the next `append` on; attaching again does nothing."""
        if is_pattern(channel):
            self._patterns.add(channel)
            self._patterns_version += 1
        else:
            self._attached.add(channel)
            self._unborn.pop(channel, None)

    def detach(self, channel: str) -> None:
        """Stop feeding a channel or pattern."""
        if is_pattern(channel):
            self._patterns.discard(channel)
            self._patterns_version += 1
        else:
            self._attached.discard(channel)
            stream = self._streams.get(channel)
            if stream is not None:
                stream.touched = self._clock.now()
                if not stream.offset and not self._is_in_use(channel):
                    self._watch_unborn(channel)

    # --- Storing -----------------------------------------------------------------------------------------------------

    def _open(self, channel: str, now: float) -> Stream:
        if len(self._streams) >= self._max_streams:
            self._make_room()
        stream = self._streams[channel] = self._stream_type(self._random(6).hex(), now, self._ledger)
        if not self._is_in_use(channel):
            self._watch_unborn(channel)
        return stream

    def _is_in_use(self, channel: str) -> bool:
        """Whether a channel must not be forgotten now."""
        return channel in self._attached

    def _watch_unborn(self, channel: str) -> None:
        """Remember a channel that nobody is attached to and nothing was stored in: anybody can ask for such names."""
        unborn = self._unborn
        unborn[channel] = None
        while len(unborn) > self._max_unborn:
            self._evict(unborn.popitem(last=False)[0])

    def _make_room(self) -> None:
        """Give the least useful channel of a few up: an unborn one, or the one that was not used for longest."""
        if self._unborn:
            self._evict(self._unborn.popitem(last=False)[0])
            return
        streams = self._streams
        oldest, touched = None, math.inf
        for channel in list(islice(streams, ROOM_LOOKS)):
            if self._is_in_use(channel):
                streams.move_to_end(channel)
            elif streams[channel].touched < touched:
                oldest, touched = channel, streams[channel].touched
        if oldest is not None:
            self._evict(oldest)

    def _evict(self, channel: str) -> None:
        self.streams_evicted += 1
        if channel in self._retained:
            self._clear_retained(channel)
            self.retained_evicted += 1
        self._forget(channel)

    def _forget(self, channel: str) -> None:
        stream = self._streams.pop(channel)
        stream.clear()
        self._unborn.pop(channel, None)
        self._forgotten_log = max(self._forgotten_log, stream.log)
        self.streams_forgotten += 1

    def _answer_known(self, stream: Stream, item: Append, now: float) -> Outcome | None:
        # The key comes first: who repeats a compare-and-set that succeeded is told that it did.
        if item.key is not None:
            known = self._keys.get((item.channel, item.key_owner, item.key))
            if known is not None and known[1] > now:
                self.duplicates += 1
                return known[0]
        expect = item.expect
        if expect is None or (expect.offset == stream.offset and expect.epoch in ("", stream.epoch)):
            return None
        self.conflicts += 1
        return Outcome(Code.CONFLICT, Position(stream.epoch, stream.offset))

    def _store(self, stream: Stream, item: Append, now: float) -> Publication:
        if stream.namespace is not item.namespace:
            stream.serve(item.namespace)
        self.sequence = log = self.sequence + 1
        stream.offset = offset = stream.offset + 1
        if offset == 1:
            self._unborn.pop(item.channel, None)
        stream.log = log
        publication = Publication(
            item.channel,
            item.payload,
            item.kind,
            offset,
            stream.epoch,
            item.time_ms,
            item.sender,
            item.key,
            item.headers,
            log,
        )
        if stream.count:
            stream.keep(publication, now)
            ledger = self._ledger
            if ledger.kept_bytes > self._max_history_bytes:
                ledger.trim(self._max_history_bytes)
        else:
            stream.trimmed_offset = offset
            stream.trimmed_log = log
        if item.retain:
            self._clear_retained(item.channel)
            if item.payload:
                self._retain(stream, replace(publication, retained=True))
        return publication

    def _retain(self, stream: Stream, publication: Publication) -> None:
        stream.retained = publication
        retained = self._retained
        retained[publication.channel] = stream
        self.retained_bytes += size_of(publication)
        while len(retained) > self._max_retained or self.retained_bytes > self._max_retained_bytes:
            self._clear_retained(next(iter(retained)))
            self.retained_evicted += 1

    def _clear_retained(self, channel: str) -> None:
        stream = self._retained.pop(channel, None)
        if stream is not None and stream.retained is not None:
            self.retained_bytes -= size_of(stream.retained)
            stream.retained = None

    def _remember(self, item: Append, outcome: Outcome, now: float) -> None:
        keys = self._keys
        name = (item.channel, item.key_owner, item.key or "")
        keys.pop(name, None)  # an expired one: the new one belongs at the end of the order
        self._drop_old_keys(now)
        while len(keys) >= self._max_keys:
            del keys[next(iter(keys))]
            self.keys_evicted += 1
        keys[name] = (Outcome(0, outcome.position, True), now + IDEMPOTENCY_S)

    def _drop_old_keys(self, now: float) -> None:
        keys = self._keys
        while keys:
            name = next(iter(keys))
            if keys[name][1] > now:
                return
            del keys[name]

    # --- Feeding -----------------------------------------------------------------------------------------------------

    def _fed_by_pattern(self, stream: Stream, channel: str) -> bool:
        if stream.patterns != self._patterns_version:
            stream.patterns = self._patterns_version
            stream.by_pattern = any(pattern_matches(pattern, channel) for pattern in self._patterns)
        return stream.by_pattern

    def _answer_and_feed(self, done: _Done, outcomes: list[Outcome], fed: list[Publication]) -> None:
        # A callback that raises is a bug of its owner: what others wait for must arrive all the same.
        waiting = self._waiting
        failure: BaseException | None = None
        self._feeding = True
        while True:
            try:
                done(outcomes)
            except BaseException as error:
                failure = failure or error
            try:
                if fed and self._sink is not None:
                    self._sink.published(fed)
            except BaseException as error:
                failure = failure or error
            if not waiting:
                break
            done, outcomes, fed = waiting.popleft()
        self._feeding = False
        if failure is not None:
            raise failure

    # --- Reading -----------------------------------------------------------------------------------------------------

    def _lost_log(self, pattern: str) -> int:
        """Return the newest log position that may have been a matching channel's that is no longer known."""
        return self._forgotten_log

    def _parse_log(self, since: str | None) -> int | None:
        epoch, _, digits = (since or "").partition(":")
        if epoch != self._log_epoch or len(digits) > _MAX_DIGITS or not (digits.isascii() and digits.isdigit()):
            return None
        sequence = int(digits)
        return sequence if sequence <= self.sequence else None

    # --- Forgetting --------------------------------------------------------------------------------------------------

    def _sweep(self) -> None:
        now = self._clock.now()
        if not self._unswept:
            self._drop_old_keys(now)
            self._ledger.tidy(self._streams.values(), len(self._streams))
            self._unswept = list(self._streams)
        part = self._unswept[-SWEEP_SLICE:]
        del self._unswept[-SWEEP_SLICE:]
        for channel in part:
            stream = self._streams.get(channel)
            if stream is not None:
                stream.expire(now)
                if self._is_forgettable(channel, stream, now):
                    self._forget(channel)
        # Yield to messages between two slices, but do not wait: the sweep must end before the next is due.
        self._timer = self._clock.call_later(0.001 if self._unswept else SWEEP_S, self._sweep)

    def _is_forgettable(self, channel: str, stream: Stream, now: float) -> bool:
        if stream.history or stream.retained or self._is_in_use(channel):
            return False
        return now - stream.touched >= max(self._meta_age_s, stream.age_s + IDEMPOTENCY_S)


def passed(stream: Stream, item: Append) -> Publication:
    """Return a transient publication of a channel."""
    return Publication(
        item.channel,
        item.payload,
        item.kind,
        0,
        stream.epoch,
        item.time_ms,
        item.sender,
        item.key,
        item.headers,
        transient=True,
    )


def _log_of(publication: Publication) -> int:
    return publication.log


def _is_unbroken(stream: Stream, request: Read) -> bool:
    since = request.since
    if since is None or request.reverse or since.epoch != stream.epoch:
        return False
    return stream.trimmed_offset <= since.offset <= stream.offset


def _select(stream: Stream, request: Read) -> tuple[list[Publication], bool]:
    since, limit = request.since, max(request.limit, 0)
    if since is None:
        newest = stream.newest(limit)
        return newest if request.reverse else newest[::-1], False
    if since.epoch != stream.epoch or since.offset > stream.offset:
        return [], False
    if request.reverse:
        # One more than asked for tells whether that was all.
        before = stream.newest(limit + 1, since.offset)
        whole = stream.trimmed_offset == 0 or since.offset <= 1
        return before[:limit], whole and len(before) <= limit
    found = stream.after(since.offset)
    return found[:limit], since.offset >= stream.trimmed_offset and len(found) <= limit
