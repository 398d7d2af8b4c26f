"""What a subscriber may miss and what it may not."""

from chappe.testing.checker import check
from chappe.testing.checker.findings import Kind
from chappe.testing.checker.journal import (
    Ack,
    Attempt,
    Closed,
    Dropped,
    Event,
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
