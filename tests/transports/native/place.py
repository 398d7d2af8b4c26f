"""A reactor on the running loop, with socket pairs for connections: no hub, no HTTP."""

import asyncio
import contextlib
import re
import select
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from chappe.model.frame import Frame
from chappe.model.limits import Limits
from chappe.transports.native import WEBSOCKET, NativeLink, Reactor
from chappe.transports.portable import LinkCounters
from chappe.wire.websocket import encode_frame


class Listener:
    """A receiver that keeps what it hears."""

    def __init__(self, on_message: Callable[[bytes], None] | None = None) -> None:
        self.heard: list[bytes] = []
        self.dropped_counts: dict[str, int] = {}
        self.lost_with: list[int] = []
        self._on_message = on_message

    def receive(self, payload: bytes, text: bool) -> None:
        self.heard.append(payload)
        if self._on_message is not None:
            self._on_message(payload)

    def lost(self, code: int) -> None:
        self.lost_with.append(code)

    def dropped(self, channel: str, count: int) -> None:
        self.dropped_counts[channel] = self.dropped_counts.get(channel, 0) + count


class Place:
    """What a server would have, without a server."""

    def __init__(self, limits: Limits, batch_window_s: float, deflated: Callable[..., bytes] | None = None) -> None:
        self.counters = LinkCounters()
        self.gone: list[NativeLink] = []
        self.endings: list[tuple[NativeLink, float]] = []
        self.sockets: list[socket.socket] = []
        self.reactor = Reactor(
            asyncio.get_running_loop(),
            limits,
            self.counters,
            self.gone.append,
            lambda link, seconds: self.endings.append((link, seconds)),
            5.0,
            deflated,
            batch_window_s,
        )

    def connect(
        self,
        receiver: Any = None,
        carrier: int = WEBSOCKET,
        buffer_bytes: int = 0,
        inflate: Callable[[bytes, int], bytes] | None = None,
    ) -> tuple[NativeLink, socket.socket]:
        """Return a link that has begun, and its peer's end."""
        ours, theirs = socket.socketpair()
        if buffer_bytes:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
        theirs.setblocking(False)
        self.sockets.append(theirs)
        link = self.reactor.attach(ours.detach(), b"", carrier, inflate)
        link.begin(Listener() if receiver is None else receiver)
        return link, theirs

    def serve(self, turns: int = 1_000) -> None:
        """Let the reactor work until nothing is ready, without letting the loop turn."""
        for _ in range(turns):
            self.reactor.process()
            if not select.select([self.reactor.epfd], [], [], 0)[0] and not self.reactor.has_more():
                return

    def watched(self) -> dict[int, int]:
        """Return what the kernel watches: events by descriptor."""
        text = Path(f"/proc/self/fdinfo/{self.reactor.epfd}").read_text()
        return {int(fd): int(events, 16) for fd, events in re.findall(r"tfd:\s*(\d+)\s+events:\s*([0-9a-f]+)", text)}


@contextlib.contextmanager
def a_place(
    limits: Limits | None = None, batch_window_s: float = 0.0, deflated: Callable[..., bytes] | None = None
) -> Iterator[Place]:
    """Make a place for the length of a block."""
    place = Place(limits or Limits(), batch_window_s, deflated)
    try:
        yield place
    finally:
        place.reactor.close()
        for theirs in place.sockets:
            theirs.close()


def masked(payload: bytes, first: int = 0x82) -> bytes:
    """Return a client's frame, with a mask of zeros."""
    size = len(payload)
    if size < 126:
        return bytes((first, 0x80 | size)) + bytes(4) + payload
    if size < 65_536:
        return bytes((first, 0xFE)) + size.to_bytes(2) + bytes(4) + payload
    return bytes((first, 0xFF)) + size.to_bytes(8) + bytes(4) + payload


def frame(payload: bytes, channel: str | None = None) -> Frame:
    """Return a binary frame."""
    return Frame(payload, False, channel)


def on_the_wire(*payloads: bytes) -> bytes:
    """Return binary messages as a server sends them."""
    return b"".join(encode_frame(payload, False) for payload in payloads)


def read_all(sock: socket.socket) -> bytes:
    """Return what is there to read now."""
    received = bytearray()
    with contextlib.suppress(BlockingIOError, ConnectionResetError):
        while piece := sock.recv(1_048_576):
            received += piece
    return bytes(received)


def is_ended(sock: socket.socket) -> bool:
    """Tell whether the other side has ended the connection, everything before it read."""
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
