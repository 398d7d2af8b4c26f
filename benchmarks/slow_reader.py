"""One reader of 1 KB/s among many: what the others notice, and what becomes of it."""

import contextlib
import re
import socket
import threading
import urllib.request
from collections.abc import Iterator

from chappe.bench.comparison import generator_core, load_for
from chappe.bench.load import Result, run
from chappe.bench.running import running
from chappe.bench.servers import Server

BYTES_PER_S = 1_024


def measure(server: Server, with_slow_reader: bool, **wanted: object) -> tuple[Result, int]:
    """Put an open loop to a fresh hub; return what the others saw, and how many were closed as slow consumers."""
    with running(server) as up, generator_core():
        headers = server.speech["fanout"]["headers"]
        with reading_slowly(up.port, headers) if with_slow_reader else contextlib.nullcontext():
            result = run(load_for(server, "fanout", up.port, up.pids, **wanted))
        return result, slow_consumers(up.port, headers)


@contextlib.contextmanager
def reading_slowly(port: int, headers: tuple[str, ...]) -> Iterator[None]:
    """Subscribe and read 1 KB/s until the block ends."""
    ended = threading.Event()
    with subscribed(port, headers) as sock:
        reading = threading.Thread(target=read_until, args=(sock, ended))
        reading.start()
        try:
            yield
        finally:
            ended.set()
            reading.join()


def subscribed(port: int, headers: tuple[str, ...]) -> socket.socket:
    """Return a connection that is subscribed to `bench`; its kernel buffer is small, as a phone's window is."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    sock.connect(("127.0.0.1", port))
    lines = [f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade"]
    lines += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13", *headers]
    command = b'{"type":"subscribe","id":1,"channel":"bench"}'
    sock.sendall("\r\n".join([*lines, "", ""]).encode() + bytes((0x81, 0x80 | len(command))) + bytes(4) + command)
    received = b""
    while b'"reply"' not in received:
        received += sock.recv(1_024)
    return sock


def read_until(sock: socket.socket, ended: threading.Event) -> None:
    """Read 1 KB every second."""
    with contextlib.suppress(OSError):
        while not ended.wait(1.0) and sock.recv(BYTES_PER_S):
            pass


def slow_consumers(port: int, headers: tuple[str, ...]) -> int:
    """Return what the hub counted."""
    named = dict(line.split(": ", 1) for line in headers)
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers=named)
    with urllib.request.urlopen(request) as answer:
        found = re.search(r"^chappe_link_slow_consumers_total (\d+)", answer.read().decode(), re.MULTILINE)
    assert found is not None, "the hub has no such counter"
    return int(found[1])
