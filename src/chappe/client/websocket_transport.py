"""A connection that a WebSocket carries.

`websockets` is imported at the first dial and not before: importing `chappe.client` needs neither sockets nor TLS,
which is what Pyodide has.
"""

import asyncio
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from chappe.client.connection import Frame, Transport
from chappe.client.errors import CUT, ConnectionLost
from chappe.client.options import Settings
from chappe.client.reconnection import may_reconnect
from chappe.client.refusal import over, refusal, unequipped, unreachable
from chappe.model.errors import LocalProtocolError

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection
    from websockets.exceptions import ConnectionClosed

_ADVICE: Final = re.compile(r"reconnect after (\d{1,6}) ms")
#: Seconds that a peer has to answer our close before the connection is cut.
_CLOSE_TIMEOUT_S: Final = 2.0


class WebSocketConnection:
    """An open WebSocket: a `Connection`."""

    transport: Final[Transport] = "websocket"
    gathers: Final = False

    def __init__(self, websocket: "ClientConnection", url: str) -> None:
        self.heard_at = asyncio.get_running_loop().time()
        self._websocket = websocket
        self._url = url
        self._receiving = False
        self._abort_reason: str | None = None

    @property
    def subprotocol(self) -> str | None:
        """Return the subprotocol the server chose."""
        return self._websocket.subprotocol

    async def receive(self) -> Frame:
        """Return the next message: see `Connection.receive`."""
        from websockets.exceptions import ConnectionClosed

        self._receiving = True
        try:
            frame = await self._websocket.recv()
            self.heard_at = asyncio.get_running_loop().time()
            return frame
        except ConnectionClosed as closed:
            raise self._lost(closed) from closed
        finally:
            self._receiving = False

    async def send(self, frame: Frame) -> None:
        """Send a message; messages leave in the order of the calls.

        Returns when the message is in the socket's buffer and that is not too full. Cancelled while it waits for room,
        the message leaves all the same.

        Raises:
            ConnectionLost: the connection is over; whether the message arrived is not known.
        """
        from websockets.exceptions import ConnectionClosed

        try:
            await self._websocket.send(frame)
        except ConnectionClosed as closed:
            raise self._lost(closed) from closed

    async def ping(self, timeout_s: float) -> float | None:
        """Measure a round trip in seconds by WebSocket ping; None if we ourselves do not read: nothing is known.

        Raises:
            TimeoutError: no pong within `timeout_s` although we read.
            ConnectionLost: the connection is over.
        """
        from websockets.exceptions import ConnectionClosed

        try:
            begin = time.perf_counter()  # uvloop's own clock moves in milliseconds
            async with asyncio.timeout(timeout_s):
                await (await self._websocket.ping())
            self.heard_at = asyncio.get_running_loop().time()
            return time.perf_counter() - begin
        except TimeoutError:
            # A consumer that stopped reading lets the pong wait in the socket: that says nothing about the peer.
            if not self._receiving:
                return None
            raise
        except ConnectionClosed as closed:
            raise self._lost(closed) from closed

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close with a handshake, for `_CLOSE_TIMEOUT_S` at most; closing twice is fine."""
        with suppress(OSError):
            await self._websocket.close(code, reason)

    def abort(self, reason: str) -> None:
        """Cut the connection at once; `receive` raises `ConnectionLost` with this reason."""
        self._abort_reason = reason
        self._websocket.transport.abort()

    def _lost(self, closed: "ConnectionClosed") -> ConnectionLost:
        # What the peer said counts more than what we answered.
        frame = closed.rcvd or closed.sent
        code = frame.code if frame else CUT
        reason = self._abort_reason or (frame.reason if frame else "") or f"the connection to {self._url} was cut"
        return over(code, reason, final=not may_reconnect(code), retry_after_ms=_advice_ms(reason))


async def dial(settings: Settings, timeout_s: float | None = None) -> WebSocketConnection:
    """Open a WebSocket within `timeout_s`, by default `settings.open_timeout_s`.

    Raises:
        ConnectionLost: it did not open; `final` says whether trying again is pointless.
        LocalProtocolError: the settings cannot be used.
    """
    from websockets.asyncio.client import connect
    from websockets.typing import Origin, Subprotocol

    from chappe.client.peer import DeflateOffer, PeerConnection

    class ConnectWithoutRedirects(connect):
        """Refuses to be sent elsewhere: the token in the first message would go there too."""

        def process_redirect(self, exc: Exception) -> Exception:
            return exc

    # A query may have a ticket, and texts of errors end up in logs.
    shown = settings.url.partition("?")[0]
    limit_s = settings.open_timeout_s if timeout_s is None else timeout_s
    tls: dict[str, Any] = {} if settings.ssl is None else {"ssl": settings.ssl}
    with _failures_told(settings, shown, limit_s):
        websocket = await ConnectWithoutRedirects(
            settings.url,
            origin=None if settings.origin is None else Origin(settings.origin),
            subprotocols=[Subprotocol(name) for name in settings.subprotocols] or None,
            compression=None,
            extensions=None if settings.compression == "none" else [DeflateOffer()],
            create_connection=PeerConnection,
            additional_headers=dict(settings.headers),
            user_agent_header="chappe-python",
            proxy=settings.proxy,
            open_timeout=limit_s,
            # The lifeline pings by itself: it tells the latency and knows when we are the slow side.
            ping_interval=None,
            close_timeout=_CLOSE_TIMEOUT_S,
            max_size=settings.max_message_bytes,
            **tls,
        )
    return WebSocketConnection(websocket, shown)


@contextmanager
def _failures_told(settings: Settings, shown: str, limit_s: float) -> Iterator[None]:
    """Say in our words why a WebSocket did not open, and whether it ever will."""
    from websockets.exceptions import InvalidHandshake, InvalidProxy, InvalidProxyStatus, InvalidStatus, InvalidURI

    try:
        yield
    except InvalidStatus as refused:
        status, headers = refused.response.status_code, refused.response.headers
        reason = f"{shown} answers HTTP {status} to the WebSocket handshake"
        if status == 400 and b"speaks HTTPS" in (refused.response.body or b""):
            reason += ": it speaks HTTPS, use wss:// or https://"
        raise refusal(status, reason, headers.get("Retry-After", "")) from refused
    except InvalidProxyStatus as refused:
        status = refused.response.status_code
        raise refusal(status, f"cannot connect to {shown}{settings.through}: HTTP {status}") from refused
    except TimeoutError as late:
        raise over(CUT, f"{shown} does not answer within {limit_s:g} s", final=False) from late
    except (InvalidHandshake, EOFError) as broken:
        raise over(CUT, f"{shown} is no WebSocket: {broken}", final=False) from broken
    except ImportError as missing:
        raise unequipped(shown, missing) from missing
    except OSError as failed:
        raise unreachable(shown + settings.through, failed) from failed
    # Behind OSError: a refused certificate is both.
    except (InvalidURI, InvalidProxy, ValueError) as unusable:
        raise LocalProtocolError(f"cannot connect to {shown}: {unusable}") from unusable


def _advice_ms(reason: str) -> float:
    """Return what a hub that drains says in its close reason: when each client shall come back, so that not all do."""
    found = _ADVICE.search(reason)
    return float(found[1]) if found else 0.0
