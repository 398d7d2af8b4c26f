"""Taking a connection from uvicorn once its response has begun, so that a stream costs what a WebSocket costs.

The app sends `http.response.start` and the first bytes of the body as any ASGI app does, so that all middleware had its
say, and then calls the extension `chappe.takeover`. The rest does not go through ASGI: no task, no queue, no message
for each event. Everything here that leans on uvicorn's insides is held by tests/transports/test_takeover.py, and its
minor version is pinned.
"""

import asyncio
import os
import socket
import sys
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from chappe.transports.sse_link import SseLink
from chappe.transports.sse_stream import Carrier

if TYPE_CHECKING:
    from chappe.hub.session import Session
    from chappe.transports.front_door import FrontDoor
    from chappe.transports.native import NativeLink

#: Where an app finds its takeover in `scope["extensions"]`.
EXTENSION: Final = "chappe.takeover"
#: How long middleware may hold the beginning of the body back, seconds; then the stream goes through it.
_BEGINNING_S: Final = 2.0
#: How long the client has to take the response head, seconds.
_HEAD_WRITTEN_S: Final = 10.0
#: A reader that is silently gone is given up after so many milliseconds without an acknowledgement: events have no
#: answer that could be missed, and TCP alone would try for a quarter of an hour.
_UNACKNOWLEDGED_MS: Final = 60_000


class Takeover:
    """The right to take one connection over, as long as it is nothing but the one request."""

    def __init__(self, door: "FrontDoor", cycle: RequestResponseCycle) -> None:
        """Watch what the app, with all middleware around it, makes of its response."""
        self._door = door
        self._cycle = cycle
        self._send = cycle.send
        self._began = asyncio.Event()
        self._first_body: bytes | None = None
        self._is_plain = False
        # uvicorn gives the app this attribute when the request's task begins, which is later in the loop.
        cycle.send = self._watched_send  # type: ignore[method-assign, assignment]

    async def __call__(self, beginning: bytes, address: str) -> Carrier | None:
        """Take the connection; its response head must be sent already, with these first bytes of the body.

        Returns:
            a link that writes chunks, entered in the lobby; or None: go on with ASGI messages. That is so for HTTP/1.0,
            TLS, a request with a body, one with another behind it, a response that is not chunked, and where middleware
            changes the body or holds it back.
        """
        cycle = self._cycle
        try:
            async with asyncio.timeout(_BEGINNING_S):
                await self._began.wait()
        except TimeoutError:
            return None
        if self._first_body != beginning or not self._is_plain or not self._is_free():
            return None
        transport = self._door.transport
        # The socket may be handed on only when nothing waits in user space: the head goes first.
        transport.set_write_buffer_limits(0)
        if transport.get_write_buffer_size():
            try:
                async with asyncio.timeout(_HEAD_WRITTEN_S):
                    await self._door.flow.drain()
            except TimeoutError:
                transport.abort()
                return None
        transport.set_write_buffer_limits()
        if not self._is_free() or transport.is_closing() or transport.get_write_buffer_size():
            return None
        try:
            link = stream_link(self._door)
        except OSError:
            return None
        # For uvicorn the client is gone: what middleware still sends, the end of the body above all, is nobody's.
        cycle.disconnected = True
        cycle.message_event.set()
        self._door.leave_uvicorn()
        self._door.lobby.enter(link, address)
        return link

    def lost(self) -> None:
        """Learn that the connection is gone. With requests pipelined behind, uvicorn tells only the last of them."""
        if not self._cycle.response_complete:
            self._cycle.disconnected = True
            self._cycle.message_event.set()

    @property
    def is_over(self) -> bool:
        """Whether its response is complete."""
        return self._cycle.response_complete

    def keep(self, session: "Session") -> None:
        """Let a stream that goes on with ASGI messages end with the server."""
        self._door.lobby.streams.add(session)

    def release(self, session: "Session") -> None:
        """Forget a stream that has ended, and cut the connection of a reader that did not take its end."""
        self._door.lobby.streams.discard(session)
        if not self._cycle.response_complete and not self._cycle.disconnected:
            # uvicorn would close when what is written has gone, which is never, and blame the app.
            self.lost()
            self._door.transport.abort()

    def _is_free(self) -> bool:
        """Whether the connection is at this response and at nothing else."""
        door, cycle = self._door, self._cycle
        return (
            door.cycle is cycle
            and not door.pipeline
            and not door.is_awaiting_head
            and door.scheme == "http"
            and cycle.scope["http_version"] == "1.1"
            and cycle.scope["method"] == "GET"
            and not cycle.more_body
            and cycle.chunked_encoding is True
            and not cycle.response_complete
            and not cycle.disconnected
        )

    async def _watched_send(self, message: MutableMapping[str, Any]) -> None:
        await self._send(message)  # type: ignore[arg-type]
        if message["type"] == "http.response.start":
            names = {name.lower() for name, _ in message.get("headers", ())}
            self._is_plain = message["status"] == 200 and b"content-encoding" not in names
        elif self._first_body is None:
            self._first_body = bytes(message.get("body", b""))
            self._began.set()


def offer_takeover(door: "FrontDoor") -> Takeover | None:
    """Let the app of the request that begins now take the connection over, if it looks like one for a stream."""
    cycle = door.cycle
    if cycle.scope["method"] != "GET" or not cycle.scope["path"].rstrip("/").endswith("/events"):
        return None
    takeover = Takeover(door, cycle)
    door.extend(EXTENSION, takeover)
    return takeover


def stream_link(door: "FrontDoor") -> "SseLink | NativeLink":
    """Return a link for the connection of a door that writes chunks, native where there is a reactor.

    Raises:
        OSError: there is no descriptor left; the connection is still the door's.
    """
    lobby, transport = door.lobby, door.transport
    connection = transport.get_extra_info("socket")
    # First of all: if it failed behind the hand-over, two would have the connection.
    give_up_early(connection)
    if lobby.reactor is None:
        portable = SseLink(lobby.commons)
        portable.attach(transport)
        transport.resume_reading()
        return portable
    from chappe.transports.native import SSE

    # The loop closes its own descriptor, without a word to the peer, since ours holds the connection.
    native = lobby.reactor.attach(os.dup(connection.fileno()), b"", SSE)
    transport.abort()
    return native


def give_up_early(connection: Any) -> None:
    """Let the kernel end a connection whose peer acknowledges nothing any more."""
    if sys.platform == "linux" and connection is not None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)
