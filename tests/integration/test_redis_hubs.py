"""Two whole hubs on one server, with clients of both."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
import pytest

import chappe
from chappe.app import Hub
from chappe.hub.namespaces import Level, Namespace
from chappe.model.errors import ConfigurationError
from chappe.serving import Server
from tests.brokers.redis.engines import PROGRAMS, Engine, engine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


@contextlib.asynccontextmanager
async def two_hubs(redis: Engine) -> AsyncIterator[list[Server]]:
    servers = [Server(Hub(broker=f"{redis.url}?timeout=1", dev=True), port=0) for _ in range(2)]
    for server in servers:
        await server.start()
    try:
        yield servers
    finally:
        for server in servers:
            await server.stop()


@pytest.mark.parametrize("name", PROGRAMS)
async def test_a_client_of_one_hub_talks_to_a_client_of_the_other(name: str) -> None:
    with engine(name) as redis:
        async with two_hubs(redis) as (one, other):
            listener = chappe.connect(f"ws://127.0.0.1:{other.port}/ws")
            speaker = chappe.connect(f"ws://127.0.0.1:{one.port}/ws")
            async with listener, speaker:
                async with listener.subscribe("news/a") as exact, listener.subscribe("prices/+") as pattern:
                    for number in range(10):
                        await speaker.publish("news/a", {"number": number})
                        await speaker.publish(f"prices/{number % 3}", number)
                    async with asyncio.timeout(20):
                        news = [await anext(aiter(exact)) for _ in range(10)]
                        prices = [await anext(aiter(pattern)) for _ in range(10)]
                assert [each.data["number"] for each in news] == list(range(10))
                assert [each.data for each in prices] == list(range(10))
            history = await other.hub.history("news/a")
            assert len(history) == 10


async def test_readiness_goes_through_the_server() -> None:
    with engine("redis") as redis:
        async with two_hubs(redis) as (one, _), httpx.AsyncClient() as client:
            url = f"http://127.0.0.1:{one.port}/readyz"
            assert (await client.get(url)).status_code == 200
            await asyncio.to_thread(redis.kill)
            async with asyncio.timeout(20):
                while (await client.get(url)).status_code == 200:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.1)
            await asyncio.to_thread(redis.start)
            async with asyncio.timeout(20):
                while (await client.get(url)).status_code != 200:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.1)


def test_durable_is_refused_unless_the_url_asks_for_a_server_that_writes_through() -> None:
    durable = [Namespace(name="orders", level=Level.DURABLE, history_count=10)]
    with pytest.raises(ConfigurationError, match="durable"):
        Hub(broker="redis://localhost", namespaces=durable)
    Hub(broker="redis://localhost?durable=1", namespaces=durable)
