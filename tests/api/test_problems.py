"""Errors over HTTP: status, words in the reader's language, what to do next."""

import msgspec
import pytest

from chappe.api.problems import HttpError, failure_of, problem_of, problem_response, status_of
from chappe.model.error_codes import ERRORS, Code
from chappe.model.errors import ChappeError


@pytest.mark.parametrize("code", ERRORS)
@pytest.mark.parametrize("language", ["en", "fr"])
def test_every_code_has_an_answer(code: int, language: str) -> None:
    response = problem_response(ChappeError(code), language)
    assert 400 <= response.status_code < 600
    problem = msgspec.json.decode(bytes(response.body))
    assert problem["code"] == code
    assert problem["detail"]
    assert response.headers["content-language"] == language
    assert ("www-authenticate" in response.headers) == (response.status_code == 401)


def test_an_applications_error_keeps_its_own_words_in_every_language() -> None:
    error = ChappeError(1_500, "plus de stock")
    assert status_of(error) == 422
    assert problem_of(error, "fr").detail == "plus de stock"


def test_a_french_reader_reads_french() -> None:
    problem = problem_of(ChappeError(Code.MESSAGE_TOO_LARGE, "a body of 9 bytes", detail={"limit": 8}), "fr")
    assert problem.title == "Message trop volumineux"
    assert problem.detail.startswith("Message trop volumineux")
    assert problem.parameters == {"limit": 8}


def test_a_failure_among_others_says_the_same() -> None:
    failure = failure_of(ChappeError(Code.PERMISSION_DENIED, detail={"channel": "a"}), "fr")
    assert (failure.code, failure.reason, failure.retry) == (103, "Permission refusée", False)
    assert failure.detail == {"channel": "a"}


def test_who_is_told_to_come_back_is_told_when() -> None:
    for code in (Code.TOO_MANY_REQUESTS, Code.NOT_AVAILABLE):
        assert problem_response(ChappeError(code), "en").headers["retry-after"] == "1"


def test_after_a_body_that_was_not_read_the_connection_closes() -> None:
    assert problem_response(ChappeError(Code.MESSAGE_TOO_LARGE), "en").headers["connection"] == "close"
    assert problem_response(HttpError(408, Code.BAD_REQUEST, "slow"), "en").headers["connection"] == "close"


def test_a_status_may_say_more_than_the_code() -> None:
    response = problem_response(HttpError(405, Code.BAD_REQUEST, "no", headers={"Allow": "POST"}), "en")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


def test_a_detail_that_is_no_json_is_written_as_text() -> None:
    response = problem_response(ChappeError(1_000, "x", detail={"what": object}), "en")
    assert msgspec.json.decode(bytes(response.body))["parameters"] == {"what": "<class 'object'>"}
