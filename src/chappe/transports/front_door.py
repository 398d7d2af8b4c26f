"""The front door: uvicorn's HTTP protocol, with the upgrade and the takeover of WebSocket connections by us.

Everything that is no WebSocket goes uvicorn's way to the ASGI app. A WebSocket goes straight to the hub: its transport
is taken from uvicorn, what came behind the request head goes to the codec, and no ASGI message is ever made for it.
"""

import asyncio
import math
import os
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from chappe.model.error_codes import Code, reason
from chappe.model.errors import ChappeError
from chappe.transports.admission import WELCOME
from chappe.transports.departure import EXTENSION as DEPARTURE
from chappe.transports.departure import Departure
from chappe.transports.event_loop import stop_reading
from chappe.transports.lobby import CarrierLink, Lobby
from chappe.transports.peer_certificate import EXTENSION as CERTIFICATE
from chappe.transports.peer_certificate import PeerCertificate, read_certificate
from chappe.transports.takeover import Takeover, offer_takeover
from chappe.transports.upgrade import (
    Rejected,
    Request,
    bare_host,
    check_handshake,
    check_page,
    first_values,
    language_of,
    negotiate_deflate,
)
from chappe.transports.websocket import WebSocketLink
from chappe.wire.deflate import Deflate, inflate
from chappe.wire.websocket import WebSocketCodec

if TYPE_CHECKING:
    pass

#: Header fields of one request; more is no browser's.
_MAX_HEADERS: Final = 100
#: Parsed at once: most requests are smaller, and what a peer pipelined behind one that waits stays bytes.
_PIECE_BYTES: Final = 4_096


class FrontDoor(HttpToolsProtocol):
    """One connection until it is a WebSocket. Bind it to a lobby with `bind` and give the class to uvicorn."""

    lobby: ClassVar[Lobby]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_begun = False
        self._head_seen = 0
        self._head_tail = b""
        self._seat: str | None = None
        self._is_websocket = False
        self._takeovers: Sequence[Takeover] = ()
        self._departure: Departure | None = None
        self._certificate: PeerCertificate | None = None
        self._unread = b""
        self._turn: asyncio.TimerHandle | None = None
        # Whose turn it took; empty: nobody's, or it was given back.
        self._turn_of = ""

    @classmethod
    def bind(cls, lobby: Lobby) -> type["FrontDoor"]:
        """Return a class whose connections belong to a lobby."""
        return type("BoundFrontDoor", (cls,), {"lobby": lobby})

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the peer a time to say what it wants."""
        super().connection_made(transport)
        self.lobby.hub.breathe()
        self._certificate = read_certificate(transport.get_extra_info("peercert"))
        lobby, address = self.lobby, self.client[0] if self.client else ""
        # All clients behind a proxy have its address: they are counted when their own is known.
        if address and not lobby.proxies.trusts(address):
            if lobby.admission.is_besieged(address):
                lobby.besieged += 1
                transport.abort()
                return
            self._seat = lobby.admission.others.take(address)
            self._await_turn(address)
        if self._turn is None:
            self._await_head()

    def _await_turn(self, address: str) -> None:
        """Read nothing before it is the turn of this connection; cut one whose turn would come too late."""
        wait_s = self.lobby.turn_of(self.transport, address)
        self._turn_of = address
        if wait_s == math.inf:
            self.transport.abort()
        elif wait_s:
            self.flow.pause_reading()
            self._turn = self.loop.call_later(wait_s, self._take_turn)

    def _take_turn(self) -> None:
        self._turn = None
        self._await_head()
        self.go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._head_arrived()
        if self._turn is not None:
            self._turn.cancel()
        self._leave_seat()
        for takeover in self._takeovers:
            takeover.lost()
        super().connection_lost(exc)
        if self._departure is not None:
            self._departure.happened()

    def data_received(self, data: bytes) -> None:
        """Take bytes; those behind the head of an upgrade are frames already."""
        if self._unread or self.pipeline or self._turn is not None:
            # uvicorn reads on behind each answer and whenever an app waits: what waits here may not grow by that.
            self._unread += data
            self.flow.pause_reading()
            if self._turn is not None:
                stop_reading(self.transport)
        elif self.lobby.turns.has_time():
            self._feed(data)
        else:
            self._unread = data
            self._postpone()
        self.lobby.hub.breathe()

    def _postpone(self) -> None:
        # The peer has said what it had to: no time of its own runs while it waits for us.
        self._unset_keepalive_if_required()
        self.flow.pause_reading()
        self.lobby.turns.postpone(self)

    def go_on(self) -> None:
        """Parse what waited for its turn."""
        unread, self._unread = self._unread, b""
        if self not in self.connections:
            # Another link has it, or nobody.
            return
        self.flow.resume_reading()
        if not unread or self.transport.is_closing():
            return
        try:
            self._feed(unread)
        except Exception:
            # As the loop does with who fails while it receives.
            self.transport.abort()
            raise

    def _feed(self, data: bytes) -> None:
        """Parse bytes until a request has to wait for the answer to another; the rest is kept unread."""
        self._unset_keepalive_if_required()
        at = 0
        while at < len(data) and not self.pipeline and not self.transport.is_closing():
            piece = data[at : at + _PIECE_BYTES]
            at += len(piece)
            try:
                self._parse(piece)
            except httptools.HttpParserUpgrade as upgrade:
                # httptools tells how far the head went.
                self._upgrade(piece[upgrade.args[0] :] + data[at:])
                return
        self._unread = data[at:]
        if self._unread:
            self.flow.pause_reading()

    def _parse(self, data: bytes) -> None:
        if self._head_timer is not None:
            # Its end may come in pieces.
            end = (self._head_tail + data).find(b"\r\n\r\n")
            self._head_seen += len(data) if end < 0 else end + 4 - len(self._head_tail)
            if self._head_seen > self.lobby.head_bytes:
                self._answer(Rejected(431, f"the request head has more than {self.lobby.head_bytes} bytes"))
                return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise
        except httptools.HttpParserError:
            self._answer(Rejected(400, "malformed HTTP request"))
        if self._head_begun and self._head_timer is None and not self.transport.is_closing():
            # Only now: the head of nearly every request is complete by then.
            self._await_head()
        if self._head_timer is not None:
            self._head_tail = (self._head_tail + data[-3:])[-3:]

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._head_begun = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header field."""
        if len(self.headers) >= _MAX_HEADERS:
            raise ValueError("too many header fields")
        name = name.lower()
        if name == b"expect":
            super().on_header(name, value)
        else:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Let uvicorn serve what is no WebSocket."""
        self._head_arrived()
        self._is_websocket = self.parser.should_upgrade() and self._wants_websocket()
        if self._is_websocket:
            self.scope["method"] = self.parser.get_method().decode("ascii")
        else:
            # Some clients offer h2c with every request; RFC 9110, 7.8 lets us ignore that.
            self._serve()

    def on_response_complete(self) -> None:
        """Go on with what waits, and read on only when nothing does."""
        super().on_response_complete()
        self.lobby.hub.breathe()
        if self.transport.is_closing():
            return
        if self.pipeline:
            self.flow.pause_reading()
        elif self._unread and not self.lobby.turns.has_time():
            self._postpone()
        elif self._unread:
            unread, self._unread = self._unread, b""
            self._feed(unread)

    def leave_uvicorn(self) -> None:
        """Be no connection of HTTP any more: another link has it."""
        self.connections.discard(self)
        self._leave_seat()
        self._takeovers = ()

    @property
    def is_awaiting_head(self) -> bool:
        """Whether a request has begun whose head is not complete."""
        return self._head_timer is not None

    def on_body(self, body: bytes) -> None:
        """Take a part of a body; that of an upgrade is refused by its head."""
        if not self._is_websocket:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        if not self._is_websocket:
            super().on_message_complete()

    def _serve(self) -> None:
        if not self.url.startswith(b"/"):
            self._check_line()
        super().on_headers_complete()
        if self._certificate is not None:
            self.extend(CERTIFICATE, self._certificate)
        if self._turn_of and "/api/" in self.scope["path"]:
            self.extend(WELCOME, self._give_turn_back)
        if self.scope["path"].endswith("/poll"):
            if self._departure is None:
                self._departure = Departure()
            self.extend(DEPARTURE, self._departure)
            return
        takeover = offer_takeover(self)
        if takeover is not None:
            self._takeovers = [*(each for each in self._takeovers if not each.is_over), takeover]

    def _check_line(self) -> None:
        """Refuse a request line with another host than the Host header's: a proxy may have looked at that."""
        host = b", ".join(value for name, value in self.headers if name == b"host")
        if _is_other_host(httptools.parse_url(self.url).host, host.decode("latin-1").strip()):
            raise ValueError("the request line and the Host header name different hosts")

    def extend(self, name: str, value: Any) -> None:
        """Put an extension beside those that the scope of the current request has."""
        self.scope["extensions"] = {**(self.scope.get("extensions") or {}), name: value}

    def _should_upgrade(self) -> bool:
        return False

    def _wants_websocket(self) -> bool:
        """Whether `Upgrade`, which may list several protocols, names ours (RFC 6455, 4.2.1)."""
        return b"websocket" in [protocol.strip() for protocol in (self._get_upgrade() or b"").split(b",")]

    def _await_head(self) -> None:
        self._head_seen = 0
        self._head_tail = b""
        self._head_timer = self.loop.call_later(self.lobby.head_timeout_s, self._head_timed_out)

    def _give_turn_back(self) -> None:
        """Let connections of a backend be made as often as it likes."""
        address, self._turn_of = self._turn_of, ""
        if address:
            self.lobby.admission.give_turn_back(address)

    def _leave_seat(self) -> None:
        if self._seat is not None:
            self.lobby.admission.others.give_back(self._seat)
            self._seat = None

    def _head_arrived(self) -> None:
        self._head_begun = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_timed_out(self) -> None:
        if self._unread:
            self._head_timer = self.loop.call_later(self.lobby.head_timeout_s, self._head_timed_out)
            return
        self._head_timer = None
        self.lobby.head_timeouts += 1
        if self._head_seen:
            self._answer(Rejected(408, "the request head did not come in time"))
        else:
            self.transport.close()

    def _upgrade(self, behind: bytes) -> None:
        if not self._is_websocket:
            if behind:
                self._answer(Rejected(400, "bytes behind an upgrade that is not served"))
            return
        lobby = self.lobby
        if _is_answering(self.cycle):
            # Pipelined behind a request: its answer, still to come, would be written between our frames.
            lobby.rejected += 1
            self.transport.close()
            return
        try:
            request = lobby.proxies.resolve(self._request())
            check_page(lobby.gate, request, lobby.hub.audit)
            accept = check_handshake(request)
            deflate = negotiate_deflate(request) if lobby.compression else None
            endpoint = lobby.endpoints.find(request)
            lobby.admit(request.address)
        except Rejected as rejected:
            lobby.rejected += 1
            self._answer(rejected)
            return
        except ChappeError as error:
            lobby.rejected += 1
            self._answer(Rejected(401, error.reason, {"WWW-Authenticate": "Bearer"}))
            return
        lobby.hub.breathe()
        head = _switching_protocols(accept, endpoint.subprotocol, deflate)
        if lobby.admission.turns_away(request.address):
            lobby.rejected += 1
            self.transport.write(head)
            self._turn_away(language_of(request, lobby.default_language))
            return
        try:
            link = self._hand_over(head, deflate)
        except OSError as error:
            # Out of descriptors: who is here already must not suffer.
            lobby.rejected += 1
            self._answer(Rejected(503, f"no connection to spare: {error.strerror}", {"Retry-After": "5"}))
            return
        self.leave_uvicorn()
        lobby.enter(link, request.address, endpoint.first_look_s)
        lobby.upgrades += 1
        link.begin(endpoint.open(link), behind)
        lobby.hub.breathe()

    def _hand_over(self, head: bytes, deflate: Deflate | None) -> CarrierLink:
        """Give the connection to a link that sends `head` first: a native one if it is plain TCP and nothing waits.

        Raises:
            OSError: there is no descriptor left; the connection is still here.
        """
        lobby, transport = self.lobby, self.transport
        is_plain = transport.get_extra_info("sslcontext") is None
        if lobby.reactor is None or not is_plain or transport.get_write_buffer_size():
            transport.write(head)
            link = WebSocketLink(lobby.commons, deflate is not None)
            link.attach(transport)
            return link
        # The loop closes its own descriptor, without a word to the peer, since ours holds the connection.
        descriptor = os.dup(transport.get_extra_info("socket").fileno())
        inflater = None if deflate is None else partial(inflate, breathe=lobby.reactor.breathe)
        native = lobby.reactor.attach(descriptor, head, inflate=inflater)
        transport.abort()
        return native

    def _turn_away(self, language: str) -> None:
        """End an upgrade with a close code, as a page never sees the status of a refused one; wait for no answer."""
        goodbye = WebSocketCodec(0)
        goodbye.close(Code.CONNECTION_LIMIT, reason(Code.CONNECTION_LIMIT, language))
        self.transport.write(goodbye.data_to_send())
        self.transport.close()

    def _request(self) -> Request:
        headers: dict[str, str] = {}
        for name, value in self.headers:
            key, text = name.decode("latin-1"), value.decode("latin-1").strip()
            if key in headers and key in ("host", "sec-websocket-key", "sec-websocket-version", "origin"):
                raise Rejected(400, f"two {key} headers")
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
        if self.parser.get_http_version() != "1.1":
            raise Rejected(400, "a WebSocket upgrade needs HTTP/1.1")
        try:
            url = httptools.parse_url(self.url)
            query = first_values(url.query.decode("latin-1") if url.query else "")
        except (httptools.HttpParserInvalidURLError, ValueError):
            raise Rejected(400, "malformed URL, or too many query parameters") from None
        if _is_other_host(url.host, headers.get("host", "")):
            raise Rejected(400, "the request line and the Host header name different hosts")
        return Request(
            method=self.scope["method"],
            path=unquote(url.path.decode("latin-1")) if url.path else "/",
            query=query,
            headers=headers,
            address=self.client[0] if self.client else "",
            secure=self.scheme == "https",
            certificate=self._certificate,
        )

    def _answer(self, rejected: Rejected) -> None:
        self._head_arrived()
        body = rejected.text.encode() + b"\n"
        phrase = HTTPStatus(rejected.status).phrase
        fields = {
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Length": str(len(body)),
            "Connection": "close",
            **rejected.headers,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.transport.write(f"HTTP/1.1 {rejected.status} {phrase}\r\n{head}\r\n".encode("latin-1") + body)
        self.transport.close()


def _is_answering(cycle: RequestResponseCycle | None) -> bool:
    return cycle is not None and not cycle.response_complete


def _is_other_host(named: bytes | None, host: str) -> bool:
    """Whether a request line that names a host (RFC 9112, 3.2.2) names another one than the Host header."""
    return named is not None and bare_host(named.decode("latin-1")) != bare_host(host)


def _switching_protocols(accept: str, subprotocol: str | None, deflate: Deflate | None) -> bytes:
    chosen = f"Sec-WebSocket-Protocol: {subprotocol}\r\n" if subprotocol else ""
    if deflate is not None:
        chosen += f"Sec-WebSocket-Extensions: {deflate.answer}\r\n"
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n{chosen}\r\n"
    ).encode("latin-1")
