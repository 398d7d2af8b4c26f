"""The token bucket grants what its rate and burst allow, and no more."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.hub.rate_limit import TokenBucket

# Eighths are exact in binary, so that the model needs no tolerance.
_EIGHTHS = st.integers(-80, 400).map(lambda n: n / 8)
_AMOUNTS = st.integers(0, 40).map(lambda n: n / 4)


@given(st.integers(1, 8), st.integers(1, 10), st.lists(st.tuples(_EIGHTHS, _AMOUNTS), max_size=60))
def test_the_bucket_does_what_its_definition_says(rate: int, burst: int, steps: list[tuple[float, float]]) -> None:
    now = 1_000.0
    bucket = TokenBucket(rate, burst, now)
    tokens = float(burst)
    granted = 0.0
    forward = 0.0
    for step, amount in steps:
        now += step
        forward += max(step, 0.0)
        tokens = min(float(burst), tokens + max(step, 0.0) * rate)
        allowed = amount <= tokens
        assert bucket.take(now, amount) is allowed
        if allowed:
            tokens -= amount
            granted += amount
        assert granted <= burst + forward * rate


@given(st.integers(1, 8), st.integers(1, 10), st.integers(0, 10), st.integers(1, 12))
def test_what_was_refused_is_granted_after_the_wait_that_was_told(
    rate: int, burst: int, used: int, wanted: int
) -> None:
    bucket = TokenBucket(rate, burst, 0.0)
    bucket.take(0.0, min(used, burst))
    wait_s = bucket.wait_s(wanted)
    if math.isinf(wait_s):
        assert wanted > burst
        assert not bucket.take(1e6, wanted)
    else:
        assert bucket.take(wait_s + 1e-6, wanted)


def test_a_rate_of_zero_is_no_limit() -> None:
    bucket = TokenBucket(0, 1, 0.0)
    assert all(bucket.take(0.0) for _ in range(10_000))
    assert bucket.wait_s() == 0.0


@pytest.mark.parametrize("burst", [0, 0.5])
def test_a_burst_below_one_message_still_lets_single_messages_through(burst: float) -> None:
    bucket = TokenBucket(2, burst, 0.0)
    assert bucket.take(0.0)
    assert not bucket.take(0.1)
    assert bucket.take(0.6)


def test_a_clock_set_back_neither_starves_nor_feeds() -> None:
    bucket = TokenBucket(1, 1, 1_000_000.0)
    assert bucket.take(1_000_000.0)
    assert not bucket.take(0.0)
    assert not bucket.take(0.5)
    assert bucket.take(1.0)
