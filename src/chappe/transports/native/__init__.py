"""The native data plane (Linux, plain TCP): sockets served in C, one Python call for each whole message.

Built where a C compiler is (`chappe doctor` tells); importing it where it is not raises ImportError. May import model
and wire, and what a link reports to.
"""

from chappe.transports.native._audience import NativeAudience
from chappe.transports.native._reactor import PACKETS, SSE, WEBSOCKET, NativeLink, Reactor

__all__ = ["PACKETS", "SSE", "WEBSOCKET", "NativeAudience", "NativeLink", "Reactor"]
