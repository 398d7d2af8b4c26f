"""The Python client, and clients for any WebSocket server and for the classic protocol.

Of chappe it may import only `chappe.model`, `chappe.wire` and `chappe.protocols`: a program that connects loads no
server module.
"""
