"""Dials a connection by the transport asked for."""

from chappe.client.connection import Connection
from chappe.client.options import Settings
from chappe.client.route import Step


async def dial(settings: Settings, step: Step) -> Connection:
    """Open a connection within the time of its step.

    Raises:
        ConnectionLost: it did not open; `final` says whether trying again is pointless, `other_way` whether another
            transport may get through.
        LocalProtocolError: the settings cannot be used.
    """
    # Each is imported where it is used: who connects by WebSocket loads no HTTP client.
    match step.transport:
        case "websocket":
            from chappe.client import websocket_transport

            return await websocket_transport.dial(settings, step.timeout_s)
        case "sse":
            from chappe.client import event_stream

            return await event_stream.dial(settings, step.timeout_s)
        case "polling":
            from chappe.client import polling

            return await polling.dial(settings, step.timeout_s)
