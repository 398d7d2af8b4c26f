"""All clients of a hub that is killed come back at once; `make faults PARTS=avalanche` does it with 10,000."""

import math

import pytest

from chappe.client.reconnection import ReconnectionPolicy
from chappe.testing.checker.judge import Verdict
from tests.programmes.avalanche import Outcome, run

JUDGED = Verdict(findings=(), defects_found=27, attempts=2, acknowledged=2, seen=40, subscriptions=40, recovered=20)


@pytest.mark.slow
@pytest.mark.timeout(90)
async def test_all_clients_of_a_killed_hub_are_soon_back_with_what_they_missed() -> None:
    found = await run(300, ReconnectionPolicy(interval_ms=300, max_ms=3_000))
    assert found.judged.clean, "\n".join(map(str, [found.judged, *found.judged.findings[:10]]))
    assert len(found.back_s) == 300
    assert found.whole, f"{found.judged}, {found.reads} reads"


def outcome(*back_s: float, clients: int = 20, reads: int = 1) -> Outcome:
    return Outcome(start_s=0.5, back_s=sorted(back_s), clients=clients, channels=1, reads=reads, judged=JUDGED)


def test_who_is_late_or_asks_the_engine_too_often_breaks_the_promise() -> None:
    assert outcome(*[1.0] * 19, 29.0).kept
    assert not outcome(*[1.0] * 19, 31.0).kept
    assert not outcome(*[1.0] * 18, 9.0, 9.0).kept
    assert not outcome(*[1.0] * 19).kept
    assert not outcome(*[1.0] * 20, reads=3).kept
    assert outcome(*[1.0] * 10).p95_s == math.inf
