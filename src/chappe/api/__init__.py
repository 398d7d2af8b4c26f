"""HTTP for backends and operators: publish, history, presence, connections, health, metrics, OpenAPI.

May import transports, brokers, auth, telemetry, `chappe.hub` and below; not the console, which stands beside it.
"""
