"""Server-Sent Events: chappe.v1 publications as events, with cursors to come back to."""

from chappe.protocols.sse.cursor import Cursor, cursor_of, key_of, parse_cursor, place_in
from chappe.protocols.sse.encoder import (
    EventEncoder,
    EventFrame,
    MessageFrame,
    RawEventEncoder,
    end_event,
    is_place,
    name_of,
)
from chappe.protocols.sse.event_text import event, field
from chappe.protocols.sse.protocol import SseProtocol

__all__ = [
    "Cursor",
    "EventEncoder",
    "EventFrame",
    "MessageFrame",
    "RawEventEncoder",
    "SseProtocol",
    "cursor_of",
    "end_event",
    "event",
    "field",
    "is_place",
    "key_of",
    "name_of",
    "parse_cursor",
    "place_in",
]
