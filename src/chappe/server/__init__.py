"""The process: listen, drain, stop, watch the event loop.

May import `chappe.asgi`, `chappe.config` and below; not the public app, the applications or the command line.
"""
