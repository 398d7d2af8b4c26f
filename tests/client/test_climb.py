"""Moving up to a better transport without a loss."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import chappe
from chappe.client import climb, session
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


async def test_a_call_under_way_keeps_the_session_where_it_is_and_nothing_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(climb, "FIRST_S", 0.05)
    monkeypatch.setattr(climb, "MAX_S", 0.05)
    async with behind_a_proxy(ws="refuse") as (proxy, url, server):
        ending = asyncio.Event()

        @server.hub.rpc("slow")
        async def slow(session: chappe.Session) -> str:
            await ending.wait()
            return "done"

        client = chappe.connect(url, transports=("websocket", "polling"), **QUICK)
        events = Recorder(client)
        async with client:
            calling = asyncio.ensure_future(client.call("slow"))
            await client.ping()
            proxy.treatment["/ws"] = "pass"
            while proxy.requests.count("GET /ws") < 2:
                await client.ping()
            async with asyncio.timeout(3):
                for _ in range(20):
                    await client.ping()
            ending.set()
            assert await calling == "done"
            assert await events.wait("transport_changed") == ("polling", "websocket")


async def test_a_channel_that_was_left_while_a_move_failed_can_be_entered_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(climb, "FIRST_S", 0.05)
    monkeypatch.setattr(climb, "MAX_S", 0.05)
    monkeypatch.setattr(session, "_PAUSE_S", 0.2)
    async with behind_a_proxy(ws="refuse") as (proxy, url, server):
        hooked, ending = asyncio.Event(), asyncio.Event()

        @server.hub.on_publish("slow")
        async def slow(session: chappe.Session, publication: object) -> None:
            hooked.set()
            await ending.wait()

        client = chappe.connect(url, transports=("websocket", "polling"), **QUICK)
        async with client:
            news = await client.subscribe("news")
            publishing = asyncio.ensure_future(client.publish("slow", 1))
            await hooked.wait()
            proxy.treatment["/ws"] = "pass"
            await _until(lambda: client._session.exchange is None)
            await news.unsubscribe()
            entering = asyncio.ensure_future(client.subscribe("news").__aenter__())
            await _until(lambda: client._session.exchange is not None)
            ending.set()
            assert (await entering).active
            await publishing


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


async def _until(condition: Callable[[], bool]) -> None:
    """Wait for what is told to nobody."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.001)
