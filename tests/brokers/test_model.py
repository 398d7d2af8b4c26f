"""Brokers against a naive model: lists that forget nothing, compared by the positions that were told."""

import random
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from chappe.brokers.memory import DEFAULT_META_AGE_S, MemoryBroker
from chappe.hub.contracts import IDEMPOTENCY_S, Append, Broker, Outcome, Read, ReadLog, ReadLogResult, ReadResult
from chappe.hub.namespaces import Level, Namespace
from chappe.model.channels import pattern_matches
from chappe.model.error_codes import Code
from chappe.model.position import Position
from chappe.model.publication import Kind, Publication
from chappe.testing.fake_clock import FakeClock
from chappe.testing.faulty_broker import EVERYTHING, FaultyBroker

COUNT = 5
AGE_S = 60.0
SLACK_S = 2.0  # a late broker stores later than it was asked
SETTLE_S = 0.5  # longer than all delays of one publication together
NAMESPACES = {
    "kept": Namespace(name="kept", level=Level.RECOVERABLE, history_count=COUNT, history_age_s=AGE_S),
    "many": Namespace(name="many", level=Level.RECOVERABLE, history_count=1_000, history_age_s=AGE_S),
    "live": Namespace(name="live", level=Level.LIVE),
}
CHANNELS = ("kept/a", "kept/b", "many/a", "live/a")
PATTERNS = ("#", "kept/+", "+/a", "many/#", "kept/a")


@dataclass
class Entry:
    """One publication the model knows to be stored."""

    position: Position
    payload: bytes
    stored_at: float
    step: int


@dataclass
class Stream:
    """All of one channel's present epoch."""

    epoch: str | None = None
    entries: list[Entry] = field(default_factory=list)
    retained: bytes | None = None
    keys: dict[tuple[str, str], tuple[Position, float]] = field(default_factory=dict)
    touched: float = 0.0
    gone: bool = False  # it may have been forgotten before somebody attached again

    @property
    def position(self) -> Position:
        return self.entries[-1].position if self.entries else Position(self.epoch or "", 0)


@dataclass
class Sink:
    fed: list[Publication] = field(default_factory=list)
    interrupted_channels: set[str] = field(default_factory=set)

    def published(self, batch: Sequence[Publication]) -> None:
        self.fed.extend(batch)

    def interrupted(self, channels: Sequence[str] | None) -> None:
        self.interrupted_channels.update(CHANNELS if channels is None else channels)


items = st.fixed_dictionaries(
    {
        "channel": st.sampled_from(CHANNELS),
        "key": st.sampled_from((None, None, "k", "l")),
        "key_owner": st.sampled_from(("", "ada")),
        "expect": st.sampled_from((None, None, None, "last", "open", "old", "elsewhere", "ahead")),
        "retain": st.sampled_from((False, False, True)),
        "empty": st.sampled_from((False, False, True)),
        "transient": st.sampled_from((False, False, False, True)),
    }
)


class BrokerMachine(RuleBasedStateMachine):
    """Does anything to a broker; after each step every answer is in and is compared."""

    faults = False

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.sink = Sink()
        self.streams = {channel: Stream() for channel in CHANNELS}
        self.attached: set[str] = set()
        self.told: dict[str, list[Position]] = {channel: [] for channel in CHANNELS}
        self.logs: list[tuple[str, int]] = []
        self.log_broken_at = -1
        self.step = 0
        self.number = 0

    def make(self, seed: int) -> Broker:
        self.memory = MemoryBroker(self.clock, random.Random(seed).randbytes)
        return self.memory

    def finish(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine that never waits."""
        try:
            work.send(None)
        except StopIteration:
            return
        raise AssertionError("it waits")

    @initialize(seed=st.integers(0, 1 << 16))
    def begin(self, seed: int) -> None:
        self.broker = self.make(seed)
        self.finish(self.broker.start(self.sink))

    def teardown(self) -> None:
        self.finish(self.broker.stop())

    # --- Steps -------------------------------------------------------------------------------------------------------

    @rule(batches=st.lists(st.lists(items, min_size=1, max_size=3), min_size=1, max_size=6))
    def append(self, batches: list[list[dict[str, Any]]]) -> None:
        self.step += 1
        self.sink.fed.clear()
        self.sink.interrupted_channels.clear()
        answers: list[tuple[Append, Outcome]] = []
        asked = [[self.item(**wish) for wish in batch] for batch in batches]
        for batch in asked:
            self.broker.append(
                batch,
                lambda outcomes, batch=batch: answers.extend(zip(batch, outcomes, strict=True)),  # type: ignore[misc]
            )
        self.settle()
        assert sorted(each.time_ms for each, _ in answers) == [each.time_ms for batch in asked for each in batch]
        for channel in CHANNELS:
            mine = [each for each in answers if each[0].channel == channel]
            assert [item.time_ms for item, _ in mine] == sorted(item.time_ms for item, _ in mine)
            stored = [entry for item, outcome in mine for entry in self.account(item, outcome)]
            self.compare_feed(channel, stored)
        self.look()

    @rule(
        channel=st.sampled_from(CHANNELS),
        pick=st.integers(0, 1 << 16),
        what=st.sampled_from(("none", "told", "told", "told", "ahead", "elsewhere")),
        limit=st.sampled_from((0, 1, 3, 1_000)),
        reverse=st.booleans(),
    )
    def read(self, channel: str, pick: int, what: str, limit: int, reverse: bool) -> None:
        told = self.told[channel]
        since = {
            "none": None,
            "told": told[pick % len(told)] if told else None,
            "ahead": Position(self.streams[channel].position.epoch, self.streams[channel].position.offset + 1),
            "elsewhere": Position("elsewhere", pick % 4),
        }[what]
        answers: list[ReadResult] = []
        self.broker.read(Read(channel, NAMESPACES[channel[:4]], since, limit, reverse), answers.append)
        self.settle()
        (result,) = answers
        assert result.error == 0
        self.recognize(channel, result.position)
        stream = self.streams[channel]
        assert result.position == stream.position
        assert (result.retained and result.retained.payload) == stream.retained
        stream.touched = self.clock.now()
        self.compare_read(stream, result, since, limit, reverse)
        told.append(result.position)

    @rule(pattern=st.sampled_from(PATTERNS), pick=st.integers(0, 1 << 16), limit=st.sampled_from((0, 2, 10_000)))
    def read_log(self, pattern: str, pick: int, limit: int) -> None:
        since, step = self.logs[pick % len(self.logs)] if self.logs else (None, 0)
        answers: list[ReadLogResult] = []
        self.broker.read_log(ReadLog(pattern, since, limit), answers.append)
        self.settle()
        (result,) = answers
        assert result.error == 0
        numbers = [publication.log for publication in result.publications]
        assert numbers == sorted(set(numbers))
        assert not numbers or numbers[-1] <= result.sequence
        matching = [channel for channel in CHANNELS if pattern_matches(pattern, channel)]
        missing = 0
        for channel in matching:
            here = [each for each in result.publications if each.channel == channel]
            after = [entry for entry in self.streams[channel].entries if entry.step > step]
            assert not here or since is not None
            positions = {entry.position for entry in after}
            assert all(each.position in positions for each in here)
            missing += len(after) - len(here)
        assert {each.channel for each in result.publications} <= set(matching)
        if result.complete:
            assert since is not None
            assert not missing
            assert step > self.log_broken_at
        elif since is not None and not self.faults and not self.has_forgotten():
            # (A forgotten channel makes older log positions incomplete for every pattern.)
            assert missing or limit < len(numbers)
        self.logs.append((result.position, self.step))

    @rule(name=st.sampled_from((*CHANNELS, *PATTERNS)))
    def attach(self, name: str) -> None:
        if name in self.streams and name not in self.attached:
            self.streams[name].gone |= self.is_old(self.streams[name])
        self.attached.add(name)
        self.broker.attach(name)

    @rule(name=st.sampled_from((*CHANNELS, *PATTERNS)))
    def detach(self, name: str) -> None:
        self.attached.discard(name)
        self.broker.detach(name)

    @rule(seconds=st.sampled_from((1.0, 20.0, 55.0, 290.0, 700.0)))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @invariant()
    def nothing_grows(self) -> None:
        assert self.clock.pending <= 3

    # --- The model ---------------------------------------------------------------------------------------------------

    def has_forgotten(self) -> bool:
        return bool(self.memory.streams_forgotten)

    def settle(self) -> None:
        self.clock.advance(SETTLE_S if self.faults else 0.0)

    def look(self) -> None:
        """Notice what a step did beyond its answers; without faults there is nothing."""

    def item(self, channel: str, expect: str | None, empty: bool, **options: Any) -> Append:
        self.number += 1
        stream = self.streams[channel]
        last = stream.position
        told = self.told[channel]
        expected = {
            None: None,
            "last": last,
            "open": Position("", last.offset),
            "old": told[0] if told else Position("", 0),
            "elsewhere": Position("elsewhere", last.offset),
            "ahead": Position("", last.offset + 1),
        }[expect]
        payload = b"" if empty else b"%d" % self.number
        # The time tells the items apart: the model needs no other name for them.
        return Append(channel, payload, Kind.JSON, self.number, NAMESPACES[channel[:4]], expect=expected, **options)

    def recognize(self, channel: str, position: Position) -> None:
        """Begin anew if the channel did, and check that it was allowed to."""
        stream = self.streams[channel]
        if stream.epoch == position.epoch:
            return
        if stream.epoch is not None:
            forgotten = stream.gone or (channel not in self.attached and self.is_old(stream))
            assert forgotten or channel in self.sink.interrupted_channels, f"{channel} changed its epoch in silence"
            if forgotten and stream.entries:
                self.log_broken_at = max(self.log_broken_at, stream.entries[-1].step - 1)
        self.streams[channel] = Stream(position.epoch, touched=self.clock.now())

    def is_old(self, stream: Stream) -> bool:
        return self.clock.now() - stream.touched >= DEFAULT_META_AGE_S - SLACK_S and stream.retained is None

    def account(self, item: Append, outcome: Outcome) -> list[Entry]:
        """Judge one outcome; return what it stored, transient publications included."""
        if outcome.error == Code.NOT_AVAILABLE:
            assert self.faults
            return []
        self.recognize(item.channel, outcome.position)
        stream = self.streams[item.channel]
        stream.touched = now = self.clock.now()
        name = (item.key_owner, item.key or "")
        known = stream.keys.get(name) if item.key is not None else None
        age_s = now - known[1] if known else 0.0
        if outcome.duplicate:
            assert known is not None
            assert outcome.position == known[0]
            assert age_s <= IDEMPOTENCY_S + SLACK_S
            return []
        assert known is None or age_s >= IDEMPOTENCY_S - SLACK_S
        expected = item.expect
        holds = expected is None or (
            expected.offset == stream.position.offset and expected.epoch in ("", stream.position.epoch)
        )
        if outcome.error:
            assert outcome.error == Code.CONFLICT
            assert not holds
            assert outcome.position == stream.position
            return []
        assert holds
        self.told[item.channel].append(outcome.position)
        entry = Entry(outcome.position, item.payload, now, self.step)
        if item.key is not None:
            stream.keys[name] = (outcome.position, now)
        if item.transient:
            assert outcome.position.offset == 0
            self.told[item.channel].pop()
            return [entry]
        assert outcome.position.offset > stream.position.offset
        stream.entries.append(entry)
        if item.retain:
            stream.retained = item.payload or None
        return [entry]

    def compare_feed(self, channel: str, stored: Sequence[Entry]) -> None:
        if not any(pattern_matches(name, channel) for name in self.attached):
            return
        wanted = [(entry.position, entry.payload) for entry in stored]
        fed = [(each.position, each.payload) for each in self.sink.fed if each.channel == channel]
        if fed != wanted:
            assert channel in self.sink.interrupted_channels
            rest = iter(wanted)
            assert all(each in rest for each in fed), "the feed doubled, reordered or invented"

    def compare_read(
        self, stream: Stream, result: ReadResult, since: Position | None, limit: int, reverse: bool
    ) -> None:
        entries = stream.entries
        valid = since is not None and since.epoch == stream.epoch and since.offset <= stream.position.offset
        if since is not None and not valid:
            assert not result.publications
            assert not result.complete
            return
        if since is not None:
            entries = [
                entry
                for entry in entries
                if (entry.position.offset < since.offset if reverse else entry.position.offset > since.offset)
            ]
        certain, possible = self.kept(stream, entries)
        got = [(each.position, each.payload) for each in result.publications]
        newest_first = [(entry.position, entry.payload) for entry in reversed(possible)]
        if since is None or reverse:
            wanted = newest_first[:limit]
            got = got if reverse else got[::-1]
            assert got == wanted[: len(got)]
            assert len(got) >= min(len(certain), limit)
        else:
            # What is missing at the beginning was too old; the limit cuts the end.
            oldest_first = newest_first[::-1]
            starts = range(len(possible) - len(certain) + 1)
            assert any(got == oldest_first[start:][:limit] for start in starts)
        whole = since is not None and len(got) == len(entries)
        assert whole or not result.complete
        # After a new epoch a faulty broker may call a backward read cut that is not.
        assert result.complete or not whole or (self.faults and reverse)

    def kept(self, stream: Stream, entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
        """Return what history must have of some entries, and what it may have."""
        if stream is self.streams["live/a"]:
            return [], []
        newest = {id(entry) for entry in stream.entries[-(1_000 if stream is self.streams["many/a"] else COUNT) :]}
        now = self.clock.now()
        possible = [entry for entry in entries if id(entry) in newest and now - entry.stored_at <= AGE_S + SLACK_S]
        certain = [entry for entry in possible if now - entry.stored_at <= AGE_S - SLACK_S]
        return certain, possible


class FaultyMachine(BrokerMachine):
    """The same with every fault the contract allows."""

    faults = True

    def make(self, seed: int) -> Broker:
        self.faulty = FaultyBroker(super().make(seed), self.clock, seed, EVERYTHING)
        return self.faulty

    def look(self) -> None:
        # Each append may end epochs a moment later: they are noticed before the interruption is forgotten.
        for channel in CHANNELS:
            self.read(channel, 0, "none", 0, False)

    @rule(channels=st.none() | st.lists(st.sampled_from(CHANNELS), min_size=1, unique=True))
    def new_epoch(self, channels: list[str] | None) -> None:
        self.sink.interrupted_channels.clear()
        self.faulty.new_epoch(channels)
        self.look()


@pytest.mark.slow
class TestMemoryBroker(BrokerMachine.TestCase):  # type: ignore[misc, valid-type]
    settings = settings(stateful_step_count=30)


@pytest.mark.slow
class TestFaultyBroker(FaultyMachine.TestCase):  # type: ignore[misc, valid-type]
    settings = settings(stateful_step_count=30)
