"""A hub inside somebody else's application, under a path of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from fastapi import FastAPI

import chappe
from chappe.client.connection import Transport
from tests.client.recorder import Recorder

# Each of these starts a hub of its own.
pytestmark = pytest.mark.slow


@asynccontextmanager
async def mounted() -> AsyncIterator[str]:
    """Serve an application with a hub at `/realtime`; yield its address."""
    hub = chappe.Hub(dev=True)
    app = FastAPI(lifespan=hub.lifespan)
    app.mount("/realtime", hub.asgi())
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", ws="websockets-sansio"))
    serving = asyncio.create_task(server.serve())
    try:
        while not server.started:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(0.005)
        yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/realtime"
    finally:
        server.should_exit = True
        await serving


@pytest.mark.parametrize("transport", ["websocket", "sse", "polling"])
async def test_a_hub_below_a_path_is_reached_over_every_transport(transport: Transport) -> None:
    async with mounted() as address:
        client = chappe.connect(f"ws://{address}/ws", transports=(transport,))
        events = Recorder(client)
        async with client, client.subscribe("news", presence=True) as news:
            await client.publish("news", {"hello": "mounted"})
            assert (await anext(news)).data == {"hello": "mounted"}
            assert (await client.history("news")).position.offset == 1
            assert (await events.wait("latency"))[0] > 0
            assert client.transport == transport
