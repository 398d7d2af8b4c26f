"""`tickets`: a credential for a URL, for pages whose `EventSource` and `WebSocket` can send no header."""

from typing import Annotated, Final

import msgspec
from starlette.responses import Response

from chappe.api.commands import Asked, Call, Command, Told
from chappe.api.endpoint import carry_out
from chappe.api.heads import Receive, Scope
from chappe.api.pages import PageEndpoint
from chappe.api.waiting import Waiting
from chappe.auth.claims import check_subject
from chappe.hub.auditing import AUDITED, about, shortened
from chappe.hub.contracts import Claims
from chappe.hub.permissions import Action
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.model.timestamps import rfc3339
from chappe.protocols.validation import bad_request
from chappe.transports.upgrade import Request

#: How long a session of a user whom a backend vouches for lasts if it does not say, and may last, seconds.
_SESSION_S: Final = 3_600
_MAX_SESSION_S: Final = 86_400


class TicketsRequest(Asked, frozen=True, kw_only=True):
    """Give out a ticket for `?ticket=`, good once and for 30 seconds.

    Without `user` and `token` it stands for the credential of this request.
    """

    user: Annotated[str, msgspec.Meta(min_length=1, description="For this user; asks for the scope `api`.")] | None = (
        None
    )
    token: Annotated[str, msgspec.Meta(min_length=1, description="For the bearer of this token.")] | None = None
    session_s: Annotated[
        int,
        msgspec.Meta(ge=1, le=_MAX_SESSION_S, description="With `user`: seconds until the session ends with 3005."),
    ] = _SESSION_S


class TicketsAnswer(Told, frozen=True, kw_only=True):
    """The ticket, and when it ends."""

    ticket: str
    expires: str


def tickets(call: Call, request: TicketsRequest) -> Waiting[TicketsAnswer]:
    """Give a ticket out; refused with 103, 107; 101, 108, 109 of the token; 111, too many are open."""
    waiting: Waiting[TicketsAnswer] = Waiting()

    def done(claims: Claims | None, error: ChappeError | None) -> None:
        # Nobody would use a ticket for which nobody waits any more.
        if waiting.done():
            return
        try:
            if claims is None:
                raise error or ChappeError(Code.UNAUTHORIZED)
            ticket, expires_at = call.hub.authentication.tickets.issue(claims)
        except ChappeError as refused:
            _audit(call, request, refused)
            waiting.set_result(refused)
        else:
            waiting.set_result(TicketsAnswer(ticket=ticket, expires=rfc3339(int(expires_at * 1_000))))

    if request.token is not None and request.user is None:
        call.hub.authentication.verify(request.token, done)
        return waiting
    try:
        claims = _claims(call, request)
    except ChappeError as error:
        done(None, error)
    else:
        done(claims, None)
    return waiting


def _claims(call: Call, request: TicketsRequest) -> Claims:
    """Return whom a ticket is for that is asked for without a token."""
    if request.token is not None:
        raise bad_request("user", "expected either user or token")
    if request.user is not None:
        call.hub.permissions.authorize(call.actor, Action.TICKET, f"$user/{request.user}")
        try:
            check_subject(request.user)
        except ChappeError as error:
            raise bad_request("user", str(error.detail["problem"]).removeprefix("sub: ")) from None
        return Claims(user=request.user, expires_at=call.hub.clock.wall_ms() / 1_000 + request.session_s)
    if call.caller.claims.expires_at is None:
        # An API key may do everything and never ends: that is not for a URL.
        raise bad_request("user", "expected a user or a token; a key has neither")
    return call.caller.claims


def _audit(call: Call, request: TicketsRequest, error: ChappeError) -> None:
    if call.hub.audit is not None and error.code in AUDITED:
        told = {"code": int(error.code), "by": call.caller.name, "address": call.address, "command": "tickets"}
        call.hub.audit("refused", {**told, "user": shortened(request.user), **about(error)})


#: Who connects is not audited, and `token` is a secret: only refusals are noted, above.
COMMAND: Final = Command(
    "tickets", "Give out a one-use ticket for a URL.", TicketsRequest, TicketsAnswer, tickets, audited="never"
)


class TicketEndpoint(PageEndpoint):
    """The command for pages, those of other origins that may connect too."""

    methods = ("POST", "OPTIONS")
    page_headers = "Authorization, Chappe-CSRF, Content-Type"

    async def answer(self, head: Request, scope: Scope, receive: Receive, language: str) -> Response:
        """Give a ticket out."""
        return await carry_out(self.service, COMMAND, head, scope, receive, language)
