"""Run as a program: one attack on a hub, from an address of its own, until standard input ends.

`python -m tests.programmes.attacking NAME PORT CONNECTIONS` prints 0 when it begins, in the end how often it struck.
"""

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Final

import uvloop
from websockets.frames import Opcode

from chappe.wire.deflate import compress
from tests.hostile.test_compression import BOMB, OFFER, marked
from tests.hostile.test_frames import masked
from tests.hostile.test_handshakes import upgrade

#: All loopback addresses are this machine's; the hub takes this one for another.
ADDRESS: Final = "127.0.0.3"
_SEND_BUFFER_BYTES: Final = 65_536
#: Between two bytes of who drips.
_DRIP_S: Final = 0.2
#: Between two attempts of one connection that was refused: a hub that cuts at once is not worth more.
_PAUSE_S: Final = 0.02


class Attacker:
    """One hostile client after the other, on one connection at a time.

    Attributes:
        strikes: bytes dripped, messages sent and connections opened, whatever the attack consists of.
    """

    def __init__(self, port: int) -> None:
        self.strikes = 0
        self._port = port

    async def open(self, *fields: str, path: str = "/ws") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a WebSocket; what the hub says from then on is not read."""
        reader, writer = await self.connect()
        writer.write(upgrade(path, *fields).replace(b"PORT", str(self._port).encode()))
        await reader.readuntil(b"\r\n\r\n")
        return reader, writer

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a TCP connection."""
        self.strikes += 1
        sock = socket.socket()
        sock.setblocking(False)
        # What our own kernel keeps for us is no harm to the hub, and much work for this machine.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        sock.bind((ADDRESS, 0))
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self._port))
            return await asyncio.open_connection(sock=sock)
        except BaseException:
            sock.close()
            raise

    async def drip(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        """Send byte by byte."""
        for byte in data:
            self.strikes += 1
            writer.write(bytes((byte,)))
            await writer.drain()
            await asyncio.sleep(_DRIP_S)

    async def repeat(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> None:
        """Send the same until the hub ends the connection, and read what it answers."""
        while not reader.at_eof():
            self.strikes += 1
            writer.write(data)
            await writer.drain()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.001):
                    await reader.read(65_536)


async def slow_heads(attacker: Attacker) -> asyncio.StreamWriter:
    """Drip a request head that never ends."""
    _, writer = await attacker.connect()
    await attacker.drip(writer, b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 10_000)
    return writer


async def slow_bodies(attacker: Attacker) -> asyncio.StreamWriter:
    """Drip a body that was announced."""
    _, writer = await attacker.connect()
    writer.write(b"POST /api/publish HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 60000\r\n\r\n")
    await attacker.drip(writer, b" " * 10_000)
    return writer


async def slow_frames(attacker: Attacker) -> asyncio.StreamWriter:
    """Drip a frame that was announced."""
    _, writer = await attacker.open()
    await attacker.drip(writer, masked(Opcode.TEXT, b"x" * 60_000))
    return writer


async def header_floods(attacker: Attacker) -> asyncio.StreamWriter:
    """Send requests with as many headers as are allowed."""
    reader, writer = await attacker.connect()
    fields = "".join(f"X{number}: {'a' * 140}\r\n" for number in range(90))
    await attacker.repeat(reader, writer, f"GET /version HTTP/1.1\r\nHost: 127.0.0.1\r\n{fields}\r\n".encode())
    return writer


async def half_open(attacker: Attacker) -> asyncio.StreamWriter:
    """Begin a handshake, then say nothing until the hub has enough."""
    reader, writer = await attacker.connect()
    writer.write(upgrade()[:-2])
    await reader.read(1)
    return writer


async def tiny_fragments(attacker: Attacker) -> asyncio.StreamWriter:
    """Send messages in 60 fragments of a byte."""
    reader, writer = await attacker.open(path="/echo")
    pieces = [masked(Opcode.TEXT, b"x", False), *[masked(Opcode.CONT, b"x", False)] * 58, masked(Opcode.CONT, b"x")]
    await attacker.repeat(reader, writer, b"".join(pieces))
    return writer


async def bombs_before_login(attacker: Attacker) -> asyncio.StreamWriter:
    """Send 50 MiB in 48 KB as the first message."""
    reader, writer = await attacker.open(OFFER)
    writer.write(marked(BOMB))
    await reader.read(1_000)
    return writer


async def bombs_after_login(attacker: Attacker) -> asyncio.StreamWriter:
    """Send 50 MiB in 48 KB behind a login."""
    reader, writer = await attacker.open(OFFER)
    writer.write(masked(Opcode.TEXT, b'{"type":"connect","id":1}'))
    await reader.read(1_000)
    writer.write(marked(BOMB))
    await reader.read(1_000)
    return writer


async def compressed_floods(attacker: Attacker) -> asyncio.StreamWriter:
    """Send messages that are within all limits and cost most to inflate."""
    reader, writer = await attacker.open(OFFER, path="/echo")
    await attacker.repeat(reader, writer, marked(compress(b"a" * 60_000)))
    return writer


async def ping_floods(attacker: Attacker) -> asyncio.StreamWriter:
    """Send pings as fast as they are taken."""
    reader, writer = await attacker.open()
    await attacker.repeat(reader, writer, masked(Opcode.PING, b"x" * 100) * 20)
    return writer


async def subscription_floods(attacker: Attacker) -> asyncio.StreamWriter:
    """Subscribe to ever more channels."""
    reader, writer = await attacker.open()
    commands = [{"type": "subscribe", "id": number, "channel": f"load/flood/{number}"} for number in range(200)]
    await attacker.repeat(reader, writer, masked(Opcode.TEXT, json.dumps(commands).encode()))
    return writer


async def reconnect_storms(attacker: Attacker) -> asyncio.StreamWriter:
    """Connect, subscribe, and go without a word."""
    reader, writer = await attacker.open()
    writer.write(masked(Opcode.TEXT, b'{"type":"subscribe","id":1,"channel":"load/storm"}'))
    await reader.read(1_000)
    return writer


ATTACKS: Final[dict[str, Callable[[Attacker], Awaitable[asyncio.StreamWriter]]]] = {
    attack.__name__: attack
    for attack in (
        slow_heads,
        slow_bodies,
        slow_frames,
        header_floods,
        half_open,
        tiny_fragments,
        bombs_before_login,
        bombs_after_login,
        compressed_floods,
        ping_floods,
        subscription_floods,
        reconnect_storms,
    )
}


async def strike(attacker: Attacker, name: str) -> None:
    """Attack again and again."""
    while True:
        with contextlib.suppress(OSError, EOFError):
            writer = await ATTACKS[name](attacker)
            writer.transport.abort()
        await asyncio.sleep(_PAUSE_S)


async def main() -> None:
    """Attack until standard input ends."""
    name, port, connections = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    attacker = Attacker(port)
    tasks = [asyncio.create_task(strike(attacker, name)) for _ in range(connections)]
    print(0, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(attacker.strikes, flush=True)


if __name__ == "__main__":
    uvloop.run(main())
