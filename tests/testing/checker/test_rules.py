"""What is known from one source is held against every other."""

from chappe.testing.checker import check
from chappe.testing.checker.findings import Kind
from chappe.testing.checker.journal import (
    Ack,
    Attempt,
    Event,
    History,
    Place,
    Seen,
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


def kinds(*log: Event) -> set[Kind]:
    return {finding.kind for finding in check(log)}


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
