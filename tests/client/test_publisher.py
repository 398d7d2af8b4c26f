"""Publications that the hub has no time for now."""

import asyncio
from typing import Any

import pytest

from chappe.client.client import connect
from chappe.model.errors import ChappeError
from tests.client.scripted_hub import Fields, Peer, error, scripted_hub


def busy(times: int, retry_after_s: float = 0.02) -> Any:
    left = [times]

    async def refuse(peer: Peer, command: Fields) -> bool:
        if left[0] <= 0:
            return False
        left[0] -= 1
        await peer.send(error(command, 111, retry=True, retry_after_s=retry_after_s))
        return True

    return refuse


async def test_what_was_too_much_goes_again_when_the_hub_said_and_in_order() -> None:
    async with scripted_hub() as hub, connect(hub.url, heartbeat_interval_s=0) as client:
        hub.script["publish"] = busy(3)
        results = await asyncio.gather(*(client.publish("news", number) for number in range(5)))
        assert sorted(result.offset for result in results) == [1, 2, 3, 4, 5]
        stored = [publication["data"] for publication in hub.channel("news").history]
        assert sorted(stored) == [0, 1, 2, 3, 4]
        assert [number for number in stored if number < 3] == [0, 1, 2]


async def test_a_command_waits_as_told_and_a_wait_beyond_its_time_is_the_hubs_error() -> None:
    async with scripted_hub() as hub, connect(hub.url, command_timeout_s=5, heartbeat_interval_s=0) as client:
        hub.script["rpc"] = busy(2)
        assert await client.call("add", a=1, b=2) == 3
        hub.script["rpc"] = busy(1, retry_after_s=20)
        with pytest.raises(ChappeError) as caught:
            await client.call("add", a=1, b=2)
        assert caught.value.code == 111


async def test_a_subscription_that_is_one_too_many_for_now_is_asked_for_again() -> None:
    async with scripted_hub() as hub, connect(hub.url, reconnect_interval_ms=1, heartbeat_interval_s=0) as client:
        hub.script["subscribe"] = busy(1)
        async with client.subscribe("news"):
            assert len(hub.of_type("subscribe")) == 2
