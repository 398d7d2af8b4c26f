"""MQTT clients that we did not write: QoS 0, 1 and 2, retained messages, wills, sessions, shared subscriptions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from chappe.testing import running_hub
from tests.conformance.mqtt_clients import CLIENTS, PATIENCE_S, Address, Foreign, Mosquitto

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

Make = Callable[..., Awaitable[Foreign]]


@asynccontextmanager
async def party(name: str) -> AsyncIterator[Make]:
    """Connect clients of one kind to a hub of their own; those that are left say goodbye at the end."""
    kind, version = CLIENTS[name]
    async with running_hub(mqtt=True) as running, AsyncExitStack() as ends:
        address = Address(running.mqtt_port, running.port)

        async def connect(client_id: str, **options: Any) -> Foreign:
            client = kind(address, version, running.hub)
            await client.connect(client_id, **options)
            ends.push_async_callback(end, client)
            return client

        yield connect


async def end(client: Foreign) -> None:
    """Say goodbye, unless the connection is lost."""
    if not client.is_over:
        await client.close()


async def until_away(client: Foreign, count: int = 1) -> None:
    """Wait until the hub knows that so many sessions have no connection."""
    sessions = client.hub.mqtt.sessions
    async with asyncio.timeout(PATIENCE_S):
        while len(sessions.away) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("name", CLIENTS)
async def test_messages_arrive_with_their_qos(name: str) -> None:
    async with party(name) as make:
        reader, writer = await make("reader"), await make("writer")
        for qos in range(3):
            assert await reader.subscribe(f"house/{qos}/+", qos) == qos
            for text in ("on", "é€𝄞"):
                await writer.publish(f"house/{qos}/lamp", text, qos)
            found = [await reader.next() for _ in range(2)]
            assert [(each.topic, each.payload.decode(), each.qos) for each in found] == [
                (f"house/{qos}/lamp", text, qos) for text in ("on", "é€𝄞")
            ]
            assert not any(each.retain for each in found)


@pytest.mark.parametrize("name", CLIENTS)
async def test_a_retained_message_waits_for_who_subscribes(name: str) -> None:
    async with party(name) as make:
        writer = await make("writer")
        await writer.publish("state/lamp", "on", 1, retain=True)
        reader = await make("reader")
        await reader.subscribe("state/#", 1)
        message = await reader.next()
        assert (message.topic, message.payload, message.retain) == ("state/lamp", b"on", True)


@pytest.mark.parametrize("name", CLIENTS)
async def test_a_will_is_said_when_the_connection_breaks(name: str) -> None:
    async with party(name) as make:
        reader = await make("reader")
        await reader.subscribe("wills/#", 1)
        goner = await make("goner", will="wills/goner")
        await goner.lose()
        message = await reader.next()
        assert (message.topic, message.payload, message.qos) == ("wills/goner", b"gone", 1)


@pytest.mark.parametrize("name", CLIENTS)
async def test_a_session_brings_what_was_missed(name: str) -> None:
    async with party(name) as make:
        reader = await make("reader", keep=True)
        await reader.subscribe("news/#", 1)
        await reader.lose()
        writer = await make("writer")
        await until_away(writer)
        for text in ("one", "two"):
            await writer.publish("news/today", text, 1)
        again = await make("reader", keep=True)
        if isinstance(again, Mosquitto):
            # It subscribes at every start; what it missed comes with its session.
            await again.subscribe("news/#", 1)
        assert [(await again.next()).payload for _ in range(2)] == [b"one", b"two"]


@pytest.mark.parametrize("name", CLIENTS)
async def test_of_a_shared_subscription_each_message_comes_once(name: str) -> None:
    async with party(name) as make:
        members = [await make(f"member{number}") for number in range(2)]
        for member in members:
            await member.subscribe("$share/crew/jobs/#", 1)
        writer = await make("writer")
        for number in range(6):
            await writer.publish("jobs/x", str(number), 1)
        found: list[bytes] = []
        for member in members:
            found += [(await member.next()).payload for _ in range(3)]
        assert sorted(found) == [str(number).encode() for number in range(6)]
