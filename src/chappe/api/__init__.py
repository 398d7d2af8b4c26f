"""HTTP for backends and operators: publish, history, presence, connections, health, metrics, OpenAPI.

May import transports, brokers, auth, telemetry, `chappe.hub` and below; not the console, which stands beside it.
"""

from chappe.api.context import ApiContext
from chappe.api.gate import GateMiddleware
from chappe.api.routes import build_api

__all__ = ["ApiContext", "GateMiddleware", "build_api"]
