"""When the client dials again: pure, so no test here waits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.client.reconnection import (
    TRANSITIONS,
    Input,
    Reconnection,
    ReconnectionPolicy,
    State,
    may_reconnect,
    may_retry_status,
)
from chappe.model.errors import LocalProtocolError

draws = st.floats(0.0, 1.0, exclude_max=True)


def test_attempt_n_waits_up_to_the_interval_doubled_n_minus_1_times() -> None:
    policy = ReconnectionPolicy(interval_ms=1_000, max_ms=30_000, jitter="none")
    waits = [policy.delay_ms(attempt, 0.0) for attempt in range(1, 8)]
    assert waits == [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]


@given(st.integers(1, 10_000), draws)
def test_full_jitter_draws_between_nothing_and_the_bound(attempt: int, draw: float) -> None:
    policy = ReconnectionPolicy()
    delay = policy.delay_ms(attempt, draw)
    assert 0 <= delay < max(policy.bound_ms(attempt), 1)
    assert delay == pytest.approx(draw * policy.bound_ms(attempt))


def test_the_counter_restarts_at_a_connection() -> None:
    reconnection = Reconnection(ReconnectionPolicy(jitter="none"))
    for expected in (1, 2, 3):
        wait = reconnection.lost(0.5)
        assert wait is not None
        assert wait.attempt == expected
        reconnection.dial()
    reconnection.connected()
    wait = reconnection.lost(0.5)
    assert wait is not None
    assert (wait.attempt, wait.delay_ms) == (1, 1_000)


def test_attempts_are_given_up_after_the_last_one() -> None:
    reconnection = Reconnection(ReconnectionPolicy(max_attempts=2))
    reconnection.connected()
    for _ in range(2):
        assert reconnection.lost(0.0) is not None
        reconnection.dial()
    assert reconnection.lost(0.0) is None
    assert reconnection.state is State.ENDED


def test_zero_attempts_is_for_ever() -> None:
    reconnection = Reconnection(ReconnectionPolicy(max_attempts=0))
    for _ in range(1_000):
        assert reconnection.lost(0.999) is not None
        reconnection.dial()


def test_a_server_may_ask_for_a_longer_wait() -> None:
    wait = Reconnection(ReconnectionPolicy(interval_ms=10)).lost(0.0, not_before_ms=500)
    assert wait is not None
    assert wait.delay_ms == 500
    wait = Reconnection(ReconnectionPolicy(max_ms=100)).lost(0.0, not_before_ms=500)
    assert wait is not None
    assert wait.delay_ms == 100, "no longer than its user allows"


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1011, 1012, 3000, 3001, 3005, 3008, 3012, 3499, 4000, 4499])
def test_these_close_codes_reconnect(code: int) -> None:
    assert may_reconnect(code)


@pytest.mark.parametrize("code", [1009, 3500, 3501, 3503, 3504, 3999, 4500, 4509, 4999])
def test_these_close_codes_stop(code: int) -> None:
    assert not may_reconnect(code)


@pytest.mark.parametrize(("status", "again"), [(302, False), (401, False), (403, False), (404, False), (408, True)])
def test_some_refusals_of_the_handshake_are_final(status: int, again: bool) -> None:
    assert may_retry_status(status) is again


@pytest.mark.parametrize("status", [200, 429, 500, 502, 503, 504])
def test_overload_and_proxies_without_a_server_are_not_final(status: int) -> None:
    assert may_retry_status(status)


@given(st.lists(st.sampled_from(list(Input))))
def test_every_input_in_every_state_follows_the_table_or_raises(inputs: list[Input]) -> None:
    reconnection = Reconnection(ReconnectionPolicy())
    for happened in inputs:
        before = reconnection.state
        expected = TRANSITIONS.get((before, happened))
        if expected is None:
            with pytest.raises(LocalProtocolError, match=f"{happened.value} cannot happen while {before.value}"):
                reconnection.advance(happened)
            assert reconnection.state is before
        else:
            reconnection.advance(happened)
            assert reconnection.state is expected


def test_nothing_leads_out_of_the_end() -> None:
    assert {target for (state, _), target in TRANSITIONS.items() if state is State.ENDED} == {State.ENDED}


@pytest.mark.parametrize("option", [{"interval_ms": -1}, {"max_ms": -1}, {"max_attempts": -1}, {"jitter": "some"}])
def test_an_option_that_cannot_be_is_named(option: dict[str, object]) -> None:
    with pytest.raises(LocalProtocolError, match=next(iter(option))):
        ReconnectionPolicy(**option)  # type: ignore[arg-type]
