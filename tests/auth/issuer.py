"""An HTTP server that answers as the test says: the issuer that publishes keys, or the service that knows tokens."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import jwt


class Issuer:
    """A server on a port of its own.

    Attributes:
        answer: the bytes of its next answers, or an object that is sent as JSON with 200.
        bodies: what it was sent.
        hold: while it is not set, nobody is answered.
        drip: send the answer byte by byte.
        is_last: close the connection behind each answer.
    """

    def __init__(self) -> None:
        self.answer: Any = {"keys": []}
        self.requests: list[bytes] = []
        self.bodies: list[bytes] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.drip = self.is_last = False
        self.port = 0

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}/keys"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request after the other."""
        try:
            while True:
                await self._answer(reader, writer)
                if self.is_last:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            (writer.close if self.is_last else writer.transport.abort)()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length")), 0)
        self.bodies.append(await reader.readexactly(length))
        self.requests.append(head)
        await self.hold.wait()
        for piece in self._pieces():
            writer.write(piece)
            await writer.drain()
            if self.drip:
                await asyncio.sleep(0.01)

    def _pieces(self) -> list[bytes]:
        if isinstance(self.answer, bytes):
            whole = self.answer
        else:
            body = json.dumps(self.answer).encode()
            whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        return [whole[at : at + 1] for at in range(len(whole))] if self.drip else [whole]


@contextlib.asynccontextmanager
async def issuer() -> AsyncIterator[Issuer]:
    """Run an issuer until the block ends."""
    running = Issuer()
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(running.serve(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    running.port = server.sockets[0].getsockname()[1]
    try:
        yield running
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # Transports tell their end in the next turn.
        await asyncio.sleep(0)


def jwk_of(key: Any, algorithm: str, **more: Any) -> dict[str, Any]:
    """Return the public half of a key as a JSON Web Key."""
    public = json.loads(jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key()))
    jwk = {name: value for name, value in public.items() if name != "key_ops"} | more
    return {name: value for name, value in jwk.items() if value is not None}
