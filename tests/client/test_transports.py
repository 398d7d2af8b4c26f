"""A client over each transport, and from one to the next, against the real hub through networks that are none."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import chappe
from chappe.client import heartbeat
from chappe.client.connection import Transport
from chappe.client.inbox import Resubscribed
from chappe.client.messages import Encoding, Publication
from chappe.client.subscription import Subscription
from chappe.testing.fault_proxy import FaultProxy
from tests.client.hostile_proxy import behind_a_proxy, running
from tests.client.recorder import Recorder

# Each of these starts a hub of its own.
pytestmark = pytest.mark.slow

ALL: list[Transport] = ["websocket", "sse", "polling"]
OVER_HTTP: list[Transport] = ["sse", "polling"]
TASKS = {f"chappe {what}" for what in ("client", "reader", "writer", "heartbeat", "goodbye", "climb", "token")}
QUICK: Any = {"reconnect_interval_ms": 10, "reconnect_max_ms": 40}


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
@pytest.mark.parametrize("transport", ALL)
async def test_every_command_works_over_every_transport(transport: Transport, encoding: Encoding) -> None:
    async with running() as server:
        client = chappe.connect(f"{server.url}/ws", name="Ada", encoding=encoding, transports=(transport,))
        events = Recorder(client)
        async with client, client.subscribe("news", presence=True) as news:
            first = await client.publish("news", {"hello": "wörld"})
            await client.publish("news", b"\x00\xff", expect=first)
            assert [(await anext(news)).data for _ in range(2)] == [{"hello": "wörld"}, b"\x00\xff"]
            assert await client.call("add", a=1, b=2) == 3
            assert len((await client.history("news")).publications) == 2
            assert [member.name for member in (await client.presence("news")).members] == ["Ada"]
            async with client.lock("doc/1") as lock:
                assert lock.owner == client.session
            await client.call("whisper")
            assert await events.wait("message") == ({"only": "you"},)
            assert (await events.wait("latency"))[0] > 0
            assert (client.transport, client.state, client.reason) == (transport, "live", None)
        assert (client.state, client.reason) == ("offline", None)


async def test_bytes_inside_a_value_reach_a_hub_that_is_spoken_to_in_json() -> None:
    async with running() as server:
        url = f"{server.url}/ws"
        client = chappe.connect(url, encoding="msgpack", transports=("polling",))
        async with client, client.subscribe("news") as news:
            await client.publish("news", {"list": [1, b"\x00\xff"]})
            assert (await anext(news)).data == {"list": [1, {"$base64": "AP8="}]}


@pytest.mark.parametrize("transport", OVER_HTTP)
async def test_a_client_that_closes_ends_its_session_at_the_hub(transport: Transport) -> None:
    async with running() as server:
        client = await chappe.connect(f"{server.url}/ws", transports=(transport,))
        assert len(server.hub.sessions) == 1
        await client.close()
        assert not server.hub.sessions


@pytest.mark.parametrize("transport", ALL)
async def test_a_close_that_is_interrupted_while_the_hub_is_silent_is_a_close(transport: Transport) -> None:
    async with running() as server, FaultProxy("127.0.0.1", server.port) as proxy:
        others = asyncio.all_tasks()
        client = await chappe.connect(f"ws://127.0.0.1:{proxy.port}/ws", transports=(transport,))
        events = Recorder(client)
        proxy.stall()
        closing = asyncio.ensure_future(client.close())
        await events.wait("disconnected")
        closing.cancel()
        await asyncio.wait([closing])
        left = {task for task in asyncio.all_tasks() - others if task.get_name() in TASKS}
        if left:
            _, left = await asyncio.wait(left, timeout=10)
        assert not left
        proxy.resume()


@pytest.mark.parametrize("transport", ALL)
async def test_who_was_cut_is_the_same_session_and_misses_nothing(transport: Transport) -> None:
    async with running() as server, FaultProxy("127.0.0.1", server.port) as proxy:
        url = f"ws://127.0.0.1:{proxy.port}/ws"
        client = chappe.connect(url, transports=(transport,), **QUICK)
        async with client, client.subscribe("news") as news, chappe.connect(f"{server.url}/ws") as other:
            session = client.session
            for number in range(5):
                proxy.reset() if number % 2 else proxy.cut()
                await other.publish("news", number)
            assert [(await anext(news)).data for _ in range(5)] == [0, 1, 2, 3, 4]
            assert news.recovered is not None
            assert client.session == session


@pytest.mark.parametrize("transport", ALL)
async def test_a_network_that_goes_silent_is_noticed_and_left(transport: Transport) -> None:
    async with running() as server, FaultProxy("127.0.0.1", server.port) as proxy:
        url = f"ws://127.0.0.1:{proxy.port}/ws"
        quick: Any = {**QUICK, "heartbeat_interval_s": 0.05, "pong_timeout_s": 0.3}
        client = chappe.connect(url, transports=(transport,), **quick)
        events = Recorder(client)
        async with client, client.subscribe("news") as news, chappe.connect(f"{server.url}/ws") as other:
            await events.wait("latency")
            proxy.stall() if transport == "polling" else proxy.half_open()
            await other.publish("news", "missed?")
            assert (await anext(news)).data == "missed?"
            assert events.of("disconnected")[0] == (1006,)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("transport", ALL)
async def test_a_network_that_is_full_is_not_taken_for_one_that_is_silent(transport: Transport) -> None:
    async with running() as server, FaultProxy("127.0.0.1", server.port) as proxy:
        proxy.throttle(300_000)
        slow: Any = {**QUICK, "heartbeat_interval_s": 0.1, "pong_timeout_s": 1.2, "compression": "none"}
        client = chappe.connect(f"ws://127.0.0.1:{proxy.port}/ws", transports=(transport,), **slow)
        events = Recorder(client)
        async with client:
            await asyncio.gather(*(client.publish("news", "x" * 40_000) for _ in range(30)))
            assert events.names("latency") == ["connected"]


@pytest.mark.parametrize("transport", OVER_HTTP)
async def test_a_hub_that_starts_again_is_found_again(transport: Transport) -> None:
    async with running() as server:
        port = server.port
        client = await chappe.connect(f"{server.url}/ws", transports=(transport,), **QUICK)
        events = Recorder(client)
        news = await client.subscribe("news")
        publishing = None
    assert (await events.wait("disconnected"))[0] in (1006, 3001)
    async with running(port):
        publishing = await client.publish("news", "again")
        items = [item async for item in _until_publication(news)]
        assert isinstance(items[0], Resubscribed)
        assert not items[0].recovered
        assert publishing.offset == 1
        await client.close()


@pytest.mark.parametrize("transport", OVER_HTTP)
async def test_an_operators_word_ends_a_session_over_http_too(transport: Transport) -> None:
    async with running() as server:
        client = await chappe.connect(f"{server.url}/ws", transports=(transport,), **QUICK)
        events = Recorder(client)
        (session,) = server.hub.sessions
        await session.disconnect(3503, "go away")
        await client.wait_closed()
        assert (client.state, events.of("disconnected")) == ("refused", [(3503,)])


async def test_lost_answers_lose_and_double_nothing() -> None:
    async with behind_a_proxy() as (proxy, url, server):
        client = chappe.connect(url, transports=("polling",), **QUICK)
        events = Recorder(client)
        async with client, client.subscribe("news") as news, chappe.connect(f"{server.url}/ws") as other:
            for number in range(10):
                proxy.losing.update({"/poll": 1, "/send": 1})
                ours = asyncio.create_task(client.publish("news", ["ours", number]))
                await other.publish("news", ["theirs", number])
                await ours
            seen = [(await anext(news)).data for _ in range(20)]
            assert sorted(seen) == [[whose, number] for whose in ("ours", "theirs") for number in range(10)]
            page = await client.history("news")
            assert page.position.offset == 20
        # They were asked for again within the session.
        assert events.names("latency") == ["connected", "disconnected"]


async def test_a_slow_token_function_is_no_slow_transport() -> None:
    slow = iter(range(100))

    async def get_token() -> None:
        # The more attempts ask for it, the faster it comes.
        await asyncio.sleep(0.3 if next(slow) < 2 else 0)

    async with running() as server:
        async with chappe.connect(f"{server.url}/ws", token=get_token, websocket_timeout_s=0.2) as client:
            assert client.transport == "websocket"
        assert next(slow) == 1


async def test_background_is_told_again_after_each_reconnect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BACKGROUND_S", 1_000.0)
    async with running() as server, FaultProxy("127.0.0.1", server.port) as proxy:
        client = chappe.connect(f"ws://127.0.0.1:{proxy.port}/ws", transports=("sse",), **QUICK)
        events = Recorder(client)
        async with client:
            await client.background(True)
            proxy.reset()
            await events.wait("connected", 2)
            await client.ping()
            (session,) = server.hub.sessions
            assert session.id == client.session


async def _until_publication(news: Subscription) -> AsyncIterator[object]:
    async for item in news.items():
        yield item
        if isinstance(item, Publication):
            return
