"""`/poll` and `/send`: long polling and POST (spec/protocol.md, part PO)."""

import asyncio
import functools
from typing import Final

from starlette.responses import Response

from chappe.api.bodies import check_text, read_body
from chappe.api.context import ApiContext
from chappe.api.endpoint import Endpoint, Service
from chappe.api.forwarding import Forwarding
from chappe.api.heads import Receive, Scope
from chappe.api.pages import PageContext
from chappe.api.session_requests import HttpSessionEndpoint, check_not_ended, named_session
from chappe.api.waiting import until_gone
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.protocols.validation import bad_request
from chappe.transports.http_sessions import HttpSessions
from chappe.transports.poll_link import Mailbox
from chappe.transports.upgrade import Request

_HEADERS: Final = [
    (b"content-type", b"application/json"),
    # `no-transform`: nobody on the way gathers or changes what is for one client.
    (b"cache-control", b"no-store, no-transform"),
    (b"x-content-type-options", b"nosniff"),
    (b"vary", b"Origin"),
]
#: Numbers that every client can count to.
_MAX_SEQ: Final = 2**53 - 1
_MAX_SEQ_DIGITS: Final = 16
_NOTHING: Final = b'{"messages":[]}'


class JsonAnswer(Response):
    """An answer whose body is JSON text already; None is 204."""

    def __init__(self, body: bytes | None) -> None:
        # Not through the constructor of Starlette's, which makes all headers anew for each answer.
        self.status_code = 204 if body is None else 200
        self.background = None
        self.body = body or b""
        self.raw_headers = _HEADERS[1:] if body is None else [*_HEADERS, (b"content-length", b"%d" % len(body))]


class PolledEndpoint(HttpSessionEndpoint):
    """What polls and POSTs share: the node that has their session answers, whichever they come to."""

    def __init__(
        self, service: Service, page: PageContext, sessions: HttpSessions, forwarding: Forwarding | None
    ) -> None:
        super().__init__(service, page, sessions)
        self._forwarding = forwarding

    async def answer(self, head: Request, scope: Scope, receive: Receive, language: str) -> Response:
        """Answer here, or let the node that has the session answer a request that is let in here."""
        if self._forwarding is not None:
            client_id = head.query.get("clientId")
            if client_id is not None:
                self.check_simple(client_id)
                node = self._forwarding.node_for(client_id, scope)
            else:
                handle = named_session(head)
                node = self._forwarding.node_of(handle, scope)
                if node is not None and head.method == "POST":
                    await self._forwarding.check_known(node, handle)
            if node is not None:
                return await self._forwarding.forward(node, head, scope, receive)
        return await self.answer_here(head, scope, receive, language)

    async def answer_here(self, head: Request, scope: Scope, receive: Receive, language: str) -> Response:
        """Return the answer to a request whose session is of this node, or of none.

        Raises:
            ChappeError: the error that is told instead.
        """
        raise NotImplementedError


class PollEndpoint(PolledEndpoint):
    """`GET /poll` tells what waits, or waits for it; `DELETE /poll` ends."""

    methods = ("GET", "DELETE", "OPTIONS")

    async def answer_here(self, head: Request, scope: Scope, receive: Receive, language: str) -> Response:
        """Answer when there is something to say."""
        client_id = head.query.get("clientId")
        if head.method == "DELETE":
            mailbox = self.find(head, language) if client_id is None else self.find_simple(client_id)
            check_not_ended(mailbox, language)
            self.sessions.end(mailbox)
            return JsonAnswer(None)
        self.sessions.counters.polls += 1
        timeout_s = self._timeout_s(head)
        if client_id is not None:
            mailbox, cursor = self.find_or_begin(client_id, head, language), None
        elif handle := named_session(head):
            cursor = head.query.get("cursor") or None
            found = self.sessions.find(handle)
            if cursor is None and (found is None or (found.was_stream and found.ended is None)):
                return JsonAnswer((await self.take_over(handle, head, language)).beginning())
            if found is None:
                raise ChappeError(Code.UNKNOWN_SESSION)
            mailbox = found
        else:
            return JsonAnswer(self.begin(head, language).beginning())
        return await self._poll(mailbox, cursor, timeout_s, scope, receive, language)

    async def _poll(
        self, mailbox: Mailbox, cursor: str | None, timeout_s: float, scope: Scope, receive: Receive, language: str
    ) -> Response:
        if mailbox.is_spent:
            check_not_ended(mailbox, language)
        body = mailbox.ask(cursor)
        if body is None:
            check_not_ended(mailbox, language)
            waiting = mailbox.wait(timeout_s)
            try:
                body = await until_gone(waiting, functools.partial(mailbox.leave, waiting), scope, receive)
            finally:
                # Also when the server cancels us.
                mailbox.leave(waiting)
            if body is None:
                check_not_ended(mailbox, language)
        return JsonAnswer(body)

    def _timeout_s(self, head: Request) -> float:
        hold_s = self.sessions.options.hold_s
        text = head.query.get("timeout")
        if text is None:
            return hold_s
        try:
            timeout_s = float(text)
        except ValueError:
            timeout_s = -1.0
        if not 0 <= timeout_s <= hold_s:
            raise bad_request("timeout", f"expected seconds from 0 to {hold_s:g}")
        return timeout_s


class SendEndpoint(PolledEndpoint):
    """`POST /send` carries commands out and tells their answers."""

    methods = ("POST", "OPTIONS")

    async def answer_here(self, head: Request, scope: Scope, receive: Receive, language: str) -> Response:
        """Answer when all commands are, or when that takes too long."""
        client_id = head.query.get("clientId")
        if client_id is None:
            # Looked at first: for an unknown session nothing is read.
            check_not_ended(self.find(head, language), language)
        pushed, number = _read_replies(head), _read_seq(head)
        body = await read_body(receive, head.headers.get("content-length"))
        # Payloads stay as they came, so no parser looks at their text: subscribers would be sent what is no UTF-8.
        check_text(body)
        mailbox = self.find(head, language) if client_id is None else self.find_or_begin(client_id, head, language)
        check_not_ended(mailbox, language)
        self.sessions.counters.posts += 1
        post = mailbox.post(body, number, pushed)
        if not post.is_done:
            # Who goes away takes nothing with him: the POST goes on, and its answer is kept if it has a number.
            await asyncio.wait((post.done,), timeout=self.sessions.options.hold_s)
            post.finish()
        answer = _NOTHING if post.pushed else post.body()
        mailbox.posting.release(post)
        return JsonAnswer(answer)


def build_polling(
    context: ApiContext, page: PageContext, sessions: HttpSessions, forwarding: Forwarding | None = None
) -> dict[str, Endpoint]:
    """Return `/poll` and `/send` by path; they check Host and Origin themselves.

    Args:
        forwarding: the way to sessions of other nodes, where there are some.
    """
    service = Service(context)
    apps: dict[str, Endpoint] = {
        "/poll": PollEndpoint(service, page, sessions, forwarding),
        "/send": SendEndpoint(service, page, sessions, forwarding),
    }
    if forwarding is not None:
        forwarding.serve(apps)
    return apps


def _read_replies(head: Request) -> bool:
    text = head.query.get("replies", "")
    if text not in ("", "push"):
        raise bad_request("replies", 'expected "push", or nothing')
    return text == "push"


def _read_seq(head: Request) -> int | None:
    text = head.query.get("seq")
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > _MAX_SEQ_DIGITS or int(text) > _MAX_SEQ:
        raise bad_request("seq", "expected an integer from 0 on")
    return int(text)
