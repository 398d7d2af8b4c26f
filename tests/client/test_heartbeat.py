"""Signs of life: how often they are asked for."""

import asyncio

import pytest

from chappe.client import heartbeat as module
from chappe.client.client import connect
from chappe.client.events import Events
from chappe.client.heartbeat import Heartbeat
from chappe.client.options import HeartbeatProfile, Settings
from tests.client.recorder import Recorder
from tests.client.scripted_hub import scripted_hub


@pytest.mark.parametrize(
    ("profile", "background", "interval_s"),
    [("standard", False, 30.0), ("standard", True, 300.0), ("mobile", False, 60.0), ("mobile", True, 300.0)],
)
def test_the_interval_is_that_of_the_profile(profile: HeartbeatProfile, background: bool, interval_s: float) -> None:
    heartbeat = Heartbeat(Settings(url="ws://hub/", heartbeat=profile), Events())
    heartbeat.background = background
    assert heartbeat.interval_s == interval_s


def test_no_heartbeat_is_none_in_the_background_either() -> None:
    heartbeat = Heartbeat(Settings(url="ws://hub/", heartbeat_interval_s=0), Events())
    heartbeat.background = True
    assert heartbeat.interval_s == 0


async def test_a_phone_that_receives_messages_asks_for_no_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOBILE_S", 0.2)
    async with scripted_hub() as hub, connect(hub.url, heartbeat="mobile") as client:
        events = Recorder(client)
        async with client.subscribe("news") as news:
            until = asyncio.get_running_loop().time() + 0.5
            while asyncio.get_running_loop().time() < until:
                await hub.publish("news", "busy")
                await anext(news)
                assert not events.of("latency")
            await events.wait("latency")


async def test_background_is_told_now_and_over_the_next_connection() -> None:
    async with scripted_hub() as hub, connect(hub.url, reconnect_interval_ms=10) as client:
        events = Recorder(client)
        await client.background(True)
        hub.cut()
        await events.wait("connected")
        told = await hub.wait_for("state", 2)
        assert [command["background"] for command in told] == [True, True]
        await client.background(False)
        assert hub.of_type("state")[-1]["background"] is False
