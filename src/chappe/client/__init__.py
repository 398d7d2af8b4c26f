"""The Python client, and clients for any WebSocket server and for the classic protocol.

`connect` here is `chappe.connect`; the modules `blocking`, `websocket` and `classic` have one each. Of chappe this
package may import only `chappe.model`, `chappe.wire` and `chappe.protocols`: a program that connects loads no server
module, and importing it needs no socket, no thread and no `websockets` (Pyodide).
"""

from chappe.client.client import Client, History, Presence, PublishResult, connect
from chappe.client.errors import ClientClosed, ConnectionLost, QueueFull, TimedOut, Unconfirmed
from chappe.client.inbox import Join, Leave, Missed, PresenceState, Resubscribed
from chappe.client.lock import Lock
from chappe.client.messages import Publication
from chappe.client.session import SessionInfo
from chappe.client.subscription import Subscription
from chappe.model.member import Member
from chappe.model.position import Position

__all__ = [
    "Client",
    "ClientClosed",
    "ConnectionLost",
    "History",
    "Join",
    "Leave",
    "Lock",
    "Member",
    "Missed",
    "Position",
    "Presence",
    "PresenceState",
    "Publication",
    "PublishResult",
    "QueueFull",
    "Resubscribed",
    "SessionInfo",
    "Subscription",
    "TimedOut",
    "Unconfirmed",
    "connect",
]
