"""Nothing is lost or doubled when every socket is cut again and again; `make faults` does it with 2,000 clients."""

import pytest

from chappe.testing.checker.journal import Ack, Attempt, Event, Seen, Settled, Subscribed
from tests.programmes.jitter import CHANNEL, Jitter, details, outcome, percentile, run


@pytest.mark.slow
async def test_f06_sockets_that_are_cut_again_and_again_lose_and_double_nothing() -> None:
    jitter = Jitter(clients=60, sdk_clients=6, publications=60, per_s=12, cut_every_s=2, offline_s=0.4, seed=6)
    found = await run(jitter)
    assert found.judged.clean, "\n".join(map(str, [found.judged, *found.judged.findings[:10]]))
    assert (found.expected, found.lost, found.doubled) == (3_600, 0, 0)
    assert found.cuts > 60
    assert found.judged.recovered > 60
    assert "| 3,600 | 0 | 0 |" in details(jitter, found)


def journal(*seen: str) -> list[Event]:
    events: list[Event] = [Subscribed(subscriber="sdk 0", channel=CHANNEL, epoch="e", offset=0)]
    for number, data in enumerate("ab", 1):
        events.append(Attempt(publisher="p", attempt=number, channel=CHANNEL, hash=data, time=number))
        events.append(Ack(publisher="p", attempt=number, channel=CHANNEL, epoch="e", offset=number, time=number + 0.1))
    for data in seen:
        offset = ord(data) - 96
        events.append(Seen(subscriber="sdk 0", channel=CHANNEL, epoch="e", offset=offset, hash=data, time=offset + 2))
    return [*events, Settled(subscriber="sdk 0", channel=CHANNEL, time=9)]


def test_the_outcome_tells_what_is_lost_and_what_is_doubled() -> None:
    good, lost, doubled = (outcome(journal(*seen), 1, 0) for seen in ("ab", "a", "abb"))
    assert (good.kept, good.lost, good.doubled, good.p99_s) == (True, 0, 0, 2)
    assert (lost.kept, lost.lost, lost.doubled) == (False, 1, 0)
    assert (doubled.kept, doubled.lost, doubled.doubled) == (False, 0, 1)
    assert "| 2 | 1 | 0 |" in details(Jitter(), lost)


def test_what_comes_too_late_is_not_kept() -> None:
    late = journal("a", "b")
    late[-2] = Seen(subscriber="sdk 0", channel=CHANNEL, epoch="e", offset=2, hash="b", time=5.5)
    assert not outcome(late, 1, 0).kept


def test_percentiles_are_of_what_was_measured() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.99, 1.0)] == [50, 99, 100]
    assert percentile([], 0.99) == 0
