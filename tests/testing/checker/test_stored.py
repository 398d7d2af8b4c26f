"""What was stored, and what of it contradicts itself."""

from chappe.testing.checker import check
from chappe.testing.checker.findings import Kind
from chappe.testing.checker.journal import (
    Ack,
    Attempt,
    Event,
    Failed,
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


def test_whoever_asks_after_an_answer_comes_after_it_but_a_repetition_may_be_old() -> None:
    log = published(3)
    late = Attempt(publisher="q", attempt=1, channel="a", hash="late", time=50.0)
    assert not kinds(*log, late, Ack(publisher="q", attempt=1, channel="a", epoch="x", offset=9, time=51.0))
    assert Kind.REORDERED in kinds(
        *published(3, since=9), late, Ack(publisher="q", attempt=1, channel="a", epoch="x", offset=9, time=51.0)
    )


def test_an_error_answer_is_final_only_if_it_has_a_code() -> None:
    attempt = Attempt(publisher="q", attempt=1, channel="a", hash="x1", time=1.0)
    start = subscribed(0)
    unknown = Failed(publisher="q", attempt=1, channel="a")
    assert not kinds(attempt, unknown, start, *seen(1))
    assert kinds(attempt, Failed(publisher="q", attempt=1, channel="a", code=108), start, *seen(1)) == {
        Kind.STORED_AFTER_FAILURE
    }
