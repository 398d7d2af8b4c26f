"""Servers for the load generator that do what a test wants, over real sockets."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from collections.abc import Callable, Iterator
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from chappe.bench.load import Load, Result, run

#: Short runs: what is shown is that things are counted, not how fast they are.
QUICK: dict[str, Any] = {"connections": 3, "seconds": 0.4, "warmup_s": 0.0, "settle_s": 0.05, "payload_bytes": 40}


@contextlib.contextmanager
def serving(handler: Callable[[ServerConnection], None], **options: Any) -> Iterator[int]:
    """Serve WebSockets with the `websockets` library, no relative of ours; yield the port."""

    def handle(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            handler(connection)

    options = {"compression": None, **options}
    with serve(handle, "127.0.0.1", 0, **options) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.socket.getsockname()[1]
        finally:
            server.shutdown()
            thread.join()


def measured(port: int, **wanted: Any) -> Result:
    """Run a short load."""
    return run(Load(port=port, **{**QUICK, **wanted}))


def echo(connection: ServerConnection) -> None:
    """Send everything back."""
    for message in connection:
        connection.send(message)


class Group:
    """Broadcast in a chosen way what any member sends; the members are given with the sender as the first."""

    def __init__(self, relay: Callable[[list[ServerConnection], Any], None]) -> None:
        self._relay = relay
        self._members: list[ServerConnection] = []
        self._lock = threading.Lock()

    def handle(self, connection: ServerConnection) -> None:
        """Serve one member."""
        with self._lock:
            self._members.append(connection)
        try:
            for message in connection:
                with self._lock:
                    others = [member for member in self._members if member is not connection]
                    self._relay([connection, *others], message)
        finally:
            with self._lock:
                self._members.remove(connection)


def to_all(members: list[ServerConnection], message: Any) -> None:
    """Deliver once to each that is still there."""
    for member in members:
        with contextlib.suppress(ConnectionClosed):
            member.send(message)


class StreamServer(socketserver.ThreadingTCPServer):
    """Speak just enough HTTP for Server-Sent Events: `GET /events` streams, any other path upgrades and relays."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _StreamHandler)
        self.streams: list[Any] = []


class _StreamHandler(socketserver.BaseRequestHandler):
    server: StreamServer

    def handle(self) -> None:
        head = self._head()
        if b"GET /events " in head:
            self.request.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n: open\n\n")
            self.server.streams.append(self.request)
            while self.request.recv(4096):
                pass
            return
        self.request.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        while len(frame := self.request.recv(4096)) > 6:
            mask, body = frame[2:6], frame[6 : 6 + (frame[1] & 127)]
            event = b"data: " + bytes(byte ^ mask[i % 4] for i, byte in enumerate(body)) + b"\n\n"
            for stream in self.server.streams:
                stream.sendall(event[:17])  # a stamp in two segments
                stream.sendall(event[17:])

    def _head(self) -> bytes:
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.request.recv(4096)
        return head
