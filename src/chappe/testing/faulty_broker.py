"""A broker with the faults that the contract allows, at moments drawn from a seed."""

import heapq
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Final, TypeVar

import msgspec
from msgspec.structs import replace

from chappe.hub.contracts import (
    Append,
    Broker,
    BrokerSink,
    Clock,
    Outcome,
    Read,
    ReadLog,
    ReadLogResult,
    ReadResult,
    Timer,
)
from chappe.model.error_codes import Code
from chappe.model.position import Position
from chappe.model.publication import Publication
from chappe.testing.faulty_positions import FaultyPositions

_R = TypeVar("_R")
_Done = Callable[[Sequence[Outcome]], None]
_FAILED: Final = Outcome(Code.NOT_AVAILABLE, Position("", 0))


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """Which faults, and how often: probabilities from 0 to 1.

    Attributes:
        late: that storing, answering or feeding a batch is delayed; order per channel and of the feed is kept.
        late_read: that a read is asked later, or its answer (by then an old one) comes later.
        late_s: the longest delay, seconds.
        gaps: offsets grow by more than one.
        fail: that a batch fails, with all that waits behind it in its channels: 108, nothing stored.
        interrupt: that the feed goes dead for a while when a batch comes, and tells so afterwards.
        epoch: that the channels of a batch lose everything a moment later and begin a new epoch.
    """

    late: float = 0.0
    late_read: float = 0.0
    late_s: float = 0.05
    gaps: bool = False
    fail: float = 0.0
    interrupt: float = 0.0
    epoch: float = 0.0


#: Faults that a client must not notice at all.
HARMLESS: Final = Faults(late=0.5, late_read=0.5, gaps=True)
#: Everything the contract allows; clients get errors and gaps that are told, nothing else.
EVERYTHING: Final = Faults(late=0.5, late_read=0.5, gaps=True, fail=0.1, interrupt=0.1, epoch=0.05)


class _Batch:
    """An `append` on its way to the inner broker."""

    __slots__ = ("channels", "done", "items", "number")

    def __init__(self, items: Sequence[Append], done: _Done, number: int) -> None:
        self.items = items
        self.done = done
        self.number = number
        self.channels = {item.channel for item in items}


class FaultyBroker:
    """Stands before another broker and adds faults; what it adds is allowed by the `Broker` contract.

    Two with the same seed, inner broker and calls behave the same. `new_epoch`, `interrupt` and `fail_pending` cause a
    fault at a moment of the test's choosing. New epochs need an inner broker that answers inside the call.

    Attributes:
        failed: appends answered 108.
        interruptions: how often the feed went dead.
        epochs: how often channels began anew.
    """

    name = "faulty"

    def __init__(self, inner: Broker, clock: Clock, seed: int = 0, faults: Faults = HARMLESS) -> None:
        self.durable = inner.durable
        self.shared = inner.shared
        self.faults = faults
        self.failed = 0
        self.interruptions = 0
        self.epochs = 0
        self._inner = inner
        self._clock = clock
        self._random = Random(seed)  # noqa: S311 - repeatable on purpose
        self._positions = FaultyPositions(seed, faults.gaps)
        self._sink: BrokerSink | None = None
        self._open = False
        # (due, number, whether it tells the hub something, what to do): same moment, same order.
        self._agenda: list[tuple[float, int, bool, Callable[[], None]]] = []
        self._agenda_number = 0
        self._running = False
        self._timer: Timer | None = None
        self._batch_number = 0
        self._unstored = 0
        self._fail_before: dict[str, int] = {}
        self._store_due: dict[str, float] = {}
        self._answer_due: dict[str, float] = {}
        self._feed_due = 0.0
        self._unfed: set[str] | None = None

    async def start(self, sink: BrokerSink) -> None:
        """Start the inner broker."""
        self._sink = sink
        self._open = True
        await self._inner.start(_InnerSink(self))

    async def stop(self) -> None:
        """Do at once what is due later, then stop the inner broker; every `done` was called when this returns."""
        self._open = False
        self._finish()
        await self._inner.stop()
        self._finish()
        self._sink = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def append(self, batch: Sequence[Append], done: _Done) -> None:
        """Store now or later; the answer and the feed come now or later again."""
        if not self._open:
            done([_FAILED] * len(batch))
            return
        self._batch_number += 1
        self._unstored += 1
        waiting = _Batch(batch, done, self._batch_number)
        due = self._due(self._store_due, waiting.channels)
        self._plan(due, False, lambda: self._store(waiting))
        self._run()

    def read(self, request: Read, done: Callable[[ReadResult], None]) -> None:
        """Read now or later; an answer read now may be told later."""
        self._ask(
            lambda told: self._inner.read(self._understand(request), lambda r: told(self._tell(request, r))), done
        )

    def read_log(self, request: ReadLog, done: Callable[[ReadLogResult], None]) -> None:
        """Read the log now or later; an answer read now may be told later."""

        def ask(told: Callable[[ReadLogResult], None]) -> None:
            since = self._positions.understand_log(request.since)
            self._inner.read_log(replace(request, since=since), lambda result: told(self._tell_log(result)))

        self._ask(ask, done)

    def attach(self, channel: str) -> None:
        """Attach at once."""
        self._inner.attach(channel)

    def detach(self, channel: str) -> None:
        """Detach at once; what is on its way still comes."""
        self._inner.detach(channel)

    # --- Faults on demand --------------------------------------------------------------------------------------------

    def fail_pending(self, channels: Iterable[str]) -> None:
        """Let everything fail that waits to be stored in these channels."""
        for channel in channels:
            self._fail_before[channel] = self._batch_number + 1
        if not self._unstored:
            self._fail_before.clear()

    def interrupt(self, duration_s: float = 0.0) -> None:
        """Let the feed go dead; `interrupted` tells so after `duration_s`, before anything is fed again."""
        if self._unfed is None:
            self._unfed = set()
            self.interruptions += 1
            self._plan(self._clock.now() + duration_s, True, self._tell_interruption)
            self._arm()

    def new_epoch(self, channels: Sequence[str] | None = None) -> None:
        """Lose all that these channels (None: all) have, begin new epochs, and tell so by `interrupted`.

        What was stored but not told is told first: it is true of the old epoch.
        """
        if self._sink is None:
            return
        self.epochs += 1
        self._tell_everything()
        for channel in self._positions.channels() if channels is None else channels:
            self._positions.renew(channel)
        self._positions.renew_log()
        self._sink.interrupted(channels)

    # --- Storing -----------------------------------------------------------------------------------------------------

    def _store(self, batch: _Batch) -> None:
        self._unstored -= 1
        if self._draws(self.faults.fail):
            for channel in batch.channels:
                self._fail_before[channel] = self._batch_number + 1
        failing = [self._fail_before.get(item.channel, 0) > batch.number for item in batch.items]
        if not self._unstored:
            self._fail_before.clear()
        stored = [self._inwards(item) for item, fails in zip(batch.items, failing, strict=True) if not fails]
        if stored:
            self._inner.append(stored, lambda outcomes: self._answer(batch, failing, outcomes))
        else:
            self._answer(batch, failing, ())
        if self._draws(self.faults.epoch):
            self._plan(self._later(), False, lambda: self.new_epoch(sorted(batch.channels)))

    def _inwards(self, item: Append) -> Append:
        expect = item.expect
        if expect is not None and not expect.epoch:
            # Which epoch "whatever it is now" means: the inner broker may have forgotten the channel meanwhile.
            self._inner.read(
                Read(item.channel, item.namespace), lambda result: self._positions.saw(item.channel, result.position)
            )
        return replace(
            item,
            key_owner=self._positions.owner(item.channel, item.key_owner),
            expect=expect and self._positions.understand_exactly(item.channel, expect),
        )

    def _answer(self, batch: _Batch, failing: Sequence[bool], outcomes: Sequence[Outcome]) -> None:
        stored = iter(outcomes)
        told = [
            _FAILED if fails else self._outwards(item, next(stored))
            for item, fails in zip(batch.items, failing, strict=True)
        ]
        self.failed += sum(outcome.error == Code.NOT_AVAILABLE for outcome in told)
        self._plan(self._due(self._answer_due, batch.channels), True, lambda: batch.done(told))
        self._run()

    def _outwards(self, item: Append, outcome: Outcome) -> Outcome:
        if outcome.error not in (0, Code.CONFLICT):
            return outcome
        if not outcome.error and not outcome.position.offset:  # transient, or a repetition of one
            return replace(outcome, position=self._positions.tell_start(item.channel, outcome.position.epoch))
        self._positions.saw(item.channel, outcome.position)
        return replace(outcome, position=self._positions.tell(item.channel, outcome.position))

    # --- Feeding -----------------------------------------------------------------------------------------------------

    def _inner_published(self, batch: Sequence[Publication]) -> None:
        told = [each for each in map(self._positions.tell_publication, batch) if each is not None]
        # Not before the outcomes, and all of the feed in one order, which is that of the log.
        after = max((self._answer_due.get(publication.channel, 0.0) for publication in batch), default=0.0)
        self._feed_due = max(self._feed_due, after, self._later() if self._draws(self.faults.late) else 0.0)
        self._plan(max(self._feed_due, self._clock.now()), True, lambda: self._feed(told))
        self._run()

    def _inner_interrupted(self, channels: Sequence[str] | None) -> None:
        self._tell_everything()
        if self._sink is not None:
            self._sink.interrupted(channels)

    def _feed(self, batch: Sequence[Publication]) -> None:
        if self._draws(self.faults.interrupt):
            self.interrupt(self._random.uniform(0.0, self.faults.late_s))
        if self._unfed is not None:
            self._unfed.update(publication.channel for publication in batch)
        elif batch and self._sink is not None:
            self._sink.published(batch)

    def _tell_interruption(self) -> None:
        unfed, self._unfed = self._unfed, None
        if self._sink is not None and unfed is not None:
            self._sink.interrupted(sorted(unfed) if self._draws(0.5) else None)

    # --- Reading -----------------------------------------------------------------------------------------------------

    def _ask(self, ask: Callable[[Callable[[_R], None]], None], done: Callable[[_R], None]) -> None:
        if not self._open or not self._draws(self.faults.late_read):
            ask(done)
        elif self._draws(0.5):
            self._plan(self._later(), False, lambda: ask(done))
        else:
            due = self._later()
            ask(lambda result: self._plan(due, True, lambda: done(result)))
        self._arm()

    def _understand(self, request: Read) -> Read:
        since = request.since
        if since is None:
            return request
        return replace(request, since=self._positions.understand(request.channel, since, upwards=request.reverse))

    def _tell(self, request: Read, result: ReadResult) -> ReadResult:
        if result.error:
            return result
        self._positions.saw(request.channel, result.position)
        position = self._positions.tell(request.channel, result.position)
        ahead = request.since is not None and request.since.offset > position.offset
        told = [self._positions.tell_publication(each) for each in result.publications]
        return ReadResult(
            0,
            position,
            [] if ahead else [each for each in told if each is not None],
            not ahead and (result.complete or (request.reverse and request.since is not None and None in told)),
            result.retained and self._positions.tell_publication(result.retained),
            not ahead and result.unbroken,
        )

    def _tell_log(self, result: ReadLogResult) -> ReadLogResult:
        tell = self._positions.tell_publication
        return replace(
            result,
            position=self._positions.tell_log(result.position),
            publications=[each for each in map(tell, result.publications) if each is not None],
            retained=[each for each in map(tell, result.retained) if each is not None],
        )

    # --- The agenda --------------------------------------------------------------------------------------------------

    def _draws(self, probability: float) -> bool:
        return probability > 0 and self._random.random() < probability

    def _later(self) -> float:
        return self._clock.now() + self._random.uniform(0.0, self.faults.late_s)

    def _due(self, table: dict[str, float], channels: Iterable[str]) -> float:
        due = self._later() if self._draws(self.faults.late) else self._clock.now()
        for channel in channels:
            due = max(due, table.get(channel, 0.0))
        for channel in channels:
            table[channel] = due
        return due

    def _plan(self, due: float, tells: bool, action: Callable[[], None]) -> None:
        self._agenda_number += 1
        heapq.heappush(self._agenda, (due, self._agenda_number, tells, action))

    def _run(self) -> None:
        if self._running:
            return
        self._running = True
        try:
            while self._agenda and self._agenda[0][0] <= self._clock.now():
                heapq.heappop(self._agenda)[3]()
        finally:
            self._running = False
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._agenda:
            self._timer = self._clock.call_later(max(self._agenda[0][0] - self._clock.now(), 0.0), self._run)
        else:
            self._store_due.clear()
            self._answer_due.clear()

    def _tell_everything(self) -> None:
        """Tell the hub at once, in order, what is only waiting to be told."""
        running, self._running = self._running, True
        try:
            while telling := sorted(entry[:2] for entry in self._agenda if entry[2]):
                actions = {entry[1]: entry[3] for entry in self._agenda if entry[2]}
                self._agenda = [entry for entry in self._agenda if not entry[2]]
                heapq.heapify(self._agenda)
                for _, number in telling:
                    actions[number]()
        finally:
            self._running = running
            if not running:
                # What was told made the hub ask for more.
                self._arm()

    def _finish(self) -> None:
        # Nothing new is taken any more, so this ends.
        self._running = True
        try:
            while self._agenda:
                heapq.heappop(self._agenda)[3]()
        finally:
            self._running = False


class _InnerSink:
    """Where the inner broker's feed goes."""

    def __init__(self, faulty: FaultyBroker) -> None:
        self._faulty = faulty

    def published(self, batch: Sequence[Publication]) -> None:
        """Take a part of the inner feed."""
        self._faulty._inner_published(batch)

    def interrupted(self, channels: Sequence[str] | None) -> None:
        """Take an interruption of the inner feed."""
        self._faulty._inner_interrupted(channels)
