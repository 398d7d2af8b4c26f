"""Two whole hubs on one NATS server are one hub to clients."""

import asyncio

import pytest

import chappe
from chappe.app import Hub
from chappe.client.client import Client
from chappe.hub.namespaces import Access, Level, Namespace
from chappe.model.error_codes import Code
from chappe.model.position import Position
from chappe.testing.running import RunningHub, running_hub
from tests.brokers.jetstream.server import running

OPEN = {"subscribe": Access.ANONYMOUS, "publish": Access.ANONYMOUS, "patterns": True}
NAMESPACES = [
    Namespace(name="kept", level=Level.DURABLE, history_count=100, history_age_s=3600.0, **OPEN),  # type: ignore[arg-type]
    Namespace(name="live", **OPEN),  # type: ignore[arg-type]
]


@pytest.mark.slow
async def test_what_one_hub_takes_the_other_delivers_and_recovers() -> None:
    async with running() as server:
        hubs = [Hub(dev=True, namespaces=NAMESPACES, broker=server.url) for _ in range(2)]
        async with running_hub(hubs[0]) as one, running_hub(hubs[1]) as other:
            position = await followed_from_another_hub(one, other)
            async with chappe.connect(one.ws_url) as ada:
                await ada.publish("kept/a", "while nobody listened")
                async with ada.subscribe("kept/a", since=position) as again:
                    assert (await anext(again)).data == "while nobody listened"
                    assert again.recovered


async def followed_from_another_hub(one: RunningHub, other: RunningHub) -> Position:
    """Publish at one hub, see it at the other, and return where that was."""
    async with (
        chappe.connect(one.ws_url) as ada,
        chappe.connect(other.ws_url) as blaise,
        blaise.subscribe("kept/a") as kept,
        blaise.subscribe("live/+") as live,
    ):
        for number in range(10):
            await ada.publish("kept/a", number)
            await ada.publish("live/a", number)
        assert [(await anext(kept)).data for _ in range(10)] == list(range(10))
        assert [(await anext(live)).data for _ in range(10)] == list(range(10))
        assert kept.position is not None
        return kept.position


@pytest.mark.slow
async def test_subscribers_get_everything_over_a_killed_server() -> None:
    async with running() as server:
        hub = Hub(dev=True, namespaces=NAMESPACES, broker=server.url)
        async with (
            running_hub(hub) as one,
            chappe.connect(one.ws_url) as ada,
            ada.subscribe("kept/a") as subscription,
            asyncio.timeout(20),
        ):
            await ada.publish("kept/a", "before")
            assert (await anext(subscription)).data == "before"
            await server.kill()
            with pytest.raises(chappe.ChappeError) as refused:
                await ada.publish("kept/a", "nowhere")
            assert refused.value.code == Code.NOT_AVAILABLE
            await server.start()
            while not await published(ada, "after"):
                pass
            assert (await anext(subscription)).data == "after"


async def published(client: Client, data: str) -> bool:
    """Try to publish; False a moment later if the broker is away."""
    try:
        await client.publish("kept/a", data)
    except chappe.ChappeError:
        await asyncio.sleep(0.05)
        return False
    return True
