"""Shared subscriptions over several hubs on one engine, with MQTT clients that we did not write."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import httpx
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from chappe.app import Hub
from chappe.testing import running_hub
from chappe.testing.hub_process import HubProcess, free_port
from chappe.testing.running import RunningHub
from chappe.testing.shared_memory import SharedMemory
from chappe.transports.event_loop import LoopClock
from tests.brokers.redis.engines import engine
from tests.conformance.mqtt_clients import Address, Aiomqtt, Foreign, Paho

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SHARED: Final = "$share/crew/jobs/#"
ENGINES: Final = ("memory", "redis")
#: Noticing that a node is dead takes 10 to 12 seconds.
PATIENCE_S: Final = 60.0
Make = Callable[..., Awaitable[Foreign]]


class Cluster:
    """Hubs on one engine and their clients.

    Attributes:
        members: clients that are members of the group.
    """

    def __init__(self, hubs: list[RunningHub], stack: AsyncExitStack) -> None:
        self.hubs = hubs
        self.members: list[Foreign] = []
        self._stack = stack
        self._came: Counter[bytes] = Counter()

    async def client(self, node: int, client_id: str, version: int = 5) -> Foreign:
        """Connect a client to a node; paho and aiomqtt by turns."""
        hub = self.hubs[node]
        kind = Paho if len(self.members) % 2 else Aiomqtt
        client = kind(Address(hub.mqtt_port, hub.port), version, hub.hub)
        await client.connect(client_id)

        async def close() -> None:
            if not client.is_over:
                await client.close()

        self._stack.push_async_callback(close)
        return client

    async def member(self, node: int, client_id: str, qos: int) -> Foreign:
        """Connect a member of the group."""
        client = await self.client(node, client_id)
        assert await client.subscribe(SHARED, qos) == qos
        self.members.append(client)
        return client

    @property
    def came(self) -> Counter[bytes]:
        """How often each message came to any member."""
        for client in self.members:
            while not client.came.empty():
                self._came[client.came.get_nowait().payload] += 1
        return self._came

    async def until_shared(self, writer: Foreign, qos: int) -> list[bytes]:
        """Publish until every member got something: new nodes wait a second; return what was published."""
        sent: list[bytes] = []
        async with asyncio.timeout(PATIENCE_S):
            while any(client.came.empty() for client in self.members):
                sent += await publish(writer, 1, qos, first=10_000 + len(sent))
                await asyncio.sleep(0.005)  # the pace of the publisher
        await self.until(sent)
        return sent

    async def until(self, payloads: list[bytes]) -> None:
        """Wait until every one of these came."""
        async with asyncio.timeout(PATIENCE_S):
            while set(payloads) - set(self.came):  # noqa: ASYNC110 - clients tell in their own threads
                await asyncio.sleep(0.02)


@asynccontextmanager
async def cluster(kind: str, count: int) -> AsyncIterator[Cluster]:
    """Serve hubs on one engine."""
    async with AsyncExitStack() as stack:
        if kind == "memory":
            memory = SharedMemory(LoopClock(), os.urandom)
            brokers: list[Any] = [memory.broker() for _ in range(count)]
        else:
            url = stack.enter_context(engine("redis")).url
            brokers = [f"{url}?timeout=1"] * count
        hubs = [await stack.enter_async_context(running_hub(Hub(dev=True, broker=each), mqtt=True)) for each in brokers]
        async with asyncio.timeout(PATIENCE_S):
            for hub in hubs:
                while await metric(hub, "chappe_nodes") < count:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.02)
        clients = await stack.enter_async_context(AsyncExitStack())
        yield Cluster(hubs, clients)


async def metric(hub: RunningHub, name: str) -> float:
    """Return a value of /metrics."""
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"{hub.url}/metrics")).text
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name + " "))


async def publish(writer: Foreign, count: int, qos: int, first: int = 0) -> list[bytes]:
    """Publish numbers to a few topics, each when the one before is acknowledged."""
    for number in range(first, first + count):
        await writer.publish(f"jobs/{number % 5}", str(number), qos)
    return [str(number).encode() for number in range(first, first + count)]


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("kind", ENGINES)
async def test_each_message_goes_to_one_member_of_all_nodes(kind: str, qos: int, count: int) -> None:
    async with cluster(kind, count) as party:
        for node in range(count):
            for number in range(2):
                await party.member(node, f"m{node}{number}", qos)
        writer = await party.client(0, "writer")
        early = await party.until_shared(writer, max(qos, 1))
        payloads = await publish(writer, 150, max(qos, 1))
        await party.until(payloads)
        # Whatever is behind these was said after everything that could have come twice.
        payloads += await publish(writer, 20, max(qos, 1), first=150)
        await party.until(payloads)
        assert party.came == Counter(payloads + early)
        assert all([await metric(hub, "chappe_mqtt_group_elsewhere_total") for hub in party.hubs])


@pytest.mark.parametrize("kind", ENGINES)
async def test_a_member_that_joins_at_another_node_changes_nothing_for_what_is_under_way(kind: str) -> None:
    async with cluster(kind, 3) as party:
        await party.member(0, "m0", 1)
        writer = await party.client(0, "writer")
        publishing = asyncio.create_task(publish(writer, 200, 1))
        for node in (1, 2):
            await party.until([str(60 * node).encode()])
            await party.member(node, f"m{node}", 1)
        payloads = await publishing
        payloads += await publish(writer, 50, 1, first=200)
        await party.until(payloads)
        assert party.came == Counter(payloads)


@pytest.mark.parametrize("kind", ENGINES)
async def test_a_node_that_is_stopped_leaves_its_part_to_the_others(kind: str) -> None:
    async with cluster(kind, 3) as party:
        for node in range(3):
            await party.member(node, f"m{node}", 1)
        writer = await party.client(0, "writer")
        publishing = asyncio.create_task(publish(writer, 200, 1))
        await party.until([b"50"])
        # The node that the newest client is at.
        leaving = party.members[2]
        leaving.is_over = isinstance(leaving, Aiomqtt)
        await party.hubs[2].server.stop()
        payloads = await publishing
        await party.until(payloads)
        assert set(party.came) == set(payloads)
        # Twice may come what the one at the stopped node had not acknowledged.
        assert max(party.came.values()) <= 2
        assert sum(party.came.values()) <= len(payloads) + 20


class Member:
    """A member at a hub in another process, which may be killed."""

    def __init__(self, port: int, client_id: str) -> None:
        loop = asyncio.get_running_loop()
        self.came: Counter[bytes] = Counter()
        self.subscribed = asyncio.Event()
        self.client = client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id)
        client.reconnect_delay_set(60, 60)

        def message(client: paho.Client, data: object, message: paho.MQTTMessage) -> None:
            loop.call_soon_threadsafe(self.came.update, [bytes(message.payload)])

        def connected(client: paho.Client, data: object, flags: Any, code: object, properties: object) -> None:
            client.subscribe(SHARED, 1)

        def subscribed(client: paho.Client, data: object, mid: int, codes: object, properties: object) -> None:
            loop.call_soon_threadsafe(self.subscribed.set)

        client.on_message = message
        client.on_connect = connected
        client.on_subscribe = subscribed
        client.connect("127.0.0.1", port)
        client.loop_start()

    async def end(self) -> None:
        """Say goodbye."""
        self.client.disconnect()
        await asyncio.to_thread(self.client.loop_stop)


async def test_a_node_that_is_killed_loses_nothing_of_qos_1() -> None:
    ports = [free_port() for _ in range(2)]
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(engine("redis"))
        options = ("--dev", "--broker", f"{redis.url}?timeout=1", "--mqtt-port")
        hubs = [await stack.enter_async_context(HubProcess(*options, str(port))) for port in ports]
        members = [Member(port, f"m{number}") for number, port in enumerate(ports)]
        for member in members:
            stack.push_async_callback(member.end)
            await asyncio.wait_for(member.subscribed.wait(), PATIENCE_S)
        writer = Aiomqtt(Address(ports[1], 0), 5, None)  # type: ignore[arg-type]
        await writer.connect("writer")
        stack.push_async_callback(writer.close)
        async with asyncio.timeout(PATIENCE_S):
            # Both nodes know of each other's member when both get something.
            early = 0
            while not all(member.came for member in members):
                await publish(writer, 1, 1, first=10_000 + early)
                early += 1
        publishing = asyncio.create_task(publish(writer, 300, 1))
        async with asyncio.timeout(PATIENCE_S):
            while sum(map(len, (member.came for member in members))) < early + 100:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await hubs[0].kill()
        payloads = await publishing
        payloads += [str(10_000 + number).encode() for number in range(early)]
        async with asyncio.timeout(PATIENCE_S):
            while set(payloads) - {each for member in members for each in member.came}:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        came = members[0].came + members[1].came
        assert set(came) == set(payloads)
        # Twice may come what the killed node had not told the other one of.
        assert all(members[0].came[payload] for payload, count in came.items() if count > 1)
        assert max(came.values()) <= 2
