"""HTTP for web pages of other origins: the Origin is checked on every request, and CORS lets the page read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

from chappe.api.endpoint import Endpoint, Service
from chappe.api.heads import Receive, Scope, Send
from chappe.api.problems import HttpError
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.transports.admission import Admission
from chappe.transports.credentials import NO_COOKIE, CredentialReader
from chappe.transports.proxies import Proxies
from chappe.transports.upgrade import Gate, Rejected, Request, check_page

#: Set in the scope of a request whose Origin may connect.
_MAY_READ: Final = "chappe.may_read"


@dataclass(frozen=True)
class PageContext:
    """What these endpoints need of the layers above, besides what all HTTP needs.

    Attributes:
        gate: which pages may read.
        admission: counts a session as a WebSocket.
        reader: how requests bring credentials.
    """

    gate: Gate
    proxies: Proxies
    admission: Admission
    reader: CredentialReader = NO_COOKIE


class PageEndpoint(Endpoint):
    """An endpoint whose answers are for pages too, unlike an API's."""

    #: Headers that a page may send beyond those it always may.
    page_headers = "Authorization"

    def __init__(self, service: Service, page: PageContext) -> None:
        super().__init__(service)
        self.page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; a page of another origin that may connect may read the answer too, whatever it is."""
        origin = next((value for name, value in scope["headers"] if name == b"origin"), None)
        if origin is None:
            await super().__call__(scope, receive, send)
            return

        async def send_readable(message: Any) -> None:
            if message["type"] == "http.response.start" and scope.get(_MAY_READ):
                allowed = ((b"access-control-allow-origin", origin), (b"access-control-allow-credentials", b"true"))
                message = {**message, "headers": [*message["headers"], *allowed]}
            await send(message)

        await super().__call__(scope, receive, send_readable)

    async def respond(self, head: Request, scope: Scope, receive: Receive, language: str) -> Response:
        """Let the request in, and answer a preflight."""
        head = self._let_in(head)
        scope[_MAY_READ] = True
        if head.method == "OPTIONS":
            return Response(None, 204, self._preflight())
        return await self.answer(head, scope, receive, language)

    async def answer(self, head: Request, scope: Scope, receive: Receive, language: str) -> Response:
        """Return the answer to a request that may connect; its address is the client's.

        Raises:
            ChappeError: the error that is told instead.
        """
        raise NotImplementedError

    @property
    def is_leaving(self) -> bool:
        """Whether the hub shuts down."""
        return bool(self.service.context.readiness())

    def admit(self, address: str) -> None:
        """Refuse a session that the hub as a whole, or its address, cannot have.

        Raises:
            ChappeError: 108, 3504.
        """
        try:
            if self.is_leaving:
                raise Rejected(503, "the hub is shutting down", {"Retry-After": "1"})
            self.page.admission.admit(address)
        except Rejected as rejected:
            raise HttpError(rejected.status, Code.NOT_AVAILABLE, rejected.text, headers=rejected.headers) from None
        if self.page.admission.turns_away(address):
            raise ChappeError(Code.CONNECTION_LIMIT)

    def _let_in(self, head: Request) -> Request:
        resolved = self.page.proxies.resolve(head)
        try:
            check_page(self.page.gate, resolved, self.service.hub.audit)
        except Rejected as rejected:
            code = Code.PERMISSION_DENIED if rejected.status == 403 else Code.BAD_REQUEST
            raise HttpError(rejected.status, code, rejected.text, headers=rejected.headers) from None
        return resolved

    def _preflight(self) -> Mapping[str, str]:
        return {
            "Access-Control-Allow-Methods": ", ".join(method for method in self.methods if method != "OPTIONS"),
            "Access-Control-Allow-Headers": self.page_headers,
            "Access-Control-Max-Age": "600",
            "Vary": "Origin",
        }
