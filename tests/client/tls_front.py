"""What speaks TLS in front of a hub, as nginx does."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.client.hostile_proxy import pipe


@asynccontextmanager
async def tls_front(hub_port: int, tls: ssl.SSLContext) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            hub_reader, hub_writer = await asyncio.open_connection("127.0.0.1", hub_port)
            up = asyncio.ensure_future(pipe(reader, hub_writer))
            down = asyncio.ensure_future(pipe(hub_reader, writer))
            await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
            hub_writer.close()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
