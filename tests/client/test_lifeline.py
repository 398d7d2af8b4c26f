"""A life of many connections, seen through the client of any WebSocket server."""

import asyncio
from collections.abc import Callable

import pytest

from chappe.client import lifeline as module
from chappe.client import websocket
from chappe.client.client import connect
from chappe.client.connection import Connection
from chappe.client.errors import ClientClosed, ConnectionLost
from chappe.client.options import Settings
from chappe.client.websocket import WebSocketClient
from tests.client.recorder import Recorder
from tests.client.scripted_hub import ScriptedHub, scripted_hub


def client_of(hub: ScriptedHub, max_attempts: int = 0, retry_first: bool = False) -> WebSocketClient:
    return websocket.connect(
        hub.url,
        reconnect_interval_ms=5,
        reconnect_max_ms=20,
        max_attempts=max_attempts,
        retry_first=retry_first,
        heartbeat_interval_s=0,
    )


async def test_a_cut_connection_is_dialed_again_and_told() -> None:
    async with scripted_hub() as hub, client_of(hub, max_attempts=7) as client:
        events = Recorder(client)
        hub.cut()
        await events.wait("connected")
        assert events.seen == [("disconnected", 1006), ("reconnecting", 1, 7), ("connected",)]
        assert client.state == "live"


async def test_a_server_that_is_away_is_dialed_until_it_is_back() -> None:
    async with scripted_hub() as hub, client_of(hub) as client:
        events = Recorder(client)
        await hub.stop()
        await events.wait("reconnecting", 4)
        assert [event[0] for event in events.of("reconnecting")] == [1, 2, 3, 4]
        assert "cannot connect" in str(events.of("error")[0][0])
        await hub.start()
        await events.wait("connected")
        hub.cut()
        await events.wait("connected", 2)
        assert events.of("reconnecting")[-1] == (1, 0), "the counter restarts at a connection"


async def test_the_last_attempt_gives_up_and_says_so_once() -> None:
    async with scripted_hub() as hub, client_of(hub, max_attempts=2) as client:
        events = Recorder(client)
        await hub.stop()
        await client.wait_closed()
        assert events.names() == ["disconnected", "reconnecting", "error", "reconnecting", "error", "gave_up", "error"]
        assert client.state == "offline"
        with pytest.raises(ConnectionLost, match="cannot connect"):
            await client.receive()
        with pytest.raises(ConnectionLost):
            await client.send("late")


@pytest.mark.parametrize("code", [3001, 3005, 3012, 4000])
async def test_codes_that_reconnect_reconnect(code: int) -> None:
    async with scripted_hub() as hub, client_of(hub) as client:
        events = Recorder(client)
        await hub.close(code)
        assert await events.wait("disconnected") == (code,)
        await events.wait("connected")


@pytest.mark.parametrize("code", [1009, 3500, 3503, 4509])
async def test_codes_that_stop_stop(code: int) -> None:
    async with scripted_hub() as hub, client_of(hub) as client:
        events = Recorder(client)
        await hub.close(code, "go away")
        await client.wait_closed()
        assert events.names() == ["disconnected", "error"]
        assert isinstance(client.error, ConnectionLost)
        assert (client.error.close_code, client.error.reason) == (code, "go away")


async def test_the_first_connection_raises_when_it_fails() -> None:
    async with scripted_hub() as hub:
        await hub.stop()
        with pytest.raises(ConnectionLost, match="cannot connect"):
            await client_of(hub)


async def test_the_first_connection_is_retried_where_the_user_wants_it() -> None:
    async with scripted_hub() as hub:
        await hub.stop()
        client = client_of(hub, retry_first=True)
        events = Recorder(client)
        connecting = asyncio.ensure_future(client.__aenter__())
        await events.wait("reconnecting", 2)
        await hub.start()
        await connecting
        await client.close()


async def test_a_cancelled_first_connection_leaves_nothing_behind() -> None:
    async with scripted_hub() as hub:
        await hub.stop()
        client = client_of(hub, retry_first=True)
        connecting = asyncio.ensure_future(client.__aenter__())
        await Recorder(client).wait("reconnecting")
        connecting.cancel()
        await asyncio.gather(connecting, return_exceptions=True)
        assert client.state == "offline"


async def test_the_users_own_disconnect_never_reconnects() -> None:
    async with scripted_hub() as hub:
        client = await client_of(hub)
        events = Recorder(client)
        await client.close()
        await client.close()
        assert events.seen == [("disconnected", 1000)]
        assert isinstance(client.error, ClientClosed)
        assert [message async for message in client] == []


async def test_closing_while_waiting_for_the_next_attempt_ends_at_once() -> None:
    async with scripted_hub() as hub:
        client = websocket.connect(hub.url, reconnect_interval_ms=60_000, jitter="none")
        async with client:
            events = Recorder(client)
            hub.cut()
            await events.wait("reconnecting")
            assert client.state == "offline"
        assert client.state == "offline"
        assert events.names("latency") == ["disconnected", "reconnecting"]


async def test_a_returning_network_redials_at_once() -> None:
    async with (
        scripted_hub() as hub,
        websocket.connect(hub.url, reconnect_interval_ms=60_000, jitter="none") as client,
    ):
        events = Recorder(client)
        hub.cut()
        await events.wait("reconnecting")
        client.redial()
        await events.wait("connected")


@pytest.mark.parametrize(
    "seen", [[(), (), ("10.0.0.1",)], [("10.0.0.1",), (), ("10.0.0.1",)], [("10.0.0.1",), ("10.9.0.1",)]]
)
async def test_a_network_that_comes_back_or_is_another_one_is_noticed(
    seen: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter(seen)
    monkeypatch.setattr(module, "local_addresses", lambda: next(looks))
    monkeypatch.setattr(module, "NETWORK_CHECK_S", 0.005)
    async with (
        scripted_hub() as hub,
        websocket.connect(hub.url, reconnect_interval_ms=60_000, jitter="none") as client,
    ):
        events = Recorder(client)
        hub.cut()
        await events.wait("connected")
        assert next(looks, "used up") == "used up"


async def test_a_hub_that_drains_says_when_to_come_back_and_is_heeded() -> None:
    async with scripted_hub() as hub, websocket.connect(hub.url, reconnect_interval_ms=0) as client:
        events = Recorder(client)
        clock = asyncio.get_running_loop()
        begin = clock.time()
        await hub.close(3001, "the hub is shutting down; reconnect after 60 ms")
        await events.wait("connected")
        assert clock.time() - begin >= 0.05


async def test_a_frozen_peer_is_noticed_and_left() -> None:
    async with (
        scripted_hub() as hub,
        websocket.connect(hub.url, reconnect_interval_ms=5, heartbeat_interval_s=0.01, pong_timeout_s=0.03) as client,
    ):
        events = Recorder(client)
        reading = asyncio.create_task(client.receive())
        await events.wait("latency")
        hub.peers[0].socket.transport.pause_reading()
        assert await events.wait("disconnected") == (1006,)
        await events.wait("connected")
        await client.close()
        await asyncio.gather(reading, return_exceptions=True)


async def test_latency_is_told_in_milliseconds() -> None:
    async with scripted_hub() as hub, websocket.connect(hub.url) as client:
        (latency_ms,) = await Recorder(client).wait("latency")
        assert 0 < latency_ms < 5_000


async def test_a_server_that_takes_the_connection_but_never_accepts_is_left_in_time() -> None:
    async with scripted_hub() as hub:
        hub.script["connect"] = lambda peer, command: True
        with pytest.raises(ConnectionLost, match=r"not accepted within 0\.05 s"):
            await connect(hub.url, open_timeout_s=0.05)


async def test_a_client_is_started_once() -> None:
    async with scripted_hub() as hub, client_of(hub) as client:
        with pytest.raises(ClientClosed, match="make another one"):
            await client.__aenter__()


async def test_an_error_nobody_foresaw_ends_the_client_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(WebSocketClient):
        async def converse(self, connection: Connection, accepted: Callable[[], None]) -> None:
            accepted()
            raise ZeroDivisionError("a bug")

    async with scripted_hub() as hub:
        async with Broken(Settings(url=hub.url)) as client:
            await client.wait_closed()
            assert client.error is not None
            assert client.error.code == 100
        assert "unexpected error" in caplog.text


async def test_waiting_for_a_connection_that_will_never_be_raises() -> None:
    async with scripted_hub() as hub:
        client = await client_of(hub)
        await client.wait_connected()
        await client.close()
        with pytest.raises(ClientClosed):
            await client.wait_connected()
