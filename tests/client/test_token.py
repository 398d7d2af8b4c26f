"""Tokens."""

import jwt
import pytest

from chappe.client.errors import ConnectionLost
from chappe.client.token import expiry, fetch, refresh_delay_s
from chappe.model.errors import ChappeError, Refused


async def test_a_token_comes_from_a_string_a_function_or_a_coroutine_function() -> None:
    async def later() -> str:
        return "c"

    assert [await fetch(None), await fetch("a"), await fetch(lambda: "b"), await fetch(later)] == [None, "a", "b", "c"]


async def test_a_function_that_fails_counts_as_a_failed_attempt() -> None:
    def fail() -> str:
        raise OSError("the token server is away")

    with pytest.raises(ConnectionLost, match="token server is away") as caught:
        await fetch(fail)
    assert not caught.value.final


async def test_a_function_can_refuse_for_good() -> None:
    def refuse() -> str:
        raise Refused(101, "logged out")

    with pytest.raises(ChappeError, match="logged out"):
        await fetch(refuse)


def test_the_expiry_of_a_jwt_is_read_without_its_key() -> None:
    token = jwt.encode({"exp": 1_800_000_000, "sub": "ada"}, "k" * 32, algorithm="HS256")
    assert expiry(token) == 1_800_000_000


@pytest.mark.parametrize("token", ["", "opaque", "a.b.c", "a.e30.c", "é.é.é", "a." + "W10" + ".c"])
def test_other_tokens_have_no_expiry(token: str) -> None:
    assert expiry(token) is None


def test_a_token_is_replaced_a_minute_before_its_end_or_after_three_quarters_of_a_short_life() -> None:
    assert refresh_delay_s(1_000.0, 0.0) == 940.0
    assert refresh_delay_s(40.0, 0.0) == 30.0


@pytest.mark.parametrize("ahead_s", [59.9, 60.0, 3_600.0])
def test_a_clock_that_is_ahead_asks_for_no_token_after_the_other(ahead_s: float) -> None:
    assert refresh_delay_s(1_000.0, 940.0 + ahead_s) >= 0.5
