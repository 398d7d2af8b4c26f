"""Errors as HTTP tells them: RFC 9457, `application/problem+json`, with our code."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from starlette.responses import Response

from chappe.model.error_codes import ERRORS, Code, reason
from chappe.model.errors import ChappeError

MEDIA_TYPE: Final = "application/problem+json"
#: Status of an application's own error (1000 to 1999): the request was understood and refused.
_APPLICATION_STATUS: Final = 422
#: Seconds after which a retry is not part of the same trouble.
_RETRY_AFTER_S: Final = {429: "1", 503: "1"}


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An error.

    `code` is one of the table in docs/reference/errors.md and decides; `detail` is for people, in their language.
    """

    type: str
    title: str
    status: int
    detail: str
    code: int
    retry: bool
    parameters: dict[str, Any]


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An error of one of several commands; the others are not touched by it."""

    code: int
    reason: str
    retry: bool
    detail: dict[str, Any]


class HttpError(ChappeError):
    """An error whose HTTP status says more than its code: 404, 405, 408, 421."""

    def __init__(self, status: int, code: int, text: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(code, text)
        self.status = status
        self.headers = dict(headers or {})


def status_of(error: ChappeError) -> int:
    """Return the HTTP status of an error."""
    if isinstance(error, HttpError):
        return error.status
    info = ERRORS.get(error.code)
    return info.http_status or 500 if info is not None else _APPLICATION_STATUS


def worded(error: ChappeError, language: str) -> str:
    """Return the text of an error in a language; in English it may say more than its code does."""
    if language == "en" or error.code not in ERRORS:
        return error.reason
    return reason(error.code, language, **error.detail)


def failure_of(error: ChappeError, language: str) -> Failure:
    """Return an error as the answer to one of several commands."""
    return Failure(code=error.code, reason=worded(error, language), retry=error.retry, detail=error.detail)


def problem_of(error: ChappeError, language: str) -> Problem:
    """Return an error as the answer to a request."""
    return Problem(
        type=f"urn:chappe:error:{error.code}",
        title=reason(error.code, language) if error.code in ERRORS else "application error",
        status=status_of(error),
        detail=worded(error, language),
        code=error.code,
        retry=error.retry,
        parameters=error.detail,
    )


def problem_response(error: ChappeError, language: str) -> Response:
    """Return the HTTP answer for an error."""
    problem = problem_of(error, language)
    headers = {"Content-Language": language, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    if problem.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if problem.status in _RETRY_AFTER_S:
        headers["Retry-After"] = _RETRY_AFTER_S[problem.status]
    if error.code == Code.MESSAGE_TOO_LARGE or problem.status == 408:
        # The rest of the body is not read; a second request behind it would be taken for a part of it.
        headers["Connection"] = "close"
    if isinstance(error, HttpError):
        headers |= error.headers
    return Response(msgspec.json.encode(problem, enc_hook=str), problem.status, headers, MEDIA_TYPE)
