"""A good log, and ways to spoil it: what the checker must find before anybody believes it."""

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from msgspec.structs import replace

from chappe.testing.checker.findings import Kind
from chappe.testing.checker.journal import (
    Ack,
    Attempt,
    Closed,
    Event,
    Failed,
    History,
    Place,
    Seen,
    Settled,
    Subscribed,
)

Log: TypeAlias = list[Event]


class _Story:
    """Writes a log in which everything went well."""

    def __init__(self) -> None:
        self.log: Log = []
        self._time = 0.0
        self._number = 0
        self._present: dict[str, list[str]] = {"a": [], "b": []}

    def tick(self) -> float:
        self._time += 1.0
        return self._time

    def subscribe(self, who: str, channel: str, epoch: str, offset: int, since: Place | None = None) -> None:
        self._present[channel].append(who)
        recovered = since is not None and since.epoch == epoch
        self.log.append(
            Subscribed(
                subscriber=who,
                channel=channel,
                epoch=epoch,
                offset=offset,
                since=since,
                recovered=recovered,
                time=self.tick(),
            )
        )

    def close(self, who: str, channel: str) -> None:
        self._present[channel].remove(who)
        self.log.append(Closed(subscriber=who, channel=channel, time=self.tick()))

    def attempt(self, channel: str, key: str | None = None, expect: Place | None = None) -> Attempt:
        self._number += 1
        attempt = Attempt(
            publisher=f"p{self._number % 2}",
            attempt=self._number,
            channel=channel,
            hash=f"h{self._number}",
            key=key,
            expect=expect,
            time=self.tick(),
        )
        self.log.append(attempt)
        return attempt

    def ack(self, attempt: Attempt, epoch: str, offset: int) -> None:
        self.log.append(
            Ack(
                publisher=attempt.publisher,
                attempt=attempt.attempt,
                channel=attempt.channel,
                epoch=epoch,
                offset=offset,
                time=self.tick(),
            )
        )

    def see(self, who: str, attempt: Attempt, epoch: str, offset: int) -> None:
        self.log.append(
            Seen(
                subscriber=who,
                channel=attempt.channel,
                epoch=epoch,
                offset=offset,
                hash=attempt.hash,
                time=self.tick(),
            )
        )

    def publish(self, channel: str, epoch: str, offset: int, key: str | None = None, expect: int = -1) -> Attempt:
        attempt = self.attempt(channel, key, Place(epoch, expect) if expect >= 0 else None)
        self.ack(attempt, epoch, offset)
        for who in self._present[channel]:
            self.see(who, attempt, epoch, offset)
        return attempt


def good_log() -> Log:
    """Return a log with reconnections, gaps in offsets, keys, conditions, failures and a new epoch, all in order."""
    story = _Story()
    for who in ("steady", "cut"):
        story.subscribe(who, "a", "e1", 0)
    story.subscribe("steady", "b", "f1", 7)
    kept = [(offset, story.publish("a", "e1", offset)) for offset in (1, 2, 5)]
    story.publish("b", "f1", 8)
    story.close("cut", "a")
    missed = [(offset, story.publish("a", "e1", offset)) for offset in (6, 9)]
    story.subscribe("cut", "a", "e1", 9, Place("e1", 5))
    for offset, attempt in missed:
        story.see("cut", attempt, "e1", offset)
    keyed = story.publish("a", "e1", 10, key="k1")
    again = replace(keyed, attempt=1000, time=story.tick())
    story.log.append(again)
    story.ack(again, "e1", 10)
    compared = story.publish("a", "e1", 12, expect=10)
    loser = story.attempt("a", expect=Place("e1", 10))
    story.log.append(Failed(publisher=loser.publisher, attempt=loser.attempt, channel="a", code=114))
    unknown = story.attempt("a")
    story.log.append(Failed(publisher=unknown.publisher, attempt=unknown.attempt, channel="a"))
    for who in ("steady", "cut"):
        story.see(who, unknown, "e1", 13)
    whole = (*kept, *missed, (10, keyed), (12, compared), (13, unknown))
    story.log.append(
        History(
            reader="reader",
            channel="a",
            epoch="e1",
            since=0,
            offset=13,
            publications=tuple((offset, attempt.hash) for offset, attempt in whole),
            time=story.tick(),
        )
    )
    for who in ("steady", "cut"):
        story.close(who, "a")
        story.subscribe(who, "a", "e2", 0, Place("e1", 13))
    story.publish("a", "e2", 3)
    story.publish("a", "e2", 4)
    for channel, who in (("a", "steady"), ("a", "cut"), ("b", "steady")):
        story.log.append(Settled(subscriber=who, channel=channel, time=story.tick()))
    return story.log


# --- Finding one's way in the good log -------------------------------------------------------------------------------


def _index(log: Log, kind: type[Event], **wanted: object) -> int:
    for index, event in enumerate(log):
        if type(event) is kind and all(getattr(event, name) == value for name, value in wanted.items()):
            return index
    raise LookupError(f"the good log has no {kind.__name__} with {wanted}")


def _seen(log: Log, who: str, offset: int, epoch: str = "e1") -> int:
    return _index(log, Seen, subscriber=who, offset=offset, epoch=epoch, channel="a")


def _change(log: Log, index: int, **changes: object) -> None:
    log[index] = replace(log[index], **changes)


# --- The defects -----------------------------------------------------------------------------------------------------


def _lost(log: Log) -> None:
    del log[_seen(log, "steady", 5)]


def _lost_at_the_end(log: Log) -> None:
    del log[_seen(log, "steady", 4, "e2")]


def _doubled(log: Log) -> None:
    index = _seen(log, "steady", 5)
    log.insert(index, log[index])


def _doubled_by_recovery(log: Log) -> None:
    log.insert(_seen(log, "cut", 6), log[_seen(log, "cut", 5)])


def _swapped(log: Log) -> None:
    one, two = _seen(log, "steady", 6), _seen(log, "steady", 9)
    log[one], log[two] = log[two], log[one]


def _invented(log: Log) -> None:
    index = _seen(log, "steady", 13)
    log.insert(index + 1, replace(log[index], offset=14, hash="nobody's"))


def _altered(log: Log) -> None:
    _change(log, _seen(log, "cut", 6), hash="h1")


def _crossed(log: Log) -> None:
    other = log[_index(log, Attempt, channel="b")]
    assert isinstance(other, Attempt)
    _change(log, _seen(log, "cut", 13), hash=other.hash)


def _falsely_recovered(log: Log) -> None:
    del log[_seen(log, "cut", 6)]


def _recovered_over_an_epoch(log: Log) -> None:
    _change(log, _index(log, Subscribed, subscriber="cut", epoch="e2"), recovered=True)


def _not_stored(log: Log) -> None:
    attempt = Attempt(publisher="p0", attempt=2000, channel="a", hash="gone", time=0.1)
    log.insert(0, attempt)
    log.insert(1, Ack(publisher="p0", attempt=2000, channel="a", epoch="e1", offset=4, time=9999.0))


def _position_reused(log: Log) -> None:
    _change(log, _index(log, Ack, offset=2, epoch="e1"), offset=1)


def _key_stored_twice(log: Log) -> None:
    _change(log, _index(log, Ack, attempt=1000), offset=11)


def _stored_twice(log: Log) -> None:
    index = _seen(log, "steady", 2)
    log.insert(index + 1, replace(log[index], offset=3))


def _stored_after_failure(log: Log) -> None:
    loser = log[_index(log, Failed, code=114)]
    assert isinstance(loser, Failed)
    attempt = log[_index(log, Attempt, publisher=loser.publisher, attempt=loser.attempt)]
    assert isinstance(attempt, Attempt)
    index = _seen(log, "steady", 13)
    log.insert(index + 1, replace(log[index], offset=14, hash=attempt.hash))


def _condition_ignored(log: Log) -> None:
    for index, event in enumerate(log):
        if isinstance(event, Attempt) and event.expect is not None:
            _change(log, index, expect=Place("e1", 9))
            return


def _both_won(log: Log) -> None:
    index = _index(log, Failed, code=114)
    loser = log[index]
    assert isinstance(loser, Failed)
    log[index] = Ack(publisher=loser.publisher, attempt=loser.attempt, channel="a", epoch="e1", offset=14, time=9999.0)


def _gap_over_a_reconnection(log: Log) -> None:
    for offset in (6, 9):
        del log[_seen(log, "cut", offset)]
    _change(log, _index(log, Subscribed, subscriber="cut", offset=9), since=Place("e1", 9))


def _epoch_changed_in_silence(log: Log) -> None:
    del log[_index(log, Subscribed, subscriber="steady", epoch="e2")]
    del log[_index(log, Closed, subscriber="steady", channel="a")]


def _deaf_in_an_old_epoch(log: Log) -> None:
    _epoch_changed_in_silence(log)
    for offset in (3, 4):
        del log[_seen(log, "steady", offset, "e2")]


def _uninvited(log: Log) -> None:
    index = _index(log, Closed, subscriber="cut", channel="a")
    log.insert(index + 1, log[_seen(log, "steady", 6)])
    _change(log, index + 1, subscriber="cut")


def _went_back(log: Log) -> None:
    one, two = _index(log, Ack, offset=3, epoch="e2"), _index(log, Ack, offset=4, epoch="e2")
    _change(log, one, offset=4)
    _change(log, two, offset=3)


def _answer_handed_over_twice(log: Log) -> None:
    # A poll that is repeated brings the same again: the client takes the repetition for something new.
    after = _seen(log, "steady", 9) + 1
    log[after:after] = [log[_seen(log, "steady", offset)] for offset in (6, 9)]


def _answer_acknowledged_unread(log: Log) -> None:
    # A poll acknowledges an answer that was lost on its way: a whole run is missing, and no return would show it.
    for offset in (2, 5, 6):
        del log[_seen(log, "steady", offset)]


def _repeated_post_stored_twice(log: Log) -> None:
    # A POST is repeated and told its first answer, but it was carried out again.
    after = _seen(log, "steady", 10) + 1
    log.insert(after, replace(log[after - 1], offset=11))


def _answered_with_anothers_answer(log: Log) -> None:
    # A POST is repeated under a number that another had: each is told where the other is stored.
    one, two = _index(log, Ack, offset=6, epoch="e1"), _index(log, Ack, offset=9, epoch="e1")
    _change(log, one, offset=9)
    _change(log, two, offset=6)


def _stream_and_poll_both_hand_over(log: Log) -> None:
    # A session changes from a stream to polls and is brought by both what was on its way.
    index = _seen(log, "cut", 9)
    log.insert(index + 1, log[_seen(log, "cut", 6)])


#: Each defect with what must be found (more may be).
DEFECTS: Final[Sequence[tuple[Callable[[Log], None], Kind]]] = (
    (_lost, Kind.LOST),
    (_lost_at_the_end, Kind.LOST),
    (_doubled, Kind.DOUBLED),
    (_doubled_by_recovery, Kind.DOUBLED),
    (_swapped, Kind.REORDERED),
    (_invented, Kind.INVENTED),
    (_altered, Kind.ALTERED),
    (_crossed, Kind.CROSS_CHANNEL),
    (_falsely_recovered, Kind.FALSE_RECOVERED),
    (_recovered_over_an_epoch, Kind.FALSE_RECOVERED),
    (_not_stored, Kind.NOT_STORED),
    (_position_reused, Kind.POSITION_REUSED),
    (_key_stored_twice, Kind.KEY_STORED_TWICE),
    (_stored_twice, Kind.STORED_TWICE),
    (_stored_after_failure, Kind.STORED_AFTER_FAILURE),
    (_condition_ignored, Kind.CONDITION_IGNORED),
    (_both_won, Kind.CONDITION_IGNORED),
    (_gap_over_a_reconnection, Kind.SILENT_GAP),
    (_epoch_changed_in_silence, Kind.SILENT_GAP),
    (_deaf_in_an_old_epoch, Kind.SILENT_GAP),
    (_uninvited, Kind.UNINVITED),
    (_went_back, Kind.REORDERED),
    (_answer_handed_over_twice, Kind.DOUBLED),
    (_answer_acknowledged_unread, Kind.LOST),
    (_repeated_post_stored_twice, Kind.KEY_STORED_TWICE),
    (_answered_with_anothers_answer, Kind.ALTERED),
    (_stream_and_poll_both_hand_over, Kind.DOUBLED),
)


def defect_name(defect: Callable[[Log], None]) -> str:
    """Return what a defect is called in texts."""
    return defect.__name__.strip("_").replace("_", " ")
