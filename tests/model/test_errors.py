"""Errors carry a code, a text and facts."""

import pytest

from chappe.model.error_codes import ERRORS, Code, reason
from chappe.model.errors import ChappeError, ConfigurationError, LocalProtocolError, Refused, RemoteProtocolError


@pytest.mark.parametrize("code", sorted(ERRORS))
def test_every_code_of_the_table_makes_an_error_with_its_text(code: int) -> None:
    error = ChappeError(code)
    assert error.reason == ERRORS[code].text_en
    assert error.retry is ERRORS[code].retry
    assert str(error) == f"{ERRORS[code].text_en} (code {code})"


def test_the_detail_fills_the_text() -> None:
    error = ChappeError(Code.BAD_REQUEST, detail={"field": "content", "problem": "empty"})
    assert error.reason == "bad request: field content: empty"
    assert error.detail == {"field": "content", "problem": "empty"}


def test_the_detail_words_the_error_in_french_where_it_is_shown() -> None:
    error = ChappeError(Code.UNKNOWN_SERVICE, detail={"name": "billing"})
    assert reason(error.code, "fr-CA", **error.detail) == "Service inconnu: billing"


def test_a_text_of_ones_own_wins() -> None:
    assert ChappeError(Code.PERMISSION_DENIED, "not on sundays").reason == "not on sundays"


def test_the_detail_is_a_copy_and_never_shared() -> None:
    facts = {"field": "name"}
    error = ChappeError(Code.BAD_REQUEST, "no", detail=facts)
    facts["field"] = "other"
    assert error.detail == {"field": "name"}
    assert ChappeError(Code.BAD_REQUEST).detail is not ChappeError(Code.BAD_REQUEST).detail


def test_applications_have_codes_of_their_own() -> None:
    error = Refused(1042)
    assert (error.code, error.reason, error.retry) == (1042, "application error 1042", False)
    assert Refused(1042, "the shop is closed").reason == "the shop is closed"


def test_a_code_given_by_name_is_a_plain_number() -> None:
    assert type(ChappeError(Code.CONFLICT).code) is int


def test_every_error_is_caught_as_one_kind() -> None:
    errors = [
        Refused(Code.PERMISSION_DENIED),
        RemoteProtocolError(Code.BAD_REQUEST_CLOSE, "no JSON"),
        LocalProtocolError("not connected"),
        ConfigurationError("port is 70000, expected 0 to 65535"),
    ]
    assert all(isinstance(error, ChappeError) for error in errors)
    assert all(error.code in ERRORS for error in errors)


def test_an_error_of_the_peer_says_how_to_close() -> None:
    error = RemoteProtocolError(1009, "message has 2000000 bytes, expected 1048576 or fewer")
    assert error.close_code == 1009
    assert "2000000" in error.reason
