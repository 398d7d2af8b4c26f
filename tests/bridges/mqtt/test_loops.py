"""No message goes round: both ways on one topic, two hubs at one broker, several nodes, brokers that echo."""

import asyncio

import pytest

from chappe.app import Hub
from chappe.bridges.mqtt.bridge import MqttBridge
from tests.bridges.mqtt.mosquitto import OPEN, bridged, ears, mosquitto, open_hub, options, say, until
from tests.brokers.redis.engines import engine

pytestmark = pytest.mark.slow
VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])


async def values(hub: Hub, channel: str) -> list[object]:
    return [each.as_value() for each in await hub.history(channel, limit=1_000)]


@VERSIONS
async def test_both_ways_on_the_same_topic_each_message_is_there_once(version: str) -> None:
    with mosquitto() as server:
        async with (
            ears(server, "#", "-q", "1") as heard,
            bridged(options(server, "# both 1", version=version)) as (hub, bridge),
        ):
            for number in range(10):
                await hub.publish("x/y", f"hub {number}")
                # Equal ones too: those that come round are counted, not guessed.
                await hub.publish("x/y", "same")
                await say(server, "x/y", "-q", "1", text=f"broker {number}")
                await say(server, "x/y", "-q", "1", text="same")
            await until(lambda: bridge.status().counts["sent"] == 20, "what goes out")
            await until(lambda: bridge.status().counts["received"] == 20, "what comes in")
            await hub.publish("x/y", "last")
            await until(lambda: b"last" in heard.payloads, "the last one")
            assert len(heard.lines) == 41
            found = await values(hub, "x/y")
            assert len(found) == 41
            assert found.count("same") == 20


@VERSIONS
async def test_two_hubs_at_one_broker_give_each_other_every_message_once(version: str) -> None:
    with mosquitto() as server:
        given = options(server, "# both 1", version=version)
        async with (
            ears(server, "#", "-q", "1") as heard,
            bridged(given) as (one, first),
            bridged(given) as (other, second),
        ):
            for number in range(10):
                await one.publish("x", f"one {number}")
                await other.publish("x", f"other {number}")
                await say(server, "x", "-q", "1", text=f"broker {number}")
            await until(lambda: first.status().counts["received"] >= 20, "what the first gets")
            await until(lambda: second.status().counts["received"] >= 20, "what the second gets")
            await one.publish("x", "last")
            await until(lambda: second.status().counts["received"] >= 21, "the last one")
            await until(lambda: len(heard.lines) >= 31, "all messages")
            everything = sorted([f"{who} {n}" for who in ("one", "other", "broker") for n in range(10)] + ["last"])
            assert sorted(map(str, await values(one, "x"))) == everything
            assert sorted(map(str, await values(other, "x"))) == everything
            assert sorted(each.decode() for each in heard.payloads) == everything


async def test_a_ring_of_two_brokers_and_two_hubs_ends() -> None:
    with mosquitto() as left, mosquitto() as right:
        async with (
            bridged(options(left, "# both 1", name="left")) as (one, _),
            bridged(options(left, "# both 1", name="left")) as (other, _),
        ):
            bridges = [MqttBridge(hub.core, options(right, "# both 1", name="right")) for hub in (one, other)]
            for bridge in bridges:
                bridge.start()
            await until(lambda: all(bridge.is_connected for bridge in bridges), "the bridges")
            async with ears(right, "#", "-q", "1") as heard:
                await say(left, "x", "-q", "1", text="round")
                await until(lambda: len(heard.lines) == 2, "one by each hub")
                await until(lambda: sum(b.status().counts["received"] for b in bridges) == 2, "to each other")
                # Each hub has it from the left, and once more by way of the other and the right; then it ends.
                await one.publish("x", "last")
                await until(lambda: b"last" in heard.payloads, "the last one")
                assert (await values(other, "x")).count("round") == 2
                assert heard.payloads.count(b"round") == 2
            for bridge in bridges:
                await bridge.stop()


@pytest.mark.timeout(60)
async def test_one_of_several_nodes_carries_the_bridge_and_another_takes_over_when_it_dies() -> None:
    with engine("redis") as redis, mosquitto(*OPEN, "max_queued_messages 0") as server:
        hubs = [open_hub(redis.url) for _ in range(2)]
        given = options(server, "out/# out 1", "in/# in 1", "both both 1")
        async with ears(server, "out/#", "-q", "1") as heard:
            for hub in hubs:
                await hub.start()
            bridges = [MqttBridge(hub.core, given) for hub in hubs]
            for bridge in bridges:
                bridge.start()
            await until(lambda: any(bridge.is_connected for bridge in bridges), "a carrier")
            carrier = next(bridge for bridge in bridges if bridge.is_connected)
            other = next(bridge for bridge in bridges if bridge is not carrier)
            await until(lambda: other.status().carrier == carrier.status().carrier, "the other to know")
            assert other.status().state == "standing-by"
            for number in range(10):
                await hubs[number % 2].publish("out/a", number)
                await say(server, "in/a", "-q", "1", text=str(number))
            await until(lambda: len(heard.lines) == 10, "what goes out")
            await until(lambda: carrier.status().counts["received"] == 10, "what comes in")
            # It dies: it renews nothing and gives nothing back.
            task = carrier._task
            assert task is not None
            line = carrier._line
            assert line is not None
            carrier._claim.give_back = nothing  # type: ignore[method-assign]
            await carrier.stop()
            for number in range(10, 20):
                await hubs[number % 2].publish("out/a", number)
                await say(server, "in/a", "-q", "1", text=str(number))
            await until(lambda: other.is_connected, "the other")
            await until(lambda: len(heard.lines) >= 20, "what went out meanwhile")
            assert [int(each) for each in dict.fromkeys(heard.payloads)] == list(range(20))
            await until(lambda: other.status().counts["received"] >= 10, "what came meanwhile")
            assert list(dict.fromkeys(await values(hubs[0], "in/a"))) == list(range(20))
            await other.stop()
        for hub in hubs:
            await hub.stop()


async def nothing(places: dict[str, str]) -> None:
    await asyncio.sleep(0)
