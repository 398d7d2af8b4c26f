"""What was stored, as far as publishers and subscribers know, and what of that cannot be."""

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from chappe.hub.contracts import IDEMPOTENCY_S
from chappe.testing.checker.findings import Finding, Kind
from chappe.testing.checker.journal import Ack, Attempt, Event, Failed, History, Seen

Where: TypeAlias = tuple[str, int]
"""An epoch and an offset."""
_Identity: TypeAlias = tuple[str, ...]


class Acknowledged:
    """An attempt and its acknowledgement."""

    __slots__ = ("ack", "attempt", "identity")

    def __init__(self, attempt: Attempt, ack: Ack) -> None:
        self.attempt = attempt
        self.ack = ack
        self.identity = _identity(attempt)


class Stored:
    """One channel: its attempts and everything that was ever told of its positions.

    Attributes:
        acknowledged: attempts with their acknowledgements.
        payloads: for each known position the first hash told of it.
    """

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self.acknowledged: list[Acknowledged] = []
        self.payloads: dict[Where, str] = {}
        self._attempts: dict[tuple[str, int], Attempt] = {}
        self._by_hash: defaultdict[str, list[Attempt]] = defaultdict(list)
        self._failed: set[tuple[str, int]] = set()
        self._acks: list[Ack] = []
        self._offsets: dict[str, list[int]] = {}
        self._answers: dict[str, tuple[list[float], list[int]]] = {}
        self._told: list[tuple[str, Where, str]] = []

    def learn(self, event: Event) -> None:
        """Take an event of this channel; call `complete` after the last."""
        match event:
            case Attempt():
                self._attempts[event.publisher, event.attempt] = event
                self._by_hash[event.hash].append(event)
            case Ack():
                self._acks.append(event)
            case Failed() if event.code:
                self._failed.add((event.publisher, event.attempt))
            case Seen():
                self._told.append((event.subscriber, (event.epoch, event.offset), event.hash))
            case History():
                for offset, payload in event.publications:
                    self._told.append((event.reader, (event.epoch, offset), payload))
            case _:
                pass

    def complete(self) -> Iterator[Finding]:
        """Put what was learned together; gives what contradicts itself."""
        for ack in self._acks:
            attempt = self._attempts.get((ack.publisher, ack.attempt))
            if attempt is None:
                yield self._finding(Kind.INVENTED, f"{ack.publisher} has an answer to {ack.attempt}, never attempted")
                continue
            self.acknowledged.append(Acknowledged(attempt, ack))
        yield from self._learn_positions()
        offsets: defaultdict[str, list[int]] = defaultdict(list)
        for epoch, offset in self.payloads:
            offsets[epoch].append(offset)
        self._offsets = {epoch: sorted(found) for epoch, found in offsets.items()}
        for each in sorted(self.acknowledged, key=lambda each: each.ack.time):
            times, highest = self._answers.setdefault(each.ack.epoch, ([], []))
            times.append(each.ack.time)
            highest.append(max(each.ack.offset, highest[-1] if highest else 0))

    def attempted(self, payload: str) -> bool:
        """Tell whether somebody tried to publish this here."""
        return payload in self._by_hash

    def between(self, epoch: str, after: int, until: int) -> Sequence[int]:
        """Return the known offsets of an epoch above `after`, up to and with `until`."""
        offsets = self._offsets.get(epoch, [])
        return offsets[bisect_right(offsets, after) : bisect_right(offsets, until)]

    def last_acknowledged(self, epoch: str, time: float) -> int:
        """Return the highest offset of an epoch that had been acknowledged at a time, 0 if none had."""
        times, highest = self._answers.get(epoch, ([], []))
        count = bisect_right(times, time)
        return highest[count - 1] if count else 0

    def in_other_epochs(self, epoch: str, after: float, until: float) -> Iterator[Where]:
        """Give the positions outside an epoch that were asked for after a time and acknowledged until another."""
        if not self._answers.keys() - {epoch}:
            return
        for each in self.acknowledged:
            if each.ack.epoch != epoch and each.attempt.time > after and each.ack.time <= until:
                yield each.ack.epoch, each.ack.offset

    def findings(self) -> Iterator[Finding]:
        """Find what cannot be among the positions; call after `complete`."""
        yield from self._repeated_payloads()
        yield from self._repeated_keys()
        yield from self._conditions()
        yield from self._positions_that_went_back()

    def _finding(self, kind: Kind, text: str) -> Finding:
        return Finding(kind, self.channel, text)

    def _learn_positions(self) -> Iterator[Finding]:
        owners: dict[Where, _Identity] = {}
        for each in self.acknowledged:
            where = (each.ack.epoch, each.ack.offset)
            if owners.setdefault(where, each.identity) != each.identity:
                yield self._finding(Kind.POSITION_REUSED, f"{owners[where]} and {each.identity} both got {where}")
            self.payloads.setdefault(where, each.attempt.hash)
        for who, where, payload in self._told:
            known = self.payloads.setdefault(where, payload)
            if known != payload:
                yield self._finding(Kind.ALTERED, f"{who} saw {payload} at {where}, expected {known}")

    def _repeated_payloads(self) -> Iterator[Finding]:
        positions: defaultdict[str, set[Where]] = defaultdict(set)
        for where, payload in self.payloads.items():
            positions[payload].add(where)
        for payload, places in positions.items():
            attempts = self._by_hash.get(payload, [])
            if not attempts:
                continue
            if all((attempt.publisher, attempt.attempt) in self._failed for attempt in attempts):
                yield self._finding(Kind.STORED_AFTER_FAILURE, f"{payload} is at {sorted(places)}")
                continue
            unkeyed = sum(attempt.key is None for attempt in attempts)
            keyed = _key_lives(attempts)
            for epoch in {epoch for epoch, _ in places}:
                count = sum(place[0] == epoch for place in places)
                if count > unkeyed + keyed:
                    kind = Kind.STORED_TWICE if unkeyed else Kind.KEY_STORED_TWICE
                    yield self._finding(kind, f"{payload} is at {sorted(places)}")
            # A new epoch has forgotten the keys, but nothing else may be stored in two epochs.
            if not keyed and len(places) > unkeyed and len({epoch for epoch, _ in places}) > 1:
                yield self._finding(Kind.STORED_TWICE, f"{payload} is at {sorted(places)}")

    def _repeated_keys(self) -> Iterator[Finding]:
        by_key: defaultdict[tuple[_Identity, str], list[Acknowledged]] = defaultdict(list)
        for each in self.acknowledged:
            by_key[each.identity, each.ack.epoch].append(each)
        for (identity, epoch), answers in by_key.items():
            offsets = {each.ack.offset for each in answers}
            if len(offsets) > max(_key_lives([each.attempt for each in answers]), 1):
                yield self._finding(
                    Kind.KEY_STORED_TWICE, f"{identity} was acknowledged at {sorted(offsets)} of epoch {epoch!r}"
                )

    def _conditions(self) -> Iterator[Finding]:
        winners: dict[tuple[str, int], _Identity] = {}
        for each in self.acknowledged:
            expect, ack = each.attempt.expect, each.ack
            if expect is None:
                continue
            epoch = expect.epoch or ack.epoch
            winner = winners.setdefault((epoch, expect.offset), each.identity)
            if winner != each.identity:
                text = f"{winner} and {each.identity} both succeeded at {expect.offset} of epoch {epoch!r}"
                yield self._finding(Kind.CONDITION_IGNORED, text)
            elif ack.epoch != epoch or ack.offset <= expect.offset:
                expected = f"{expect.offset} of epoch {epoch!r}"
                text = f"{each.identity} expected {expected} and got {ack.offset} of {ack.epoch!r}"
                yield self._finding(Kind.CONDITION_IGNORED, text)
            elif passed := self.between(epoch, expect.offset, ack.offset - 1):
                text = f"{each.identity} expected {expect.offset} and got {ack.offset} although {passed[0]} was there"
                yield self._finding(Kind.CONDITION_IGNORED, text)

    def _positions_that_went_back(self) -> Iterator[Finding]:
        # Who asks after another was answered comes after it. Repetitions are answered with an old position, and
        # without times nothing can be said.
        first = {each.identity: each for each in reversed(self.acknowledged)}
        single = [each for each in first.values() if each.attempt.time and each.attempt.key is None]
        answered = sorted(single, key=lambda each: each.ack.time)
        highest: dict[str, int] = {}
        told = 0
        for each in sorted(single, key=lambda each: each.attempt.time):
            while told < len(answered) and answered[told].ack.time < each.attempt.time:
                ack = answered[told].ack
                highest[ack.epoch] = max(highest.get(ack.epoch, 0), ack.offset)
                told += 1
            if each.ack.offset <= highest.get(each.ack.epoch, -1):
                text = f"{each.identity} got {each.ack.offset} after {highest[each.ack.epoch]} had been acknowledged"
                yield self._finding(Kind.REORDERED, text)


def _identity(attempt: Attempt) -> _Identity:
    return ("key", attempt.key) if attempt.key is not None else (attempt.publisher, str(attempt.attempt))


def _key_lives(attempts: Iterable[Attempt]) -> int:
    """Count how often the keys of some attempts may have been stored: once in each five minutes."""
    times: defaultdict[str, list[float]] = defaultdict(list)
    for attempt in attempts:
        if attempt.key is not None:
            insort(times[attempt.key], attempt.time)
    lives = 0
    for moments in times.values():
        begin = float("-inf")
        for moment in moments:
            if moment - begin > IDEMPOTENCY_S:
                lives, begin = lives + 1, moment
    return lives
