"""Servers for the load generator that do what a test wants, over real sockets."""

from __future__ import annotations

import contextlib
import queue
import re
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
        # Who is told that its stream is open gets whatever is sent from then on.
        self.lock = threading.Lock()


class _StreamHandler(socketserver.BaseRequestHandler):
    server: StreamServer

    def handle(self) -> None:
        head = self._head()
        if b"GET /events " in head:
            with self.server.lock:
                self.request.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n: open\n\n")
                self.server.streams.append(self.request)
            while self.request.recv(4096):
                pass
            return
        self.request.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        while len(frame := self.request.recv(4096)) > 6:
            mask, body = frame[2:6], frame[6 : 6 + (frame[1] & 127)]
            event = b"data: " + bytes(byte ^ mask[i % 4] for i, byte in enumerate(body)) + b"\n\n"
            with self.server.lock:
                for stream in self.server.streams:
                    stream.sendall(event[:17])  # a stamp in two segments
                    stream.sendall(event[17:])

    def _head(self) -> bytes:
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.request.recv(4096)
        return head


class PollServer(socketserver.ThreadingTCPServer):
    """Speak just enough HTTP for long polls: `GET /poll`, `POST /send`; any other path upgrades and relays.

    Attributes:
        meddle: changes what the nth answer of all tells, and may change its session.
        posted: bodies of POSTs.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, meddle: Callable[[int, str, list[str]], tuple[str, list[str]]] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _PollHandler)
        self.meddle = meddle or (lambda _, session, told: (session, told))
        self.posted: list[bytes] = []
        self.boxes: dict[str, queue.Queue[str]] = {}
        self.answered = 0
        self.lock = threading.Lock()


class _PollHandler(socketserver.StreamRequestHandler):
    server: PollServer
    disable_nagle_algorithm = True

    def handle(self) -> None:
        while head := self._head():
            if head.startswith(b"POST"):
                self.server.posted.append(self._body(head))
                self._answer(b'{"messages":[{"type":"reply"}]}')
            elif session := re.search(rb"session=(\w+)&cursor=(\d+)", head):
                self._poll(session[1].decode(), int(session[2]))
            elif head.startswith(b"GET /poll "):
                session_name = f"s{self.client_address[1]}"
                self.server.boxes[session_name] = queue.Queue()
                self._answer(b'{"session":"%b","cursor":"0","messages":[]}' % session_name.encode())
            else:
                self._relay()

    def _poll(self, session: str, cursor: int) -> None:
        box = self.server.boxes[session]
        try:
            told = [box.get(timeout=0.1)]
        except queue.Empty:
            self._send(b"HTTP/1.1 204 No Content\r\n\r\n")
            return
        while not box.empty():
            told.append(box.get())
        with self.server.lock:
            self.server.answered += 1
            session, told = self.server.meddle(self.server.answered, session, told)
        messages = ",".join(f'"{text}"' for text in told)
        self._answer(f'{{"session":"{session}","cursor":"{cursor + 1}","messages":[{messages}]}}'.encode())

    def _answer(self, body: bytes) -> None:
        answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
            len(body),
            body,
        )
        self._send(answer[:30])  # in two segments
        self._send(answer[30:])

    def _send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self.wfile.write(data)

    def _relay(self) -> None:
        self._send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        while len(frame := self.rfile.read(2)) == 2:
            mask, body = self.rfile.read(4), self.rfile.read(frame[1] & 127)
            text = bytes(byte ^ mask[i % 4] for i, byte in enumerate(body)).decode()
            for box in self.server.boxes.values():
                box.put(text)

    def _head(self) -> bytes:
        head = b""
        while (line := self.rfile.readline()) not in (b"\r\n", b""):
            head += line
        return head

    def _body(self, head: bytes) -> bytes:
        return self.rfile.read(int(head.partition(b"Content-Length: ")[2].partition(b"\r")[0]))
