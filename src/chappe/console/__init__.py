"""Serves the built console, the application pages and the JavaScript SDK (the files in `static`, built from web/).

May import transports, brokers, auth, telemetry, `chappe.hub` and below; not the API, which stands beside it.
"""

from chappe.console.pages import build_console

__all__ = ["build_console"]
