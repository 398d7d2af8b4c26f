"""`GET /events`: channels as a stream of Server-Sent Events (spec/protocol.md, part SE)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from chappe.api.context import ApiContext
from chappe.api.endpoint import Endpoint, Service
from chappe.api.heads import Receive, Scope, Send
from chappe.api.problems import HttpError
from chappe.hub.session import Peer
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.protocols import base
from chappe.protocols.sse import parse_cursor, place_in
from chappe.transports.admission import Admission
from chappe.transports.asgi_stream import AsgiStreamLink, stream_body
from chappe.transports.proxies import Proxies
from chappe.transports.sse_stream import Stream, Streams
from chappe.transports.takeover import EXTENSION, Takeover
from chappe.transports.upgrade import Gate, Rejected, Request, bearer_token
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
_PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "GET, HEAD",
    "Access-Control-Allow-Headers": "Authorization, Cache-Control, Last-Event-ID",
    "Access-Control-Max-Age": "600",
    "Vary": "Origin",
}
#: Set in the scope of a request whose Origin may connect.
_MAY_READ: Final = "chappe.events.may_read"
#: A count of more digits is no number of publications.
_MAX_DIGITS: Final = 9


@dataclass(frozen=True)
class EventsContext:
    """What streams need of the layers above, besides what all HTTP needs.

    Attributes:
        gate: which pages may read.
        admission: counts a stream as a WebSocket.
        default_channels: of a request that names none.
    """

    gate: Gate
    proxies: Proxies
    admission: Admission
    default_channels: Sequence[str] = ()


class Asked(msgspec.Struct, frozen=True):
    """What a request asks for: channels, each with the place to go on from, and whether bare payloads."""

    channels: dict[str, base.Since]
    raw: bool


class EventsEndpoint(Endpoint):
    """A stream for each GET; what refuses it is a status and a problem, before the stream begins."""

    methods = ("GET", "HEAD", "OPTIONS")

    def __init__(self, service: Service, context: EventsContext) -> None:
        super().__init__(service)
        self._context = context
        self._streams = Streams(service.hub)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; a page of another origin that may connect may read the answer too, whatever it is."""
        origin = next((value for name, value in scope["headers"] if name == b"origin"), None)

        async def send_readable(message: Any) -> None:
            if message["type"] == "http.response.start" and origin is not None and self._may_read(scope):
                allowed = ((b"access-control-allow-origin", origin), (b"access-control-allow-credentials", b"true"))
                message = {**message, "headers": [*message["headers"], *allowed]}
            await send(message)

        await super().__call__(scope, receive, send_readable if origin is not None else send)

    async def respond(self, head: Request, scope: Scope, receive: Receive, language: str) -> Response:
        """Open a stream, or tell how it would begin.

        Raises:
            ChappeError: it is refused: by the gate, the caps, for its parameters, or as any session and subscription.
        """
        self._check_gate(head)
        scope[_MAY_READ] = True
        if head.method == "OPTIONS":
            return Response(None, 204, _PREFLIGHT)
        asked = read_asked(head, scope, self._context.default_channels)
        token = bearer_token(head)
        if head.method == "HEAD":
            self._streams.check(asked.channels, token)
            return HeadResponse()
        address = self._context.proxies.resolve(head).address
        self._admit(address)
        # Taken before the first await, so that many at once cannot pass together.
        seat = self._context.admission.websockets.take(address)
        try:
            peer = Peer(address=address, carrier="sse", language=language, token=token)
            stream = await self._streams.open(asked.channels, peer, asked.raw)
        except BaseException:
            self._context.admission.websockets.give_back(seat)
            raise
        return StreamResponse(self, stream, address, seat)

    def give_back(self, seat: str) -> None:
        """Count a stream no more."""
        self._context.admission.websockets.give_back(seat)

    @property
    def is_leaving(self) -> bool:
        """Whether the hub shuts down."""
        return bool(self.service.context.readiness())

    def _check_gate(self, head: Request) -> None:
        """Check the Origin too, on this GET: unlike an API's its answer is for pages."""
        try:
            self._context.gate.check(self._context.proxies.resolve(head))
        except Rejected as rejected:
            code = Code.PERMISSION_DENIED if rejected.status == 403 else Code.BAD_REQUEST
            raise HttpError(rejected.status, code, rejected.text, headers=rejected.headers) from None

    def _admit(self, address: str) -> None:
        try:
            if self.is_leaving:
                raise Rejected(503, "the hub is shutting down", {"Retry-After": "1"})
            self._context.admission.admit()
        except Rejected as rejected:
            raise HttpError(rejected.status, Code.NOT_AVAILABLE, rejected.text, headers=rejected.headers) from None
        if self._context.admission.is_crowded(address):
            raise ChappeError(Code.CONNECTION_LIMIT)

    def _may_read(self, scope: Scope) -> bool:
        return bool(scope.get(_MAY_READ))


class HeadResponse(Response):
    """The head that a stream begins with; it has no length."""

    def __init__(self) -> None:
        super().__init__(None, 200, _HEADERS)
        del self.headers["content-length"]


class StreamResponse(HeadResponse):
    """The answer of an open stream: a head, and then events, over the connection itself where it can be taken over."""

    def __init__(self, endpoint: EventsEndpoint, stream: Stream, address: str, seat: str) -> None:
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


def build_events(context: ApiContext, events: EventsContext) -> list[BaseRoute]:
    """Return the route of `/events`; put it behind a `GateMiddleware`."""
    return [Route("/events", EventsEndpoint(Service(context), events))]


def read_asked(head: Request, scope: Scope, default_channels: Sequence[str]) -> Asked:
    """Return what a request asks for; a channel named twice is asked for once.

    Raises:
        ChappeError: 107, no channel is named, or a parameter is wrong.
    """
    query = scope.get("query_string", b"").decode("latin-1")
    named = [value for name, value in parse_qsl(query, keep_blank_values=True) if name == "channel"]
    channels = list(dict.fromkeys(named or default_channels))
    if not channels:
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
