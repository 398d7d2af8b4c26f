"""What is allowed is not called broken."""

from chappe.testing.checker import check
from chappe.testing.checker.findings import Kind
from chappe.testing.checker.journal import (
    Ack,
    Attempt,
    Closed,
    Dropped,
    Event,
    History,
    Place,
    Seen,
    Settled,
    Subscribed,
)


def published(count: int, epoch: str = "x", channel: str = "a", since: int = 0) -> list[Event]:
    log: list[Event] = []
    for offset in range(since + 1, since + count + 1):
        name = f"{epoch}{offset}"
        log.append(Attempt(publisher="p", attempt=hash(name), channel=channel, hash=name, time=offset))
        log.append(
            Ack(publisher="p", attempt=hash(name), channel=channel, epoch=epoch, offset=offset, time=offset + 0.5)
        )
    return log


def subscribed(offset: int, since: int | None = None, recovered: bool = False, epoch: str = "x", **more: int) -> Event:
    place = None if since is None else Place(epoch, since)
    return Subscribed(subscriber="s", channel="a", epoch=epoch, offset=offset, since=place, recovered=recovered, **more)


def seen(*offsets: int, epoch: str = "x") -> list[Event]:
    return [
        Seen(subscriber="s", channel="a", epoch=epoch, offset=offset, hash=f"{epoch}{offset}") for offset in offsets
    ]


CLOSED = Closed(subscriber="s", channel="a")
SETTLED = Settled(subscriber="s", channel="a", time=1e9)


def kinds(*log: Event) -> set[Kind]:
    return {finding.kind for finding in check(log)}


def test_a_gap_that_was_told_is_no_loss() -> None:
    assert not kinds(
        *published(9), subscribed(0), *seen(1, 2), CLOSED, subscribed(5, since=2), *seen(6, 7, 8, 9), SETTLED
    )


def test_a_slow_reader_that_was_told_of_drops_has_lost_nothing() -> None:
    dropped = Dropped(subscriber="s", channel="a")
    assert not kinds(*published(6), subscribed(0), *seen(1, 2), dropped, *seen(5, 6), SETTLED)


def test_but_after_the_drop_nothing_more_may_be_missing() -> None:
    dropped = Dropped(subscriber="s", channel="a")
    assert kinds(*published(7), subscribed(0), *seen(1), dropped, *seen(4, 6, 7)) == {Kind.LOST}


def test_a_cut_in_the_middle_of_a_recovery_goes_on_from_what_was_seen() -> None:
    assert not kinds(
        *published(6),
        subscribed(0),
        *seen(1),
        CLOSED,
        subscribed(5, since=1, recovered=True),
        *seen(2, 3),
        CLOSED,
        subscribed(6, since=3, recovered=True),
        *seen(4, 5, 6),
        SETTLED,
    )


def test_a_recovery_that_was_cut_and_skipped_is_a_silent_gap() -> None:
    assert kinds(
        *published(6),
        subscribed(0),
        *seen(1),
        CLOSED,
        subscribed(5, since=1, recovered=True),
        CLOSED,
        subscribed(6, since=5, recovered=True),
        *seen(6),
    ) == {Kind.SILENT_GAP}


def test_older_publications_that_were_asked_for_are_welcome() -> None:
    assert not kinds(*published(9), subscribed(8, replay=2), *seen(7, 8, 9), SETTLED)
    assert kinds(*published(9), subscribed(8), *seen(8, 9)) == {Kind.REORDERED}


def test_what_is_still_on_its_way_when_the_log_ends_is_not_lost() -> None:
    assert not kinds(*published(5), subscribed(0), *seen(1, 2))


def test_what_one_subscriber_saw_another_may_not_miss_even_unacknowledged() -> None:
    attempt = Attempt(publisher="q", attempt=1, channel="a", hash="x4", time=4)
    other = [Seen(subscriber="t", channel="a", epoch="x", offset=4, hash="x4")]
    log = [*published(3), attempt, *published(2, since=4)]
    start = Subscribed(subscriber="t", channel="a", epoch="x", offset=3)
    assert kinds(*log, start, *other, subscribed(0), *seen(1, 2, 3, 5)) == {Kind.LOST}


def test_a_history_of_a_part_is_judged_by_that_part() -> None:
    def read(*offsets: int) -> History:
        pairs = tuple((offset, f"x{offset}") for offset in offsets)
        return History(reader="r", channel="a", epoch="x", since=2, offset=5, publications=pairs)

    assert not kinds(*published(7), read(3, 4, 5))
    assert kinds(*published(7), read(3, 5)) == {Kind.NOT_STORED}
    assert kinds(*published(7), read(3, 5, 4)) == {Kind.REORDERED}


def test_a_key_may_be_stored_again_after_five_minutes_or_in_a_new_epoch() -> None:
    def attempt(number: int, time: float, epoch: str, offset: int) -> list[Event]:
        return [
            Attempt(publisher="p", attempt=number, channel="a", hash="h", key="k", time=time),
            Ack(publisher="p", attempt=number, channel="a", epoch=epoch, offset=offset, time=time + 1),
        ]

    assert not kinds(*attempt(1, 1, "x", 1), *attempt(2, 2, "y", 1))
    assert not kinds(*attempt(1, 1, "x", 1), *attempt(2, 400, "x", 2))
    assert kinds(*attempt(1, 1, "x", 1), *attempt(2, 2, "x", 2)) == {Kind.KEY_STORED_TWICE}


def test_an_answer_to_nothing_is_invented() -> None:
    assert kinds(Ack(publisher="p", attempt=1, channel="a", epoch="x", offset=1)) == {Kind.INVENTED}
