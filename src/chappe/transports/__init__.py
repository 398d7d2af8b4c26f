"""The asyncio edge: one file for each carrier, which moves bytes between sockets and the hub.

May import `chappe.hub` and below; not brokers, auth or client, which stand beside it.
"""
