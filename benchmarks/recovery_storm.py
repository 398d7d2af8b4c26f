"""Many clients that come back at once, each behind: how long until the last of them has all it missed."""

import contextlib
import json
import selectors
import socket
import time
from collections.abc import Iterator

from chappe.bench.comparison import generator_core
from chappe.bench.running import running
from chappe.bench.servers import Server

CHANNEL = "bench"
_MARK = b'"type":"publication"'
_TIMEOUT_S = 30.0


class Returning:
    """One connection, and how much of what it missed has come."""

    def __init__(self, port: int, headers: tuple[str, ...]) -> None:
        self.publications = 0
        self.recovered = False
        self._tail = b""
        self.sock = socket.create_connection(("127.0.0.1", port))
        lines = [f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade"]
        lines += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13", *headers]
        self.sock.sendall("\r\n".join([*lines, "", ""]).encode())
        self.say({"type": "connect", "id": 1})
        self.hear(b'"reply"')

    def say(self, command: dict[str, object]) -> None:
        """Send a command of less than 64 KiB."""
        text = json.dumps(command).encode()
        size = bytes((0x80 | len(text),)) if len(text) < 126 else b"\xfe" + len(text).to_bytes(2, "big")
        self.sock.sendall(b"\x81" + size + bytes(4) + text)

    def hear(self, wanted: bytes) -> bytes:
        """Read until this has come."""
        received = b""
        while wanted not in received:
            received += self.sock.recv(65_536)
        return received

    def read(self) -> None:
        """Count what has come; a publication's mark may come in two parts."""
        data = self._tail + self.sock.recv(1 << 20)
        self.publications += data.count(_MARK)
        self.recovered = self.recovered or b'"recovered":true' in data
        self._tail = data[-len(_MARK) + 1 :]


def measure(server: Server, clients: int, behind: int) -> float:
    """Return the seconds from the first `subscribe` to the last publication, on a fresh hub.

    Raises:
        TimeoutError: somebody did not get all of it in 30 s.
    """
    headers = server.speech["fanout"]["headers"]
    with running(server) as up, generator_core(), returning(up.port, headers, clients) as everybody:
        first = everybody[0]
        first.say({"type": "subscribe", "id": 2, "channel": CHANNEL})
        answer = first.hear(b"}")
        place = json.loads(answer[answer.index(b"{") :])
        for number in range(behind):
            first.say({"type": "publish", "id": number + 3, "channel": CHANNEL, "data": "x" * 100})
            first.hear(b'"reply"')
        first.say({"type": "unsubscribe", "id": 3, "channel": CHANNEL})
        first.hear(b'"id":3')
        since = {"epoch": place["epoch"], "offset": place["offset"]}
        began = time.perf_counter()
        for client in everybody[1:]:
            client.say({"type": "subscribe", "id": 2, "channel": CHANNEL, "since": since})
        await_all(everybody[1:], behind)
        return time.perf_counter() - began


def await_all(clients: list[Returning], behind: int) -> None:
    """Read until everybody has recovered all of it."""
    selector = selectors.DefaultSelector()
    for client in clients:
        selector.register(client.sock, selectors.EVENT_READ, client)
    deadline = time.monotonic() + _TIMEOUT_S
    left = len(clients)
    while left:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{left} of {len(clients)} clients did not get all of {behind} publications")
        for key, _ in selector.select(1.0):
            client = key.data
            client.read()
            if client.publications >= behind:
                assert client.recovered, "not recovered"
                selector.unregister(client.sock)
                left -= 1
    selector.close()


@contextlib.contextmanager
def returning(port: int, headers: tuple[str, ...], count: int) -> Iterator[list[Returning]]:
    """Connect one more than so many clients, the first of which publishes; close them with the block."""
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(count + 1):
            clients.append(Returning(port, headers))
            stack.callback(clients[-1].sock.close)
        yield clients
