"""A client of chappe.v1 that costs little: it subscribes to one channel, resumes after each cut and writes a journal.

It is written from spec/protocol.md (CH, WS) and shares nothing with the SDK, so that thousands fit on a core.
"""

import asyncio
import errno
import random
import socket
import time
from typing import Final, cast

import msgspec

from chappe.client.reconnection import ReconnectionPolicy
from chappe.testing.checker import payload_hash
from chappe.testing.checker.journal import Closed, Event, Place, Seen, Subscribed

_HANDSHAKE: Final = (
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Protocol: chappe.v1\r\n\r\n"
)
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10
#: Dials again at once: whoever cuts it decides how long it is away.
AT_ONCE: Final = ReconnectionPolicy(interval_ms=50, max_ms=50, jitter="none")
#: A hub that starts, or has enough to do, is asked again.
_BUSY: Final = (b"HTTP/1.1 429 ", b"HTTP/1.1 503 ")


class _Message(msgspec.Struct):
    type: str
    epoch: str = ""
    offset: int = 0
    data: str = ""
    recovered: bool = False
    reason: str = ""


_DECODER: Final = msgspec.json.Decoder(_Message)


class LightClient:
    """One subscriber of one channel, whose publications are text.

    Attributes:
        complete: set when as many publications have come as are expected.
        failure: what the hub refused, if it did.
    """

    def __init__(
        self,
        port: int,
        channel: str,
        name: str,
        journal: list[Event],
        expected: int,
        *,
        policy: ReconnectionPolicy = AT_ONCE,
        source: str = "127.0.0.1",
    ) -> None:
        """Take where to go and what to expect; `source` is the address that it comes from."""
        self.complete = asyncio.Event()
        self.failure = ""
        self._port = port
        self._channel = channel
        self._name = name
        self._journal = journal
        self._missing = expected
        self._policy = policy
        self._source = source
        self._attempt = 0
        self._transport: asyncio.Transport | None = None
        self._place: Place | None = None
        self._subscribed = asyncio.Event()
        self._living: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin, and return once subscribed.

        Raises:
            RuntimeError: the hub refused; the text has its words.
        """
        self._living = asyncio.create_task(self._live())
        subscribed = asyncio.create_task(self._subscribed.wait())
        await asyncio.wait((self._living, subscribed), return_when=asyncio.FIRST_COMPLETED)
        subscribed.cancel()
        if self._living.done():
            await self._living

    async def stop(self) -> None:
        """End the connection for good."""
        if self._living is not None:
            self._living.cancel()
            await asyncio.gather(self._living, return_exceptions=True)

    def drop(self) -> None:
        """Cut the connection of the moment, if there is one, without a word."""
        if self._transport is not None:
            self._transport.abort()

    async def _live(self) -> None:
        loop = asyncio.get_running_loop()
        while not self.failure:
            connection = _Socket(self)
            dialed = await self._dial(loop)
            if dialed is not None:
                transport, _ = await loop.create_connection(connection.itself, sock=dialed)
                self._transport = transport
                try:
                    await connection.lost.wait()
                finally:
                    transport.abort()
            self._attempt += 1
            await asyncio.sleep(self._policy.delay_ms(self._attempt, random.random()) / 1_000)
        raise RuntimeError(f"{self._name} was refused: {self.failure}")

    async def _dial(self, loop: asyncio.AbstractEventLoop) -> socket.socket | None:
        """Return a connected socket or None: that nobody listens, loopback says at once, and it costs little."""
        dialing = socket.socket()
        dialing.setblocking(False)
        try:
            dialing.bind((self._source, 0))
            refused = dialing.connect_ex(("127.0.0.1", self._port))
            if refused == errno.EINPROGRESS:
                await loop.sock_connect(dialing, ("127.0.0.1", self._port))
            elif refused:
                dialing.close()
                return None
        except BaseException as error:
            dialing.close()
            if isinstance(error, OSError):
                return None
            raise
        return dialing

    def command(self) -> bytes:
        """Return the subscription, from the last publication on if there was one."""
        command: dict[str, object] = {"type": "subscribe", "id": 1, "channel": self._channel}
        if self._place is not None:
            command["since"] = {"epoch": self._place.epoch, "offset": self._place.offset}
        return msgspec.json.encode(command)

    def take(self, text: bytes) -> None:
        """Take a message of the hub."""
        message = _DECODER.decode(text)
        if message.type == "publication":
            self._see(message)
        elif message.type == "reply":
            self._journal.append(
                Subscribed(
                    channel=self._channel,
                    time=time.time(),
                    subscriber=self._name,
                    epoch=message.epoch,
                    offset=message.offset,
                    since=self._place,
                    recovered=message.recovered,
                )
            )
            if not message.recovered:
                self._place = Place(message.epoch, message.offset)
            self._attempt = 0
            self._subscribed.set()
        elif message.type == "error":
            self.failure = message.reason

    def _see(self, message: _Message) -> None:
        self._missing -= 1
        if not self._missing:
            self.complete.set()
        self._place = Place(message.epoch, message.offset)
        self._journal.append(
            Seen(
                channel=self._channel,
                time=time.time(),
                subscriber=self._name,
                epoch=message.epoch,
                offset=message.offset,
                hash=payload_hash(message.data.encode()),
            )
        )

    def cut(self) -> None:
        """Learn that the connection has ended."""
        self._journal.append(Closed(channel=self._channel, time=time.time(), subscriber=self._name))


class _Socket(asyncio.Protocol):
    """One connection."""

    def __init__(self, client: LightClient) -> None:
        self.lost = asyncio.Event()
        self._client = client
        self._buffer = bytearray()
        self._open = False
        self._transport: asyncio.Transport | None = None

    def itself(self) -> "_Socket":
        """Return this; it is its own factory."""
        return self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are none by class.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(_HANDSHAKE)

    def connection_lost(self, error: Exception | None) -> None:
        if self._open:
            self._client.cut()
        self.lost.set()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._open:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            if not self._buffer.startswith(b"HTTP/1.1 101 "):
                if not self._buffer.startswith(_BUSY):
                    self._client.failure = self._buffer[:end].decode("latin-1")
                self._end()
                return
            del self._buffer[: end + 4]
            self._open = True
            self._send(_TEXT, self._client.command())
        while self._open and (frame := self._frame()) is not None:
            opcode, payload = frame
            if opcode == _TEXT:
                self._client.take(payload)
            elif opcode == _PING:
                self._send(_PONG, payload)
            elif opcode == _CLOSE:
                self._end()

    def _frame(self) -> tuple[int, bytes] | None:
        """Take a whole frame off the buffer: a hub masks none and fragments none."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        length, begin = buffer[1], 2
        if length >= 126:
            begin += 2 if length == 126 else 8
            length = int.from_bytes(buffer[2:begin], "big")
        if len(buffer) < begin + length:
            return None
        frame = buffer[0] & 0x0F, bytes(buffer[begin : begin + length])
        del buffer[: begin + length]
        return frame

    def _send(self, opcode: int, payload: bytes) -> None:
        """Send a short frame under the mask 0, which leaves the bytes as they are."""
        assert self._transport is not None
        assert len(payload) < 65_536
        size = bytes((0x80 | len(payload),)) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
        self._transport.write(bytes((0x80 | opcode,)) + size + bytes(4) + payload)

    def _end(self) -> None:
        assert self._transport is not None
        self._transport.abort()
