"""The gate of HTTP: which hosts are answered and which web pages may change something."""

from typing import Any, Final, Protocol

import msgspec

from chappe.api.heads import Receive, Scope, Send, read_head
from chappe.api.problems import HttpError, problem_response
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.transports.upgrade import Gate, Rejected, Request, language_of

#: Methods that change nothing (RFC 9110, 9.2.1). A page of another origin may send them but cannot read the answer.
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_CODES: Final = {403: Code.PERMISSION_DENIED}


class AsgiApp(Protocol):
    """Any ASGI application."""

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve one scope."""


class GateMiddleware:
    """Answers requests for other hosts (DNS rebinding) and of other sites' pages (CSRF) itself; ASGI.

    The Host is checked on every request, the Origin on those that may change something: a browser always sends it
    with them, programs send none. WebSockets pass: their own door checks both.
    """

    def __init__(self, app: AsgiApp, gate: Gate, default_language: str = "en") -> None:
        self._app = app
        self._gate = gate
        self._default_language = default_language

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        language = self._default_language
        try:
            head = read_head(scope)
            language = language_of(head, language)
            self._check(head)
        except ChappeError as error:
            await problem_response(error, language)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check(self, head: Request) -> None:
        if head.method in _SAFE and "origin" in head.headers:
            headers = {name: value for name, value in head.headers.items() if name != "origin"}
            head = msgspec.structs.replace(head, headers=headers)
        try:
            self._gate.check(head)
        except Rejected as rejected:
            code = _CODES.get(rejected.status, Code.BAD_REQUEST)
            raise HttpError(rejected.status, code, rejected.text, headers=rejected.headers) from None
