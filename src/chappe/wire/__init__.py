"""Carrier framing without I/O: bytes in, frames out, and back (WebSocket, Server-Sent Events).

May import `chappe.model`, and the sans-I/O modules of `websockets`. No I/O, no await, no clock, no randomness.
"""
