"""The second front door: the hub as an ASGI app, for `chappe serve` (HTTP) and for other ASGI servers (all of it)."""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, TypeAlias

from starlette.applications import Starlette
from starlette.routing import BaseRoute

from chappe.api import GateMiddleware
from chappe.hub.hub import HubCore
from chappe.transports.asgi_websocket import AsgiWebSockets
from chappe.transports.endpoints import Endpoints
from chappe.transports.proxies import Proxies
from chappe.transports.upgrade import Gate

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class HubApp:
    """An ASGI app over one hub: HTTP by Starlette's routes, WebSocket straight to the hub.

    Mounted under a path it serves everything below that path. A mounted app gets no lifespan (Starlette): the hub
    starts at its first request, or with the `lifespan=hub.lifespan` of the outer app, which also drains it.
    """

    def __init__(
        self,
        hub: HubCore,
        endpoints: Endpoints,
        gate: Gate,
        routes: Sequence[BaseRoute],
        start: Callable[[], Awaitable[None]],
        stop: Callable[[], Awaitable[None]],
        default_language: str = "en",
        proxies: Proxies | None = None,
    ) -> None:
        self._http = GateMiddleware(Starlette(routes=list(routes)), gate, default_language)
        self._websockets = AsgiWebSockets(hub, endpoints, gate, proxies)
        self._start = start
        self._stop = stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        await self._start()
        if scope["type"] == "websocket":
            await self._websockets(scope, receive, send)
        else:
            await self._http(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._start()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._stop()
        await send({"type": "lifespan.shutdown.complete"})
