"""Redis is killed under two hubs again and again; the offline checker judges what publishers and subscribers saw.

With every write on disk before it is confirmed, nothing acknowledged may be lost; without a disk, everybody has to be
told. CHAPPE_ENGINE_KILLS sets how many kills; `make kills-redis` runs 100.
"""

import asyncio
import os
import random
import time

import pytest

import chappe
from chappe.app import Hub
from chappe.client.client import Client
from chappe.serving import Server
from chappe.testing.checker import verdict
from chappe.testing.checker.journal import Event, Settled
from tests.brokers.redis.engines import engine
from tests.integration.test_kills import CHANNELS, follow, publish

KILLS = int(os.environ.get("CHAPPE_ENGINE_KILLS", "3"))


class World:
    """Two hubs on one server, three clients that follow, two that publish."""

    def __init__(self, url: str) -> None:
        self.servers = [Server(Hub(broker=f"{url}?timeout=1", dev=True), port=0) for _ in range(2)]
        self.logs: list[list[Event]] = []
        self.clients: list[Client] = []
        self.stop = asyncio.Event()

    async def start(self) -> None:
        for server in self.servers:
            await server.start()
        urls = [f"ws://127.0.0.1:{server.port}/ws" for server in self.servers]
        for number in range(5):
            client = chappe.connect(urls[number % 2], reconnect_interval_ms=20, reconnect_max_ms=200)
            await client
            self.clients.append(client)

    async def follow(self, group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        tasks = []
        for index, client in enumerate(self.clients[:3]):
            for channel in CHANNELS:
                self.logs.append([])
                ready = asyncio.Event()
                name = f"subscriber-{index}-{channel}"
                tasks.append(group.create_task(follow(client, name, channel, self.logs[-1], ready)))
                await ready.wait()
        return tasks

    def publish(self, group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        tasks = []
        for index, client in enumerate(self.clients[3:]):
            self.logs.append([])
            tasks.append(group.create_task(publish(client, f"publisher-{index}", self.logs[-1], self.stop)))
        return tasks

    def settle(self) -> None:
        for index in range(3):
            for number, channel in enumerate(CHANNELS):
                settled = Settled(channel=channel, time=time.time(), subscriber=f"subscriber-{index}-{channel}")
                self.logs[index * len(CHANNELS) + number].append(settled)

    async def end(self) -> None:
        for client in self.clients:
            await client.close()
        for server in self.servers:
            await server.stop()


@pytest.mark.slow
@pytest.mark.timeout(90 + KILLS * 10)
@pytest.mark.parametrize("disk", [True, False])
async def test_no_kill_of_redis_leaves_a_silent_gap(disk: bool) -> None:
    options = ("--appendonly", "yes", "--appendfsync", "always") if disk else ()
    chance = random.Random(20261126)
    with engine("redis", *options) as redis:
        world = World(redis.url)
        await world.start()
        async with asyncio.TaskGroup() as group:
            following = await world.follow(group)
            publishing = world.publish(group)
            for _ in range(KILLS):
                await asyncio.sleep(chance.uniform(0.3, 1.2))
                await asyncio.to_thread(redis.kill)
                await asyncio.sleep(chance.uniform(0.0, 0.3))
                await asyncio.to_thread(redis.start)
            await asyncio.sleep(3)
            world.stop.set()
            await asyncio.wait(publishing)
            await asyncio.sleep(1)
            world.settle()
            for task in following:
                task.cancel()
        await world.end()
    result = verdict([event for log in world.logs for event in log])
    assert result.clean, f"{result}\n" + "\n".join(map(str, result.findings[:10]))
    assert result.subscriptions >= 6
