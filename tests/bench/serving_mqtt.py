"""A broker for the load generator that does what a test wants: just enough of MQTT 3.1.1."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import socketserver
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

CONNACK, SUBACK, PINGRESP = b"\x20\x02\x00\x00", b"\x90\x03\x00\x01\x00", b"\xd0\x00"


@dataclasses.dataclass
class Manners:
    """Say what the broker does; numbers count all messages of all clients from 1.

    Attributes:
        copies: how often the nth message is sent to the mth subscriber of its topic.
        puback: what is sent for the nth message, whose id is given as two bytes.
    """

    connack: bytes = CONNACK
    suback: bytes = SUBACK
    pingresp: bytes = PINGRESP
    copies: Callable[[int, int], int] = lambda number, subscriber: 1
    puback: Callable[[int, bytes], bytes] = lambda number, packet_id: b"\x40\x02" + packet_id
    goodbye: Callable[[int], bytes] = lambda number: b""


class Broker(socketserver.ThreadingTCPServer):
    """Serve with these manners; `connects` are the bodies of the CONNECTs that came."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, manners: Manners) -> None:
        super().__init__(("127.0.0.1", 0), _Client)
        self.manners = manners
        self.connects: list[bytes] = []
        self.acknowledged = 0
        self.messages = 0
        self.subscribers: defaultdict[bytes, list[_Client]] = defaultdict(list)
        self.lock = threading.Lock()


class _Client(socketserver.StreamRequestHandler):
    server: Broker
    disable_nagle_algorithm = True

    def handle(self) -> None:
        manners = self.server.manners
        while packet := self._packet():
            first, body = packet
            if first == 0x10:
                self.server.connects.append(body)
                self.send(manners.connack)
            elif first == 0x82:
                size = int.from_bytes(body[2:4], "big")
                self.server.subscribers[body[4 : 4 + size]].append(self)
                self.send(manners.suback)
            elif first == 0xC0:
                self.send(manners.pingresp)
            elif first == 0x40:
                self.server.acknowledged += 1
            elif first >> 4 == 3:
                self._publish(first, body)

    def send(self, data: bytes) -> None:
        """Send in two segments: a packet need not come in one."""
        with contextlib.suppress(OSError):
            self.wfile.write(data[:3])
            self.wfile.write(data[3:])

    def _publish(self, first: int, body: bytes) -> None:
        server, manners = self.server, self.server.manners
        size = int.from_bytes(body[:2], "big")
        with server.lock:
            server.messages += 1
            number = server.messages
            for index, subscriber in enumerate(server.subscribers[body[2 : 2 + size]]):
                for _ in range(manners.copies(number, index)):
                    subscriber.send(bytes((first,)) + length_of(body) + body)
            if first & 2:
                self.send(manners.puback(number, body[2 + size : 4 + size]))
            if goodbye := manners.goodbye(number):
                self.send(goodbye)
                self.connection.shutdown(socket.SHUT_RDWR)

    def _packet(self) -> tuple[int, bytes] | None:
        try:
            head = self.rfile.read(1)
            size, shift = 0, 0
            while head:
                byte = self.rfile.read(1)[0]
                size |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    return head[0], self.rfile.read(size)
        except (OSError, ValueError):
            return None
        return None


def length_of(body: bytes) -> bytes:
    """Return the length of a body as a packet says it."""
    size, out = len(body), b""
    while size > 127:
        out += bytes((size & 127 | 128,))
        size >>= 7
    return out + bytes((size,))


@contextlib.contextmanager
def brokering(**manners: Any) -> Iterator[Broker]:
    """Run a broker while the block lasts."""
    with Broker(Manners(**manners)) as broker:
        thread = threading.Thread(target=broker.serve_forever)
        thread.start()
        try:
            yield broker
        finally:
            broker.shutdown()
            thread.join()
