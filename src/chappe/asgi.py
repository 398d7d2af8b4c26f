"""The second front door: the hub as an ASGI app, for `chappe serve` (HTTP) and for other ASGI servers (all of it)."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any, TypeAlias

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute

from chappe.api import GateMiddleware
from chappe.api.gate import AsgiApp
from chappe.hub.hub import HubCore
from chappe.transports.admission import Admission
from chappe.transports.asgi_websocket import AsgiWebSockets, reject
from chappe.transports.endpoints import Endpoints
from chappe.transports.proxies import Proxies
from chappe.transports.upgrade import Gate, Rejected

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
        admission: Admission | None = None,
        is_stopped: Callable[[], bool] = lambda: False,
        direct: Mapping[str, AsgiApp] | None = None,
    ) -> None:
        """Put the app together; a hub for which `is_stopped` is true is not started by a request: 503.

        Args:
            direct: apps by path that check Host and Origin themselves, and are asked so often that routing would show.
        """
        self._direct = direct or {}
        self._http = GateMiddleware(Starlette(routes=list(routes)), gate, default_language)
        self._websockets = AsgiWebSockets(hub, endpoints, gate, proxies, admission, default_language)
        self._start = start
        self._stop = stop
        self._is_stopped = is_stopped

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if self._is_stopped():
            await _refuse(scope, receive, send)
            return
        await self._start()
        if scope["type"] == "websocket":
            await self._websockets(scope, receive, send)
        else:
            path, root = scope["path"], scope.get("root_path", "")
            app = self._direct.get(path.removeprefix(root) if root else path, self._http)
            await app(scope, receive, send)

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


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer for a hub that has stopped."""
    if scope["type"] == "websocket":
        await receive()
        await reject(scope, send, Rejected(503, "the hub has stopped"))
    else:
        await PlainTextResponse("the hub has stopped\n", 503)(scope, receive, send)
