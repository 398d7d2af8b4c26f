"""`GET /events`: channels as a stream of Server-Sent Events (spec/protocol.md, part SE)."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qsl

import msgspec
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from chappe.api.context import ApiContext
from chappe.api.endpoint import Service
from chappe.api.heads import Receive, Scope, Send
from chappe.api.pages import PageContext
from chappe.api.session_requests import HttpSessionEndpoint, check_not_ended, named_session
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.protocols import base
from chappe.protocols.sse import parse_cursor, place_in
from chappe.protocols.validation import bad_request
from chappe.transports.asgi_stream import AsgiStreamLink, stream_body
from chappe.transports.http_sessions import HttpSessions
from chappe.transports.poll_link import Mailbox
from chappe.transports.session_stream import SessionStream
from chappe.transports.sse_stream import Stream, Streams
from chappe.transports.takeover import EXTENSION, Takeover
from chappe.transports.upgrade import Request
from chappe.wire.sse import COMMENT, MEDIA_TYPE

#: The first bytes of every stream: they bring the response head through all middleware, and some browsers call a stream
#: open only when its body has begun.
BEGINNING: Final = COMMENT
_HEADERS: Final = {
    "Content-Type": f"{MEDIA_TYPE}; charset=utf-8",
    # `no-transform`: compression would gather events that are to go now.
    "Cache-Control": "no-cache, no-store, no-transform",
    # nginx hands events on as they come only when it is told.
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
    "Vary": "Origin",
}
#: A count of more digits is no number of publications.
_MAX_DIGITS: Final = 9


class Asked(msgspec.Struct, frozen=True):
    """What a request asks for: channels, each with the place to go on from, and whether bare payloads."""

    channels: dict[str, base.Since]
    raw: bool


class EventsEndpoint(HttpSessionEndpoint):
    """A stream for each GET; what refuses it is a status and a problem, before the stream begins."""

    methods = ("GET", "HEAD", "OPTIONS")
    page_headers = "Authorization, Cache-Control, Chappe-CSRF, Chappe-Session, Last-Event-ID"

    def __init__(
        self, service: Service, page: PageContext, sessions: HttpSessions, default_channels: Sequence[str]
    ) -> None:
        """Take the channels of a request that names none."""
        super().__init__(service, page, sessions)
        self._default_channels = default_channels
        self._streams = Streams(service.hub)

    async def answer(self, head: Request, scope: Scope, receive: Receive, language: str) -> Response:
        """Open a stream, or tell how it would begin.

        Raises:
            ChappeError: it is refused: by the caps, for its parameters, or as any session and subscription.
        """
        handle = named_session(head)
        begins = not handle and "session" in head.query
        asked = read_asked(head, scope, None if handle or begins else self._default_channels)
        if begins and head.method != "HEAD":
            return await self._begin_session(asked, head, language)
        if handle:
            return await self._read_session(handle, asked, head, language)
        peer = self.peer(head, "sse", language)
        if head.method == "HEAD":
            await self._streams.check(asked.channels, peer)
            return HeadResponse()
        address = head.address
        self.admit(address)
        # Taken before the first await, so that many at once cannot pass together.
        seat = self.page.admission.websockets.take(address)
        try:
            stream = await self._streams.open(asked.channels, peer, asked.raw)
        except BaseException:
            self.page.admission.websockets.give_back(seat)
            raise
        return StreamResponse(self, stream, address, seat)

    async def _begin_session(self, asked: Asked, head: Request, language: str) -> Response:
        """Begin a session that is read as a stream from its first moment.

        Raises:
            ChappeError: 107, 108, 3504; what refuses the session or one of its channels.
        """
        if asked.raw:
            raise bad_request("raw", "expected 0 with a session")
        mailbox = self.begin(head, language)
        try:
            # The session knows already what the request brought, and a ticket is good once.
            return await self._read(mailbox, asked, head, None)
        except BaseException:
            self.sessions.end(mailbox)
            raise

    async def _read_session(self, handle: str, asked: Asked, head: Request, language: str) -> Response:
        """Open a stream that reads a session, and subscribe it to more.

        Raises:
            ChappeError: 107, it cannot be read as events; 117; what refuses the session or one of its channels.
        """
        if asked.raw:
            raise bad_request("raw", "expected 0 with a session")
        if head.method == "HEAD":
            self.find(head, language)
            return HeadResponse()
        mailbox = self.sessions.find(handle)
        if mailbox is not None:
            check_not_ended(mailbox, language)
        if mailbox is None or mailbox.is_read or mailbox.was_stream:
            # What an older stream was given may be lost on its way: who reads anew begins its channels anew.
            mailbox = await self.take_over(handle, head, language)
        if not mailbox.is_collected:
            raise bad_request("session", "a session of classic, expected one of chappe.v1")
        mailbox.acknowledge(head.query.get("cursor") or None)
        return await self._read(mailbox, asked, head, self.page.reader.read(head))

    async def _read(self, mailbox: Mailbox, asked: Asked, head: Request, token: str | None) -> Response:
        replies = await self.sessions.subscribe(mailbox, asked.channels, token)
        seat = self.sessions.move_seat(mailbox, head.address)
        return StreamResponse(self, SessionStream(mailbox, replies), head.address, seat)

    def give_back(self, seat: str) -> None:
        """Count a stream no more."""
        self.page.admission.websockets.give_back(seat)


class HeadResponse(Response):
    """The head that a stream begins with; it has no length."""

    def __init__(self) -> None:
        super().__init__(None, 200, _HEADERS)
        del self.headers["content-length"]


class StreamResponse(HeadResponse):
    """The answer of an open stream: a head, and then events, over the connection itself where it can be taken over."""

    def __init__(self, endpoint: EventsEndpoint, stream: Stream | SessionStream, address: str, seat: str) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._stream = stream
        self._address = address
        self._seat = seat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head, then everything; returns at once where the connection was taken over."""
        takeover: Takeover | None = scope.get("extensions", {}).get(EXTENSION)
        stream = self._stream
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": BEGINNING, "more_body": True})
            link = await takeover(BEGINNING, self._address) if takeover is not None else None
            if link is not None:
                stream.attach(link)
                self._end_if_leaving()
                return
            await self._go_on(takeover, receive, send)
        except BaseException:
            stream.abandon()
            raise
        finally:
            self._endpoint.give_back(self._seat)

    async def _go_on(self, takeover: Takeover | None, receive: Receive, send: Send) -> None:
        """Send the stream as ASGI messages."""
        session = self._stream.session
        assert session is not None
        link = AsgiStreamLink(self._endpoint.service.hub.limits)
        self._stream.attach(link)
        if takeover is not None:
            takeover.keep(session)
        try:
            self._end_if_leaving()
            await stream_body(link, receive, send)
        finally:
            if takeover is not None:
                takeover.release(session)

    def _end_if_leaving(self) -> None:
        """End what began while the hub told all others to go."""
        if self._endpoint.is_leaving and self._stream.session is not None:
            self._stream.session.close(Code.SHUTDOWN)


def build_events(
    context: ApiContext, page: PageContext, sessions: HttpSessions, default_channels: Sequence[str] = ()
) -> list[BaseRoute]:
    """Return the route of `/events`; put it behind a `GateMiddleware`."""
    return [Route("/events", EventsEndpoint(Service(context), page, sessions, default_channels))]


def read_asked(head: Request, scope: Scope, default_channels: Sequence[str] | None) -> Asked:
    """Return what a request asks for; a channel named twice is asked for once. Without default channels it may be none.

    Raises:
        ChappeError: 107, no channel is named, or a parameter is wrong.
    """
    query = scope.get("query_string", b"").decode("latin-1")
    named = [value for name, value in parse_qsl(query, keep_blank_values=True) if name == "channel"]
    channels = list(dict.fromkeys(named or default_channels or ()))
    if not channels and default_channels is not None:
        raise ChappeError(Code.BAD_REQUEST, detail={"field": "channel", "problem": "expected ?channel=NAME"})
    since = _read_since(head.query.get("since", ""))
    raw = head.query.get("raw", "0")
    if raw not in ("0", "1"):
        raise ChappeError(Code.BAD_REQUEST, detail={"field": "raw", "problem": "expected 0 or 1"})
    # The header is the newer one: browsers ask again with the URL of the first time.
    cursor = head.headers.get("last-event-id") or head.query.get("last_event_id", "")
    if not cursor:
        return Asked(dict.fromkeys(channels, since), raw == "1")
    places = parse_cursor(cursor)
    return Asked({name: place_in(places, name) or since for name in channels}, raw == "1")


def _read_since(text: str) -> base.Since:
    if text in ("", "latest"):
        return text or None
    if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS:
        return int(text)
    raise ChappeError(Code.BAD_REQUEST, detail={"field": "since", "problem": 'expected "latest" or a count'})
