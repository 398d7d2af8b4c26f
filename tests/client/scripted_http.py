"""An HTTP server that the tests script, answer by answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

BEGUN = b'{"session":"s1","cursor":"0","messages":[]}'


class ScriptedHttp:
    """Gives the answers of a path in order, the last one again and again; `requests` has what was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, list[bytes]] = {"/poll": [ok(BEGUN)]}
        self.requests: list[tuple[str, bytes]] = []
        #: Paths whose connections stay open behind their answer.
        self.holding: set[str] = set()
        self.url = ""
        self._change = asyncio.Event()

    async def asked(self, count: int) -> None:
        """Wait for so many requests."""
        while len(self.requests) < count:
            self._change.clear()
            await self._change.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, RuntimeError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, target, _ = head.split(" ", 2)
            size = next((int(line[16:]) for line in head.splitlines() if line.lower().startswith("content-length:")), 0)
            self.requests.append((f"{method} {target}", await reader.readexactly(size)))
            self._change.set()
            answers = self.answers.get(target.partition("?")[0], [status(404)])
            writer.write(answers.pop(0) if len(answers) > 1 else answers[0])
            await writer.drain()
            if target.partition("?")[0] in self.holding:
                await reader.read(-1)
        writer.close()


def ok(body: bytes, kind: str = "application/json") -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n".encode() + body


def status(code: int, body: bytes = b"", *headers: str) -> bytes:
    lines = "".join(f"{line}\r\n" for line in headers)
    return f"HTTP/1.1 {code} X\r\nConnection: close\r\n{lines}\r\n".encode() + body


LOST = b""


@asynccontextmanager
async def scripted_http() -> AsyncIterator[ScriptedHttp]:
    http = ScriptedHttp()
    server = await asyncio.start_server(http.serve, "127.0.0.1", 0)
    http.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"
    try:
        yield http
    finally:
        server.close()
        await server.wait_closed()
