"""Moving up to a better transport without a loss."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

import chappe
from chappe.client import climb
from chappe.client.client import Client
from chappe.client.route import MEMORY
from tests.client.hostile_proxy import behind_a_proxy
from tests.client.recorder import Recorder

# Each of these starts a hub of its own.
pytestmark = pytest.mark.slow

QUICK: Any = {"reconnect_interval_ms": 10, "reconnect_max_ms": 40}


@pytest.fixture(autouse=True)
def _no_memory() -> Iterator[None]:
    MEMORY.forget()
    yield
    MEMORY.forget()


async def test_a_better_transport_takes_over_without_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(climb, "FIRST_S", 0.2)
    async with behind_a_proxy(ws="refuse", events="refuse") as (proxy, url, server):
        client = chappe.connect(url, **QUICK)
        events = Recorder(client)
        async with client, client.subscribe("news") as news, chappe.connect(f"{server.url}/ws") as other:
            session, over = client.session, False

            async def publish(publisher: Client, name: str) -> int:
                number = 0
                while not over:
                    await publisher.publish("news", [name, number])
                    number += 1
                return number

            tasks = [asyncio.create_task(publish(client, "ours")), asyncio.create_task(publish(other, "theirs"))]
            assert client.transport == "polling"
            proxy.treatment["/events"] = "pass"
            assert await events.wait("transport_changed") == ("polling", "sse")
            proxy.treatment["/ws"] = "pass"
            assert await events.wait("transport_changed", 2) == ("sse", "websocket")
            over = True
            ours, theirs = await asyncio.gather(*tasks)
            seen = [(await anext(news)).data for _ in range(ours + theirs)]
            assert sorted(seen) == sorted([["ours", n] for n in range(ours)] + [["theirs", n] for n in range(theirs)])
            assert (client.session, client.transport) == (session, "websocket")
            assert events.names("latency", "resubscribed") == ["connected", "transport_changed", "transport_changed"]


async def test_a_held_lock_keeps_the_session_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(climb, "FIRST_S", 0.05)
    monkeypatch.setattr(climb, "MAX_S", 0.05)
    async with behind_a_proxy(ws="refuse") as (proxy, url, _):
        client = chappe.connect(url, transports=("websocket", "polling"), **QUICK)
        events = Recorder(client)
        async with client:
            async with client.lock("doc/1") as lock:
                proxy.treatment["/ws"] = "pass"
                while proxy.requests.count("GET /ws") < 4:
                    await client.ping()
                assert client.transport == "polling"
                assert lock.owner == client.session
            assert await events.wait("transport_changed") == ("polling", "websocket")


async def test_another_network_is_a_reason_to_look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(climb, "NETWORK_CHECK_S", 0.01)
    here = ["10.0.0.1"]
    monkeypatch.setattr("chappe.client.route.local_addresses", lambda: tuple(here))
    async with behind_a_proxy(ws="refuse") as (proxy, url, _):
        client = chappe.connect(url, transports=("websocket", "polling"), **QUICK)
        events = Recorder(client)
        async with client:
            proxy.treatment["/ws"] = "pass"
            here[0] = "192.168.1.1"
            assert await events.wait("transport_changed") == ("polling", "websocket")
