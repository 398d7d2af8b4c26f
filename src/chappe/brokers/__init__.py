"""Where publications are kept and how they spread; each module fulfils the Broker contract of `chappe.hub`.

May import `chappe.hub` and below; not transports, auth or client, which stand beside it.
"""
