"""HTTP for backends and operators: publish, history, presence, connections, health, metrics, OpenAPI; and streams.

May import transports, brokers, auth, telemetry, `chappe.hub` and below; not the console, which stands beside it.
"""

from chappe.api.context import ApiContext
from chappe.api.events import EventsContext, build_events
from chappe.api.gate import GateMiddleware
from chappe.api.routes import build_api

__all__ = ["ApiContext", "EventsContext", "GateMiddleware", "build_api", "build_events"]
