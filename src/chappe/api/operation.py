"""`/healthz`, `/readyz`, `/metrics`, `/version`: for load balancers, supervisors and monitoring."""

import asyncio
from typing import Annotated

import msgspec
from starlette.responses import Response

from chappe.api.commands import EITHER, Told
from chappe.api.endpoint import Endpoint, Service, json_response
from chappe.api.heads import Receive, Scope
from chappe.api.metrics import MEDIA_TYPE, metrics_page
from chappe.api.probe import Probe
from chappe.hub.bridges import BridgeState
from chappe.hub.permissions import Action
from chappe.transports.upgrade import Request

_READING = ("GET", "HEAD")


class Health(Told, frozen=True, kw_only=True):
    """The process answers."""

    status: str


class Readiness(Told, frozen=True, kw_only=True):
    """Whether this node should get requests, and if not, why."""

    ready: bool
    reasons: Annotated[dict[str, str], msgspec.Meta(description='By part, such as `{"broker": "does not store"}`.')]
    bridges: Annotated[
        dict[str, BridgeState] | msgspec.UnsetType,
        msgspec.Meta(description="By name, if there are any. A bridge without a connection makes no hub unready."),
    ] = msgspec.UNSET


class Version(Told, frozen=True, kw_only=True):
    """Which hub this is."""

    name: str
    version: str
    node: str


class HealthEndpoint(Endpoint):
    """Alive: the event loop turns. Nothing else is asked, so that a broker's trouble restarts no hub."""

    methods = _READING

    async def respond(self, head: Request, scope: Scope, receive: Receive, language: str) -> Response:
        """Answer."""
        return json_response(Health(status="ok"))


class ReadyEndpoint(Endpoint):
    """Ready: not draining, and the broker proves that it stores; 503 otherwise."""

    methods = _READING

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._probe: Probe | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def respond(self, head: Request, scope: Scope, receive: Receive, language: str) -> Response:
        """Ask the parts above and the broker."""
        reasons = dict(self.service.context.readiness())
        if not reasons:
            problem = await self._prober().problem()
            if problem:
                reasons["broker"] = problem
        bridges = {status.name: status.state for status in (each.status() for each in self.service.hub.bridges)}
        answer = Readiness(ready=not reasons, reasons=reasons, bridges=bridges or msgspec.UNSET)
        response = json_response(answer)
        response.status_code = 503 if reasons else 200
        return response

    def _prober(self) -> Probe:
        # A hub that is started again on another loop (tests, reloaders) needs a lock of that loop.
        loop = asyncio.get_running_loop()
        if self._probe is None or self._loop is not loop:
            self._probe, self._loop = Probe(self.service.hub), loop
        return self._probe


class MetricsEndpoint(Endpoint):
    """Counters for monitoring; asks for the scope `api` or `operator`, since numbers tell about users too."""

    methods = _READING

    async def respond(self, head: Request, scope: Scope, receive: Receive, language: str) -> Response:
        """Write the page."""
        caller = await self.service.credentials.identify(head)
        self.service.hub.permissions.authorize(caller.actor(EITHER), Action.INSPECT, "metrics")
        page = metrics_page(self.service.hub, self.service.context.metrics())
        return Response(page, headers={"Cache-Control": "no-store"}, media_type=MEDIA_TYPE)


class VersionEndpoint(Endpoint):
    """Which version runs here."""

    methods = _READING

    async def respond(self, head: Request, scope: Scope, receive: Receive, language: str) -> Response:
        """Answer."""
        context = self.service.context
        return json_response(Version(name="chappe", version=context.version, node=context.node))
