"""The pace grants what its rate and burst allow, and no more."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.hub.rate_limit import Pace

# Eighths are exact in binary, so that the model needs no tolerance.
_EIGHTHS = st.integers(0, 400).map(lambda n: n / 8)


@given(st.sampled_from([1, 2, 4, 8]), st.integers(1, 10), st.lists(_EIGHTHS, max_size=60))
def test_the_pace_does_what_its_definition_says(rate: int, burst: int, steps: list[float]) -> None:
    now = 1_000.0
    pace, full_at = Pace(rate, burst), 0.0
    tokens = float(burst)
    granted = 0
    for step in steps:
        now += step
        tokens = min(float(burst), tokens + step * rate)
        taken = pace.take(full_at, now)
        assert (taken < math.inf) is (tokens >= 1)
        if taken < math.inf:
            full_at = taken
            tokens -= 1
            granted += 1
        assert granted <= burst + (now - 1_000.0) * rate


@given(st.floats(0.01, 1e3), st.integers(1, 10), st.floats(0, 1e6), st.integers(0, 12))
def test_what_was_refused_is_granted_after_the_wait_that_was_told(
    rate: float, burst: int, now: float, used: int
) -> None:
    pace, full_at = Pace(rate, burst), 0.0
    for number in range(used):
        taken = pace.take(full_at, now)
        assert (taken < math.inf) is (number < burst)
        full_at = taken if taken < math.inf else full_at
    wait_s = pace.wait_s(full_at, now)
    assert wait_s == pytest.approx(1 / rate if used >= burst else 0.0, abs=1e-6)
    if wait_s > 1e-6:
        assert pace.take(full_at, now + wait_s * 0.9) == math.inf
    assert pace.take(full_at, now + wait_s + 1e-9) < math.inf


@given(st.sampled_from([1, 2, 4, 8]), st.integers(1, 10), st.integers(1, 8), st.lists(_EIGHTHS, max_size=60))
def test_who_owes_waits_for_what_he_took_and_never_longer_than_the_most(
    rate: int, burst: int, most_s: int, steps: list[float]
) -> None:
    now = 1_000.0
    pace, full_at, tokens = Pace(rate, burst), 0.0, float(burst)
    for step in steps:
        now += step
        tokens = min(float(burst), tokens + step * rate)
        full_at = pace.owe(full_at, now, most_s)
        tokens = max(tokens - 1, -most_s * float(rate))
        # Until there is a whole token again.
        assert pace.wait_s(full_at, now) == pytest.approx(max(0.0, 1 - tokens) / rate)


def test_after_a_long_time_a_burst_is_allowed_and_not_one_more() -> None:
    pace, full_at, now = Pace(50, 200), 0.0, 12_345_678.9
    for _ in range(200):
        full_at = pace.take(full_at, now)
        assert full_at < math.inf
    assert pace.take(full_at, now) == math.inf
    assert pace.take(full_at, now + 0.021) < math.inf


def test_a_rate_of_zero_is_no_limit() -> None:
    pace, full_at = Pace(0, 1), 0.0
    for _ in range(10_000):
        full_at = pace.take(full_at, 1.0)
        assert full_at < math.inf
    assert pace.wait_s(full_at, 1.0) == 0.0


@pytest.mark.parametrize("burst", [0, 0.5])
def test_a_burst_below_one_message_still_lets_single_messages_through(burst: float) -> None:
    pace = Pace(2, burst)
    full_at = pace.take(0.0, 1.0)
    assert full_at < math.inf
    assert pace.take(full_at, 1.1) == math.inf
    assert pace.take(full_at, 1.6) < math.inf
