"""The routes of the HTTP API."""

from typing import Final

import msgspec
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from chappe.api import bridges, calling, inspecting, publishing, reading, sessions, tickets
from chappe.api.batching import batch_of
from chappe.api.context import ApiContext
from chappe.api.endpoint import CommandEndpoint, Endpoint, Service, UnknownEndpoint
from chappe.api.heads import Receive, Scope
from chappe.api.openapi import openapi_document
from chappe.api.operation import HealthEndpoint, MetricsEndpoint, ReadyEndpoint, VersionEndpoint
from chappe.api.pages import PageContext
from chappe.transports.upgrade import Request

#: Every command but the batch of them.
COMMANDS: Final = (
    *publishing.COMMANDS,
    *reading.COMMANDS,
    *inspecting.COMMANDS,
    *bridges.COMMANDS,
    *sessions.COMMANDS,
    *calling.COMMANDS,
    tickets.COMMAND,
)
BATCH: Final = batch_of(COMMANDS)


class OpenApiEndpoint(Endpoint):
    """The document of this API; it tells nothing about this hub."""

    methods = ("GET", "HEAD")

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._document = msgspec.json.encode(openapi_document((*COMMANDS, BATCH)))

    async def respond(self, head: Request, scope: Scope, receive: Receive, language: str) -> Response:
        """Give it."""
        return Response(self._document, headers={"X-Content-Type-Options": "nosniff"}, media_type="application/json")


def build_api(context: ApiContext, page: PageContext) -> list[BaseRoute]:
    """Return the routes of `/api`, operation and the OpenAPI document.

    They know nothing of Host and Origin: put them behind a `GateMiddleware`.
    """
    service = Service(context)
    commands = (*COMMANDS, BATCH)
    endpoints: dict[str, Endpoint] = {f"/api/{command.name}": CommandEndpoint(service, command) for command in commands}
    endpoints[f"/api/{tickets.COMMAND.name}"] = tickets.TicketEndpoint(service, page)
    endpoints["/healthz"] = HealthEndpoint(service)
    endpoints["/readyz"] = ReadyEndpoint(service)
    endpoints["/metrics"] = MetricsEndpoint(service)
    endpoints["/version"] = VersionEndpoint(service)
    endpoints["/openapi.json"] = OpenApiEndpoint(service)
    endpoints["/api/{rest:path}"] = UnknownEndpoint(service, sorted(command.name for command in commands))
    return [Route(path, endpoint) for path, endpoint in endpoints.items()]
