"""A hub on a port of loopback, open to everybody, for clients that others wrote."""

import contextlib
from collections.abc import AsyncIterator

from chappe.app import Hub
from chappe.serving import Server


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Server]:
    """Serve a hub on a free port until the block ends."""
    server = Server(Hub(dev=True), port=0)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
