"""Streams of events over ASGI messages: under other servers, and where the connection cannot be taken over."""

import asyncio
from typing import Any

from chappe.model.frame import Frame
from chappe.model.limits import Limits
from chappe.transports.asgi_link import AsgiLink, Receive, Send
from chappe.wire.sse import COMMENT


class AsgiStreamLink(AsgiLink):
    """A stream whose events are parts of an ASGI response body; its server writes the chunks."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self.idle_s = limits.sse_heartbeat_s or None

    def pause(self) -> None:
        """Nothing is read from a reader."""

    def resume(self) -> None:
        """Nothing is read from a reader."""

    def limit(self, frame_bytes: int) -> None:
        """Nothing is read from a reader."""

    def message_of(self, frame: Frame) -> dict[str, Any]:
        """Return a part of the body."""
        return {"type": "http.response.body", "body": frame.payload, "more_body": True}

    def last_message(self, code: int, reason: str) -> dict[str, Any]:
        """Return the end of the body."""
        return {"type": "http.response.body", "body": b"", "more_body": False}

    def idle_message(self) -> dict[str, Any]:
        """Return a heartbeat."""
        return {"type": "http.response.body", "body": COMMENT, "more_body": True}


async def until_disconnect(receive: Receive) -> None:
    """Return when the client is gone; what it sends is passed over."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def stream_body(link: AsgiStreamLink, receive: Receive, send: Send) -> None:
    """Send what a link has until either side ends."""
    writer = link.start(send)
    leaving = asyncio.ensure_future(until_disconnect(receive))
    try:
        await asyncio.wait({writer, leaving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        await link.detach(1006)
