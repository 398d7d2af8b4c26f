"""The clients against the real hub, where the other tests script its part."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest

import chappe
from chappe.client.connection import Transport
from chappe.client.inbox import Join, PresenceState, Resubscribed
from chappe.client.messages import Encoding, Publication
from chappe.testing.fault_proxy import FaultProxy
from tests.client.hostile_proxy import running
from tests.client.recorder import Recorder

# Each of these starts a hub of its own.
pytestmark = pytest.mark.slow

SECRET = "k" * 40
QUICK: Any = {"reconnect_interval_ms": 10, "reconnect_max_ms": 40}
BOTH: list[Encoding] = ["json", "msgpack"]


@asynccontextmanager
async def running_with_tokens(folder: Path) -> AsyncIterator[chappe.Server]:
    """A hub that takes the tokens of `token`."""
    secret = folder / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    flags = {"auth.hmac_secret_file": str(secret), "auth.algorithms": ["HS256"]}
    server = chappe.Server(chappe.Hub.from_config(None, environ={}, flags=flags), port=0)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def token() -> str:
    """A token for Ada that ends after 1.2 s."""
    claims = {"sub": "ada", "aud": "chappe", "exp": time.time() + 1.2}
    return jwt.encode(claims, SECRET, algorithm="HS256")


@pytest.mark.parametrize("encoding", BOTH)
async def test_publish_subscribe_history_and_compare_and_set(encoding: Encoding) -> None:
    async with running() as server, chappe.connect(f"{server.url}/ws", name="Ada", encoding=encoding) as client:
        async with client.subscribe("chat/lobby") as lobby:
            first = await client.publish("chat/lobby", {"hello": "wörld"}, headers={"a": "b"})
            await client.publish("chat/lobby", b"\x00\xff", expect=first)
            with pytest.raises(chappe.ChappeError) as caught:
                await client.publish("chat/lobby", "late", expect=first)
            assert caught.value.code == 114
            assert caught.value.detail["offset"] == first.offset + 1
            one, two = [await anext(lobby) for _ in range(2)]
        assert (one.data, one.headers, two.data) == ({"hello": "wörld"}, {"a": "b"}, b"\x00\xff")
        assert one.from_ is not None
        assert (one.from_.name, one.from_.session, one.position) == ("Ada", client.session, first.position)
        assert one.time is not None
        page = await client.history("chat/lobby", since=first.position)
        assert [publication.data for publication in page.publications] == [b"\x00\xff"]


@pytest.mark.parametrize("encoding", BOTH)
async def test_presence_calls_locks_and_messages(encoding: Encoding) -> None:
    async with running() as server:
        url = f"{server.url}/ws"
        async with (
            chappe.connect(url, name="Ada", encoding=encoding) as ada,
            chappe.connect(url, name="Blaise", encoding=encoding) as blaise,
            ada.subscribe("chat/lobby"),
            blaise.subscribe("chat/lobby", presence=True) as lobby,
        ):
            items = lobby.items()
            state, join = await _first(items, 2)
            assert isinstance(state, PresenceState)
            assert isinstance(join, Join)
            assert join.member.session == blaise.session
            assert sorted(member.name for member in lobby.members) == ["Ada", "Blaise"]
            assert (await ada.presence("chat/lobby")).count == 2
            assert await ada.call("add", a=1, b=2) == 3
            with pytest.raises(chappe.ChappeError) as unknown:
                await ada.call("subtract")
            assert unknown.value.code == 104
            async with ada.lock("doc/1") as lock:
                assert lock.owner == ada.session
                with pytest.raises(chappe.ChappeError) as locked:
                    await blaise.lock("doc/1")
                assert (locked.value.code, locked.value.detail["owner"]) == (118, ada.session)
            assert (await blaise.lock("doc/1")).token > lock.token
            events = Recorder(ada)
            await ada.call("whisper")
            assert await events.wait("message") == ({"only": "you"},)
            assert await ada.ping() > 0


async def test_a_name_in_use_in_another_case_is_refused() -> None:
    async with running() as server, chappe.connect(f"{server.url}/ws", name="Ada"):
        with pytest.raises(chappe.ChappeError) as caught:
            await chappe.connect(f"{server.url}/ws", name="ADA")
        assert caught.value.code == chappe.Code.NAME_IN_USE


async def test_after_a_cut_we_are_the_same_session_and_nothing_is_missing() -> None:
    async with (
        running() as server,
        FaultProxy("127.0.0.1", server.port) as proxy,
        chappe.connect(f"ws://127.0.0.1:{proxy.port}/ws", name="Ada", **QUICK) as client,
        client.subscribe("chat/lobby") as lobby,
        client.subscribe("chat/+") as rooms,
    ):
        events, session = Recorder(client), client.session
        await client.publish("chat/lobby", 1)
        proxy.reset()
        await server.hub.publish("chat/lobby", 2)
        await events.wait("resubscribed", 2)
        await client.publish("chat/lobby", 3)
        assert client.session == session
        for subscription in (lobby, rooms):
            assert [(await anext(subscription)).data for _ in range(3)] == [1, 2, 3]
            assert subscription.recovered is True


async def test_a_hub_that_starts_again_with_nothing_is_told_as_a_gap_and_everything_goes_on() -> None:
    async with running() as server:
        url, port = f"{server.url}/ws", server.port
        client = await chappe.connect(url, name="Ada", **QUICK)
        lobby = await client.subscribe("chat/lobby")
        events = Recorder(client)
        await client.publish("chat/lobby", "before")
    assert await events.wait("disconnected") == (chappe.Code.SHUTDOWN,)
    async with running(port):
        await events.wait("resubscribed")
        await client.publish("chat/lobby", "after")
        before, gap, after = await _first(lobby.items(), 3)
        assert isinstance(before, Publication)
        assert isinstance(gap, Resubscribed)
        assert isinstance(after, Publication)
        assert (before.data, gap.recovered, after.data) == ("before", False, "after")
        await client.close()


async def test_a_client_without_a_right_is_told_so() -> None:
    server = chappe.Server(chappe.Hub(anonymous=True), port=0)
    await server.start()
    try:
        async with chappe.connect(f"{server.url}/ws") as client:
            with pytest.raises(chappe.ChappeError) as caught:
                await client.subscribe("secret")
            assert caught.value.code == chappe.Code.PERMISSION_DENIED
            with pytest.raises(chappe.ChappeError) as refused:
                await client.publish("secret", 1)
            assert refused.value.code == chappe.Code.PERMISSION_DENIED
    finally:
        await server.stop()


@pytest.mark.parametrize("transport", ["websocket", "sse", "polling"])
async def test_a_session_outlives_its_token_where_a_function_gives_newer_ones(
    transport: Transport, tmp_path: Path
) -> None:
    given: list[str] = []
    replaced = asyncio.Event()

    def get_token() -> str:
        given.append(token())
        if len(given) == 4:
            replaced.set()
        return given[-1]

    async with running_with_tokens(tmp_path) as server:
        with pytest.raises(chappe.ChappeError) as caught:
            await chappe.connect(f"{server.url}/ws", token="opaque", transports=(transport,))
        assert caught.value.code == chappe.Code.UNAUTHORIZED
        async with chappe.connect(f"{server.url}/ws", token=get_token, transports=(transport,)) as client:
            events = Recorder(client)
            await replaced.wait()
            assert await client.ping() > 0
            assert events.names("latency") == []
            assert client.info is not None
            assert client.info.user == "ada"


@pytest.mark.parametrize("transport", ["websocket", "sse", "polling"])
async def test_a_token_that_ends_costs_a_reconnect_and_one_that_is_refused_the_client(
    transport: Transport, tmp_path: Path
) -> None:
    async with running_with_tokens(tmp_path) as server:
        client = chappe.connect(f"{server.url}/ws", token=token(), transports=(transport,), **QUICK)
        events = Recorder(client)
        async with client:
            assert await events.wait("disconnected") == (3005,)
            await client.wait_closed()
            assert client.error is not None
            assert (client.error.code, client.state) == (chappe.Code.TOKEN_EXPIRED, "refused")
        bearer = {"Authorization": "Bearer opaque"}
        with pytest.raises(chappe.ChappeError) as caught:
            await chappe.connect(f"{server.url}/ws", headers=bearer, transports=(transport,))
        assert caught.value.code == chappe.Code.UNAUTHORIZED


async def test_classic_and_chappe_v1_meet_in_one_room() -> None:
    async with (
        running() as server,
        chappe.connect(f"{server.url}/ws", name="Ada") as ada,
        ada.subscribe("chat/lobby", presence=True) as lobby,
        chappe.classic.connect(server.url, "Blaise") as blaise,
    ):
        await blaise.send("bonjour")
        heard = await anext(lobby)
        assert heard.data == {"type": "message", "content": "bonjour", "username": "Blaise"}
        own = await blaise.receive()
        await ada.publish("chat/lobby", "hello")
        told = await blaise.receive()
        assert isinstance(own, chappe.classic.Message)
        assert isinstance(told, chappe.classic.Message)
        assert [(said.username, said.content) for said in (own, told)] == [("Blaise", "bonjour"), ("Ada", "hello")]
        with pytest.raises(chappe.ChappeError) as caught:
            await chappe.classic.connect(server.url, "ada")
        assert caught.value.code == chappe.Code.NAME_IN_USE


async def test_the_client_of_any_server_speaks_to_echo() -> None:
    async with running() as server, chappe.websocket.connect(f"{server.url}/echo") as client:
        await client.send("text")
        await client.send(b"\x00\xff")
        assert [await client.receive(), await client.receive()] == ["text", b"\x00\xff"]


async def _first(items: AsyncIterator[Any], count: int) -> list[Any]:
    return [await anext(items) for _ in range(count)]
