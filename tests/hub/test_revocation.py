"""Tokens that are refused before they expire."""

import pytest

from chappe.hub.contracts import Claims
from chappe.hub.revocation import Revocations, RevokingAuthenticator
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from tests.hub.harness import Tokens

TOKENS = Tokens(one=Claims(user="Ada", token_id="1"), other=Claims(user="Ada", token_id="2"), none=Claims(user="Ada"))


def test_a_revoked_token_is_refused_until_its_end_and_others_are_not() -> None:
    revocations = Revocations()
    authenticator = RevokingAuthenticator(TOKENS, revocations)
    revocations.add([("1", 100.0)], 0.0)
    with pytest.raises(ChappeError) as refused:
        authenticator.authenticate("one", 99.9)
    assert refused.value.code == Code.UNAUTHORIZED
    assert "one" not in str(refused.value)
    for token in ("other", "none"):
        assert authenticator.authenticate(token, 99.9).user == "Ada"
    assert authenticator.authenticate("one", 100.0).user == "Ada"
    assert len(revocations) == 0


def test_the_later_end_counts() -> None:
    revocations = Revocations()
    revocations.add([("1", 100.0), ("1", 50.0)], 0.0)
    assert revocations.refuses("1", 75.0)


def test_what_expires_first_is_forgotten_when_there_are_too_many() -> None:
    revocations = Revocations()
    for first in range(0, 200_000, 1_000):
        revocations.add([(str(number), 1.0 + number) for number in range(first, first + 1_000)], 0.0)
    assert len(revocations) <= 101_024
    assert revocations.refuses("199999", 0.0)
    assert not revocations.refuses("0", 0.0)
