"""What an HTTP status and an error of the system say about trying again, and about another way."""

import errno

import pytest

from chappe.client.refusal import over, refusal, unreachable


@pytest.mark.parametrize(
    ("status", "retry_after", "final", "other_way"),
    [
        (401, "", True, False),
        (407, "", True, False),
        (403, "", True, True),
        (404, "", True, True),
        (426, "", True, True),
        (429, "2", False, False),
        (502, "", False, True),
        (503, "", False, True),
        (503, "2", False, False),
    ],
)
def test_a_status_is_the_servers_word_or_a_proxys(status: int, retry_after: str, final: bool, other_way: bool) -> None:
    lost = refusal(status, "no", retry_after)
    assert (lost.final, lost.other_way) == (final, other_way)
    assert lost.retry_after_ms == (2_000 if retry_after else 0)


@pytest.mark.parametrize("header", ["", "soon", "-1", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_what_is_no_number_of_seconds_is_no_advice(header: str) -> None:
    assert refusal(503, "no", header).retry_after_ms == 0


def test_where_nobody_listens_no_other_way_leads() -> None:
    lost = unreachable("ws://hub/", ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"))
    assert not lost.other_way
    assert "nothing listens there" in lost.reason
    assert unreachable("ws://hub/", ConnectionResetError(errno.ECONNRESET, "reset")).other_way


def test_a_cut_may_be_the_carriers_doing_and_a_code_is_the_hubs() -> None:
    assert over(1006, "cut", final=False).other_way
    assert not over(3001, "shutdown", final=False).other_way
