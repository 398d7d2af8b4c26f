"""WebSocket connections of another ASGI server: the same endpoints, over ASGI messages, slower."""

import asyncio
from typing import Any

from chappe.hub.hub import HubCore
from chappe.hub.session import Session
from chappe.hub.session_state import SessionState
from chappe.model.error_codes import Code, reason
from chappe.model.errors import ChappeError
from chappe.model.frame import Frame
from chappe.model.limits import Limits
from chappe.transports.admission import Admission
from chappe.transports.asgi_link import AsgiLink, Receive, Scope, Send
from chappe.transports.endpoints import Endpoint, Endpoints
from chappe.transports.portable import Receiver
from chappe.transports.proxies import Proxies
from chappe.transports.upgrade import Gate, Rejected, Request, check_page, first_values, language_of
from chappe.transports.websocket import closing_code
from chappe.wire.websocket import shorten_reason


class AsgiWebSocketLink(AsgiLink):
    """A WebSocket over ASGI messages. ASGI has no pings: the server's own find dead peers."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self._may_read = asyncio.Event()
        self._may_read.set()
        self.frame_bytes = limits.frame_bytes

    def close(self, code: int, reason: str = "") -> None:
        """Send what is queued, then the close code, 3503 for one that no close frame may carry."""
        super().close(closing_code(code), shorten_reason(reason))
        self._may_read.set()

    def pause(self) -> None:
        """Stop asking the server for messages."""
        self._may_read.clear()

    def resume(self) -> None:
        """Ask again."""
        self._may_read.set()

    def limit(self, frame_bytes: int) -> None:
        """Set the largest message taken."""
        self.frame_bytes = frame_bytes

    async def may_read(self) -> None:
        """Wait until reading is not paused."""
        await self._may_read.wait()

    def message_of(self, frame: Frame) -> dict[str, Any]:
        """Return a text or binary message."""
        if frame.text:
            return {"type": "websocket.send", "text": frame.payload.decode()}
        return {"type": "websocket.send", "bytes": frame.payload}

    def last_message(self, code: int, reason: str) -> dict[str, Any]:
        """Return the close message."""
        return {"type": "websocket.close", "code": code, "reason": reason}


class AsgiWebSockets:
    """Serves the `websocket` scopes of one hub."""

    def __init__(
        self,
        hub: HubCore,
        endpoints: Endpoints,
        gate: Gate,
        proxies: Proxies | None = None,
        admission: Admission | None = None,
        default_language: str = "en",
    ) -> None:
        self._hub = hub
        self._admission = admission or Admission.of(hub)
        self._default_language = default_language
        self._endpoints = endpoints
        self._gate = gate
        self._proxies = proxies or Proxies()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection to its end."""
        await receive()  # websocket.connect
        try:
            request = self._proxies.resolve(_request(scope))
            check_page(self._gate, request, self._hub.audit)
            endpoint = self._endpoints.find(request)
            self._admission.admit(request.address)
        except Rejected as rejected:
            await reject(scope, send, rejected)
            return
        except ChappeError as error:
            await reject(scope, send, Rejected(401, error.reason))
            return
        seats = self._admission.websockets
        is_crowded = self._admission.turns_away(request.address)
        # Taken before the first await, so that many at once cannot pass together.
        seat = seats.take(request.address)
        try:
            await send({"type": "websocket.accept", "subprotocol": endpoint.subprotocol})
            if is_crowded:
                text = reason(Code.CONNECTION_LIMIT, language_of(request, self._default_language))
                await send({"type": "websocket.close", "code": int(Code.CONNECTION_LIMIT), "reason": text})
                return
            await self._converse(endpoint, receive, send)
        finally:
            seats.give_back(seat)

    async def _converse(self, endpoint: Endpoint, receive: Receive, send: Send) -> None:
        link = AsgiWebSocketLink(self._hub.limits)
        receiver = endpoint.open(link)
        link.begin(receiver)
        writer = link.start(send)
        deadline = self._hub.clock.call_later(self._hub.limits.handshake_timeout_s, lambda: self._check(receiver))
        code = 1006
        try:
            code = await _read(receive, link, receiver, writer)
        finally:
            deadline.cancel()
            await link.detach(code)

    def _check(self, receiver: Receiver) -> None:
        if self._hub.permissions.anonymous or not isinstance(receiver, Session):
            return
        if receiver.state is SessionState.NEW:
            receiver.close(Code.STALE)


async def _read(receive: Receive, link: AsgiWebSocketLink, receiver: Receiver, writer: asyncio.Task[None]) -> int:
    """Hand messages to the receiver until either side ends; return the close code."""
    while not writer.done():
        await link.may_read()
        reading = asyncio.ensure_future(receive())
        try:
            await asyncio.wait({reading, writer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Also when the server cancels us.
            if not reading.done():
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
        if reading.cancelled():
            break
        message = reading.result()
        if message["type"] == "websocket.disconnect":
            return int(message.get("code") or 1005)
        text = message.get("text")
        payload = text.encode() if text is not None else bytes(message["bytes"])
        if len(payload) > link.frame_bytes:
            link.close(1009, f"a message of {len(payload)} bytes, expected {link.frame_bytes} or fewer")
        elif not link.closing:
            receiver.receive(payload, text is not None)
    return 1006


async def reject(scope: Scope, send: Send, rejected: Rejected) -> None:
    """Refuse a handshake: with an HTTP answer where the server can give one, else with a close before the accept."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008, "reason": shorten_reason(rejected.text)})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    headers += [(name.lower().encode(), value.encode()) for name, value in rejected.headers.items()]
    await send({"type": "websocket.http.response.start", "status": rejected.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": rejected.text.encode() + b"\n"})


def _request(scope: Scope) -> Request:
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1").strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    try:
        query = first_values(scope.get("query_string", b"").decode("latin-1"))
    except ValueError:
        raise Rejected(400, "too many query parameters") from None
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    client = scope.get("client")
    return Request(
        method="GET",
        path=path[len(root) :] if root and path.startswith(root) else path,
        query=query,
        headers=headers,
        address=client[0] if client else "",
        secure=scope.get("scheme") == "wss",
    )
