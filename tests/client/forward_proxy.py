"""A proxy that a client is told to use: HTTP (CONNECT, and requests with a whole URL) and SOCKS 5, on one port."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

from tests.client.hostile_proxy import pipe

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class ForwardProxy:
    """`asked` says what came; with `user`, who does not name it and its password is refused (407)."""

    def __init__(self) -> None:
        self.port = 0
        self.user = ""
        self.asked: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, RuntimeError, asyncio.IncompleteReadError, asyncio.CancelledError):
            first = await reader.readexactly(1)
            if first == b"\x05":
                await self._serve_socks((reader, writer))
            else:
                await self._serve_http((reader, writer), first + await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    async def _serve_socks(self, client: Pair) -> None:
        reader, writer = client
        await reader.readexactly((await reader.readexactly(1))[0])
        writer.write(b"\x05\x00")
        _, _, _, kind = await reader.readexactly(4)
        host = await self._host(reader, kind)
        port = int.from_bytes(await reader.readexactly(2), "big")
        self.asked.append(f"SOCKS {host}:{port}")
        target = await asyncio.open_connection(host, port)
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        await _join(client, target)

    async def _host(self, reader: asyncio.StreamReader, kind: int) -> str:
        if kind == 1:
            return ".".join(map(str, await reader.readexactly(4)))
        return (await reader.readexactly((await reader.readexactly(1))[0])).decode()

    async def _serve_http(self, client: Pair, head: bytes) -> None:
        method, url, _ = head.decode().split(" ", 2)
        self.asked.append(f"{method} {url.partition('?')[0]}")
        if self.user and base64.b64encode(self.user.encode()) not in head:
            client[1].write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        parts = urlsplit(f"//{url}" if method == "CONNECT" else url)
        target = await asyncio.open_connection(parts.hostname, parts.port)
        if method == "CONNECT":
            client[1].write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            path = parts._replace(scheme="", netloc="").geturl()
            # One request for each connection: what comes behind has a whole URL again.
            target[1].write(head.replace(url.encode(), path.encode(), 1).replace(b"keep-alive", b"close"))
        await _join(client, target)


async def _join(client: Pair, target: Pair) -> None:
    ways = [asyncio.ensure_future(pipe(client[0], target[1])), asyncio.ensure_future(pipe(target[0], client[1]))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        target[1].close()


@asynccontextmanager
async def forward_proxy() -> AsyncIterator[ForwardProxy]:
    proxy = ForwardProxy()
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await server.wait_closed()
