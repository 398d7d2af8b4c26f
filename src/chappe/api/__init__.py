"""HTTP for backends and operators: publish, history, presence, connections, health, metrics; streams and polls.

May import transports, brokers, auth, telemetry, `chappe.hub` and below; not the console, which stands beside it.
"""

from chappe.api.context import ApiContext
from chappe.api.events import build_events
from chappe.api.gate import GateMiddleware
from chappe.api.pages import PageContext
from chappe.api.polling import build_polling
from chappe.api.routes import build_api

__all__ = ["ApiContext", "GateMiddleware", "PageContext", "build_api", "build_events", "build_polling"]
