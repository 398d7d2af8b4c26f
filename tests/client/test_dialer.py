"""From one transport to the next, through networks that let less through than they say."""

from collections.abc import Iterator
from typing import Any

import pytest

import chappe
from chappe.client.errors import ConnectionLost
from chappe.client.route import MEMORY
from tests.client.hostile_proxy import Treatment, behind_a_proxy
from tests.client.recorder import Recorder

# Each of these starts a hub of its own.
pytestmark = pytest.mark.slow

QUICK: Any = {"reconnect_interval_ms": 10, "reconnect_max_ms": 40}


@pytest.fixture(autouse=True)
def _no_memory() -> Iterator[None]:
    MEMORY.forget()
    yield
    MEMORY.forget()


@pytest.mark.parametrize("how", ["refuse", "cut", "swallow", "swallow_frames"])
async def test_where_no_websocket_gets_through_a_stream_of_events_does(how: Treatment) -> None:
    async with behind_a_proxy(ws=how) as (_, url, _server), chappe.connect(url, websocket_timeout_s=0.5) as client:
        assert client.transport == "sse"
        await client.publish("news", "through")


@pytest.mark.parametrize("how", ["refuse", "cut", "swallow", "swallow_frames"])
async def test_where_no_stream_gets_through_polling_does(how: Treatment) -> None:
    async with behind_a_proxy(ws="refuse", events=how) as (_, url, _server):
        client = chappe.connect(url, websocket_timeout_s=0.5)
        async with client:
            assert client.transport == "polling"
            await client.publish("news", "through")


async def test_where_nothing_gets_through_the_first_reason_is_told() -> None:
    async with behind_a_proxy(ws="refuse", events="refuse", poll="refuse") as (proxy, url, _):
        with pytest.raises(ConnectionLost, match="answers HTTP 403 to the WebSocket handshake"):
            await chappe.connect(url)
        assert proxy.requests == ["GET /ws", "GET /events", "GET /poll"]


async def test_what_got_through_is_remembered_for_the_network() -> None:
    async with behind_a_proxy(ws="refuse", events="refuse") as (proxy, url, server):
        async with chappe.connect(url, **QUICK) as client:
            assert client.transport == "polling"
            proxy.requests.clear()
            for session in server.hub.sessions:
                await session.disconnect(3008, "again")
            await Recorder(client).wait("connected")
        async with chappe.connect(url) as second:
            assert second.transport == "polling"
        assert {"GET /ws", "GET /events"}.isdisjoint(proxy.requests)
