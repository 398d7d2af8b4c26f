"""The opening handshake of WebSocket (RFC 6455, section 4.2), and who may make it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import msgspec

from chappe.hub.contracts import Audit
from chappe.transports.peer_certificate import PeerCertificate
from chappe.wire.deflate import Deflate, negotiate
from chappe.wire.websocket import accept_key

_MAX_PARAMETERS: Final = 100
#: Characters of what a peer made up that are repeated.
_SHOWN: Final = 255
_HOST: Final = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::[0-9]{0,5})?")
_SPECIAL_PORTS: Final = {"http": "80", "https": "443", "ws": "80", "wss": "443"}


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """The head of a request.

    Attributes:
        headers: names in lower case; of several with one name their values joined by a comma (RFC 9110, 5.3).
        query: the first value of each parameter.
        certificate: what a TLS client showed, verified; None: nothing, or a proxy ends TLS.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    address: str
    secure: bool = False
    certificate: PeerCertificate | None = None


class Rejected(Exception):
    """The upgrade is refused.

    Attributes:
        status: of the HTTP answer.
        text: its body.
        headers: more of its headers.
    """

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text
        self.headers = dict(headers or {})


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """Which hosts are answered and which web pages may connect.

    Attributes:
        hosts: values of the Host header, without port; empty: any (another gate stands in front).
        origins: exact origins; empty: the page's host must be the Host of the request.
    """

    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()

    def check(self, request: Request) -> None:
        """Refuse requests by their Host (DNS rebinding) and their Origin (cross-site hijacking).

        Raises:
            Rejected: 400, 403, 421.
        """
        host = request.headers.get("host", "")
        if not host:
            raise Rejected(400, "no Host header")
        if self.hosts and bare_host(host) not in self.hosts:
            raise Rejected(421, "this Host is not served here; add it to server.allowed_hosts")
        origin = request.headers.get("origin")
        if origin is not None and not self._may_connect(origin, host, request.secure):
            raise Rejected(403, "this Origin may not connect; add it to server.allowed_origins")

    def _may_connect(self, origin: str, host: str, secure: bool) -> bool:
        if origin == "null":
            # Any site has it, in a sandboxed frame: no list makes it somebody's.
            return False
        if self.origins:
            return origin in self.origins
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        # An origin is a scheme, a host and a port (RFC 6454, 6.2); with more it was made by hand.
        if parts.scheme not in _SPECIAL_PORTS or parts.path or parts.query or parts.fragment:
            return False
        if secure and parts.scheme in ("http", "ws"):
            # Whoever is on the way may have written that page.
            return False
        wanted = _with_port(host.lower(), "https" if secure else "http")
        # Behind a TLS proxy the hub itself is not secure: the page's scheme decides its port.
        return _with_port(parts.netloc.lower(), parts.scheme) in (wanted, _with_port(host.lower(), parts.scheme))


def check_page(gate: Gate, request: Request, audit: Audit | None) -> None:
    """Refuse a request by its Host and Origin; that a page of a foreign site was refused is audited.

    Raises:
        Rejected: 400, 403, 421.
    """
    try:
        gate.check(request)
    except Rejected as rejected:
        if audit is not None and rejected.status == HTTPStatus.FORBIDDEN:
            origin = request.headers.get("origin", "")[:_SHOWN]
            about = {"address": request.address, "path": request.path[:_SHOWN], "origin": origin}
            audit("refused", {"status": rejected.status, **about, "problem": rejected.text})
        raise


def check_handshake(request: Request) -> str:
    """Check an upgrade by the letter; return the value for `Sec-WebSocket-Accept`.

    Raises:
        Rejected: 400, 405, 426.
    """
    headers = request.headers
    if request.method != "GET":
        raise Rejected(405, "a WebSocket upgrade is a GET", {"Allow": "GET"})
    if headers.get("transfer-encoding") or headers.get("content-length", "0") != "0":
        # A body would be read as frames by one side only (CVE-2026-69243).
        raise Rejected(400, "a WebSocket upgrade has no body")
    if "upgrade" not in tokens(headers.get("connection", "").lower()):
        raise Rejected(400, "the Connection header has no upgrade")
    if headers.get("sec-websocket-version") != "13":
        raise Rejected(
            426, "expected Sec-WebSocket-Version 13", {"Sec-WebSocket-Version": "13", "Upgrade": "websocket"}
        )
    accept = accept_key(headers.get("sec-websocket-key", ""))
    if accept is None:
        raise Rejected(400, "Sec-WebSocket-Key is no base64 of 16 bytes")
    return accept


def negotiate_deflate(request: Request) -> Deflate | None:
    """Return the compression that a handshake's offers allow, or None.

    Raises:
        Rejected: 400.
    """
    try:
        return negotiate(request.headers.get("sec-websocket-extensions", ""))
    except ValueError:
        raise Rejected(400, "malformed Sec-WebSocket-Extensions") from None


def tokens(value: str) -> list[str]:
    """Return the elements of a comma-separated header."""
    return [token.strip() for token in value.split(",") if token.strip()]


def first_values(query: str) -> dict[str, str]:
    """Return the first value of each parameter of a query.

    Raises:
        ValueError: there are too many.
    """
    if query.count("&") >= _MAX_PARAMETERS:
        raise ValueError("too many query parameters")
    parameters: dict[str, str] = {}
    if "%" in query or "+" in query:
        for name, value in parse_qsl(query, keep_blank_values=True):
            parameters.setdefault(name, value)
        return parameters
    # Nothing is escaped, as in every poll.
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if part:
            parameters.setdefault(name, value)
    return parameters


def language_of(request: Request, default: str) -> str:
    """Return `en` or `fr`: `?lang=`, then Accept-Language, then the default (interfaces, "classic")."""
    wanted = request.query.get("lang", "")[:2].lower()
    if wanted in ("en", "fr"):
        return wanted
    accepted = request.headers.get("accept-language")
    if not accepted:
        return default
    ranked: list[tuple[float, str]] = []
    for item in tokens(accepted)[:20]:
        tag, _, parameter = item.partition(";")
        language = tag.strip()[:2].lower()
        if language in ("en", "fr"):
            ranked.append((-_quality(parameter), language))
    return min(ranked, key=lambda item: item[0])[1] if ranked else default


def bearer_token(request: Request) -> str | None:
    """Return the token of an Authorization header, or None."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def bare_host(host: str) -> str:
    """Return a Host without its port, in lower case; empty if it is none: `localhost:x` is nobody's."""
    found = _HOST.fullmatch(host)
    return found[1].lower() if found else ""


def host_names(hosts: Iterable[str]) -> frozenset[str]:
    """Return hosts as a Host header names them, without a port: IPv6 addresses in brackets, all in lower case."""
    return frozenset(f"[{host}]".lower() if host.count(":") > 1 and host[0] != "[" else host.lower() for host in hosts)


def choose_subprotocol(offered: Sequence[str], known: Sequence[str]) -> str | None:
    """Return the first subprotocol of the client's list that is known, or None."""
    return next((name for name in offered if name in known), None)


def _quality(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


def _with_port(netloc: str, scheme: str) -> str:
    host = bare_host(netloc)
    port = netloc[len(host) :].lstrip(":")
    return f"{host}:{port or _SPECIAL_PORTS[scheme]}"
