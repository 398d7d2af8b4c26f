"""A request for a session reaches the node that has it, whichever node it comes to."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect as websocket

from chappe.app import Hub
from chappe.serving import Server
from chappe.testing.shared_memory import SharedMemory
from chappe.transports.event_loop import LoopClock

pytestmark = pytest.mark.slow


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what nothing tells of; the test's own timeout ends it."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def two_nodes(**options: Any) -> AsyncIterator[tuple[Server, Server]]:
    """Run two hubs on one engine."""
    engine = SharedMemory(LoopClock(), os.urandom)
    servers = [Server(Hub(dev=True, broker=engine.broker(), **options), port=0) for _ in range(2)]
    for server in servers:
        await server.start()
    clusters = [server.hub.core.cluster for server in servers]
    await until(lambda: all(cluster and cluster.nodes.others for cluster in clusters))
    try:
        yield servers[0], servers[1]
    finally:
        for server in servers:
            await server.stop()


@contextlib.asynccontextmanager
async def clients() -> AsyncIterator[tuple[Server, Server, httpx.AsyncClient, httpx.AsyncClient]]:
    async with (
        two_nodes() as (a, b),
        httpx.AsyncClient(base_url=a.url, timeout=10) as at_a,
        httpx.AsyncClient(base_url=b.url, timeout=10) as at_b,
    ):
        yield a, b, at_a, at_b


async def test_a_session_is_polled_and_posted_to_through_another_node() -> None:
    async with clients() as (_, b, at_a, at_b):
        begun = (await at_a.get("/poll")).json()
        session = {"session": begun["session"]}
        subscribe = {"type": "subscribe", "id": 1, "channel": "news"}
        answered = await at_b.post("/send", params=session, json=subscribe)
        assert answered.json()["messages"][0]["channel"] == "news"
        waiting = asyncio.create_task(at_b.get("/poll", params={**session, "cursor": begun["cursor"]}))
        await b.hub.publish("news", "hello")
        batch = (await waiting).json()
        assert [message["data"] for message in batch["messages"]] == ["hello"]
        # Not acknowledged yet: the same again, at its own node.
        again = (await at_a.get("/poll", params=session)).json()
        assert again == batch
        assert (await at_b.delete("/poll", params=session)).status_code == 204
        gone = await at_a.get("/poll", params=session)
        assert (gone.status_code, gone.json()["code"]) == (404, 117)


async def test_a_large_answer_comes_through_whole() -> None:
    async with clients() as (a, _, at_a, at_b):
        begun = (await at_a.get("/poll")).json()
        session = {"session": begun["session"]}
        await at_a.post("/send", params=session, json={"type": "subscribe", "id": 1, "channel": "news"})
        for number in range(40):
            await a.hub.publish("news", [number, "x" * 20_000])
        batch = (await at_b.get("/poll", params=session)).json()
        assert [message["data"][0] for message in batch["messages"]] == list(range(40))


async def test_a_client_that_goes_away_ends_its_poll_at_the_other_node() -> None:
    async with clients() as (a, b, at_a, _):
        begun = (await at_a.get("/poll")).json()
        query = f"/poll?session={begun['session']}&cursor={begun['cursor']}"
        _, writer = await asyncio.open_connection("127.0.0.1", b.port)
        writer.write(f"GET {query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        polls = a.hub._http_sessions
        await until(lambda: polls.metrics()["chappe_polls_waiting"] == 1)
        writer.close()
        await until(lambda: polls.metrics()["chappe_polls_waiting"] == 0)
        assert len(a.hub.core.sessions) == 1


async def test_an_unknown_session_is_unknown_everywhere() -> None:
    async with clients() as (a, _, at_a, at_b):
        for handle in ("x" * 40, a.hub.core.node + "0" * 32):
            for client in (at_a, at_b):
                answer = await client.post("/send", params={"session": handle}, json={"type": "ping", "id": 1})
                assert (answer.status_code, answer.json()["code"]) == (404, 117)


@pytest.mark.parametrize(
    ("session", "headers", "status"),
    [
        ("nobody", {}, 404),
        ("somebody", {"Host": "evil.example"}, 421),
        ("somebody", {"Origin": "https://evil.example"}, 403),
    ],
)
async def test_who_is_not_let_in_makes_no_node_read_a_body(session: str, headers: dict[str, str], status: int) -> None:
    # The whole body was read and sent to the other node, which looked at who asks first.
    async with clients() as (a, b, at_a, _):
        begun = (await at_a.get("/poll")).json()
        handle = begun["session"] if session == "somebody" else a.hub.core.node + "0" * 32
        fields = {"Host": "127.0.0.1", "Content-Length": "1000000", **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        reader, writer = await asyncio.open_connection("127.0.0.1", b.port)
        writer.write(f"POST /send?session={handle} HTTP/1.1\r\n{head}\r\n".encode())
        # No byte of it is sent, and the answer comes.
        assert (await reader.readline()).split()[1] == str(status).encode()
        writer.close()
        assert b.hub._metrics()["chappe_forwarded_total"] == 0


async def test_a_session_is_asked_for_once_and_again_when_it_has_ended() -> None:
    async with clients() as (a, b, at_a, at_b):
        begun = (await at_a.get("/poll")).json()
        session, asked = {"session": begun["session"]}, []
        known = b.hub._forwarding
        assert known is not None
        check = known.check_known

        async def counted(node: str, handle: str) -> None:
            asked.append(handle in known._known)
            await check(node, handle)

        known.check_known = counted  # type: ignore[method-assign]
        for _ in range(3):
            ping = await at_b.post("/send", params=session, json={"type": "ping", "id": 1})
            assert ping.json()["messages"] == [{"type": "pong", "id": 1}]
        assert (await at_a.delete("/poll", params=session)).status_code == 204
        for _ in range(2):
            gone = await at_b.post("/send", params=session, json={"type": "ping", "id": 1})
            assert (gone.status_code, gone.json()["code"]) == (404, 117)
        assert asked == [False, True, True, True, False]
        assert a.hub._metrics()["chappe_forwarded_served_total"] == 4


async def test_a_page_of_another_origin_is_refused_through_another_node_too() -> None:
    async with clients() as (_, __, at_a, at_b):
        begun = (await at_a.get("/poll")).json()
        answer = await at_b.get(
            "/poll", params={"session": begun["session"]}, headers={"Origin": "https://evil.example"}
        )
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers


async def test_a_socket_takes_a_polled_session_of_another_node_over() -> None:
    async with clients() as (_, b, at_a, __):
        begun = (await at_a.get("/poll")).json()
        session = {"session": begun["session"]}
        told = await at_a.post("/send", params=session, json={"type": "connect", "id": 1, "name": "Ada B"})
        public = told.json()["messages"][0]["session"]
        async with websocket(f"ws://127.0.0.1:{b.port}/ws") as socket:
            await socket.send(json.dumps({"type": "connect", "id": 1, "name": "Ada B", "resume": begun["session"]}))
            answer = json.loads(await socket.recv())
            assert (answer["session"], answer["resumed"]) == (public, True)


async def test_a_stream_begins_a_session_that_takes_posts_at_the_other_node() -> None:
    async with clients() as (_, b, at_a, at_b), at_a.stream("GET", "/events", params={"session": ""}) as stream:
        lines = stream.aiter_lines()

        async def data_of(name: str) -> Any:
            async for line in lines:
                if line == f"event: {name}":
                    return json.loads((await anext(lines)).removeprefix("data:"))
            raise AssertionError("the stream ended")

        session = {"session": (await data_of("subscribed"))["session"], "replies": "push"}
        posted = await at_b.post("/send", params=session, json={"type": "subscribe", "id": 1, "channel": "news"})
        assert posted.json() == {"messages": []}
        assert (await data_of("reply"))["channel"] == "news"
        await b.hub.publish("news", "hello")
        async for line in lines:
            if line.startswith("data:"):
                assert json.loads(line.removeprefix("data:"))["data"] == "hello"
                break


async def test_a_stream_at_another_node_takes_a_polled_session_over_with_its_name() -> None:
    # Only polls and POSTs are passed on, and a stream cannot be: it was 404 wherever a balancer had it go astray.
    async with clients() as (a, b, at_a, at_b):
        begun = (await at_a.get("/poll")).json()
        connect = {"type": "connect", "id": 1, "name": "Ada"}
        told = await at_a.post("/send", params={"session": begun["session"]}, json=connect)
        public = told.json()["messages"][0]["session"]
        parameters = {"session": begun["session"], "channel": "news"}
        async with at_b.stream("GET", "/events", params=parameters) as stream:
            assert stream.status_code == 200
            lines = stream.aiter_lines()
            async for line in lines:
                if line == "event: subscribed":
                    break
            subscribed = json.loads((await anext(lines)).removeprefix("data:"))
            (session,) = b.hub.core.sessions.values()
            assert (session.id, session.name, list(a.hub.core.sessions)) == (public, "Ada", [])
            # Its handle is of the node that has it, so that requests are passed on to there.
            ping = {"type": "ping", "id": 1}
            posted = await at_a.post("/send", params={"session": subscribed["session"]}, json=ping)
            assert posted.json()["messages"] == [{"type": "pong", "id": 1}]
        # Who comes back with the handle it asked with is still the same.
        async with at_b.stream("GET", "/events", params=parameters) as stream:
            assert stream.status_code == 200
            await until(lambda: list(b.hub.core.sessions) == [public])
        for nobody in (begun["session"][:8] + "0" * 32, "0" * 40):
            assert (await at_b.get("/events", params={"session": nobody})).status_code == 404


async def test_an_id_that_a_client_made_up_is_one_session_on_all_nodes() -> None:
    # Each node began its own, so that polls heard nothing of what POSTs had said.
    async with clients() as (a, b, at_a, at_b):
        for number in range(8):
            name = {"clientId": f"page{number}"}
            await at_a.post("/send", params=name, json={"type": "login", "content": f"Ada{number}"})
            assert "join" in (await at_b.get("/poll", params=name)).text
            assert (await at_b.delete("/poll", params=name)).status_code == 204
        assert not a.hub.core.sessions
        assert not b.hub.core.sessions
        assert a.hub.core.counters.logins
        assert b.hub.core.counters.logins


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_nobodys_fault(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # It was logged as a failure of the app, with a stack.
    async with clients() as (_, b, at_a, __):
        begun = (await at_a.get("/poll")).json()
        _, writer = await asyncio.open_connection("127.0.0.1", b.port)
        head = f"POST /send?session={begun['session']} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n"
        writer.write(head.encode() + b"[")
        forwarding = b.hub._forwarding
        await until(lambda: forwarding is not None and begun["session"] in forwarding._known)
        writer.transport.abort()
        server = b._server
        assert server is not None
        await until(lambda: not server.server_state.tasks)
    assert "disconnect" not in caplog.text.lower()


async def test_a_session_of_a_node_that_is_gone_is_unknown() -> None:
    async with two_nodes() as (a, b), httpx.AsyncClient(timeout=10) as http:
        begun = (await http.get(f"{a.url}/poll")).json()
        await a.stop()
        left = b.hub.core.cluster
        assert left is not None
        # Its goodbye is on its way for a moment; who asks meanwhile gets 503.
        await until(lambda: not left.nodes.others)
        answer = await http.get(f"{b.url}/poll", params={"session": begun["session"], "cursor": begun["cursor"]})
        assert (answer.status_code, answer.json()["code"]) == (404, 117)


async def test_backends_see_and_end_sessions_of_all_nodes() -> None:
    async with clients() as (a, b, at_a, _):
        urls = [f"ws://127.0.0.1:{server.port}/ws" for server in (a, b)]
        async with websocket(urls[0]) as first, websocket(urls[1]) as second:
            ids = []
            for socket, name in ((first, "Ada B"), (second, "Blaise P")):
                await socket.send(json.dumps({"type": "connect", "id": 1, "name": name}))
                ids.append(json.loads(await socket.recv())["session"])
                await socket.send(json.dumps({"type": "subscribe", "id": 2, "channel": "chat/lobby"}))
                await socket.send(json.dumps({"type": "lock", "id": 3, "resource": f"lock of {name}"}))
                while json.loads(await socket.recv()).get("id") != 3:
                    pass
            listed = (await at_a.get("/api/connections")).json()
            assert {entry["session"]: entry["node"] for entry in listed["connections"]} == {
                ids[0]: a.hub.core.node,
                ids[1]: b.hub.core.node,
            }
            page = (await at_a.get("/api/connections", params={"limit": 1})).json()
            rest = (await at_a.get("/api/connections", params={"limit": 1, "after": page["next"]})).json()
            assert sorted(e["session"] for each in (page, rest) for e in each["connections"]) == sorted(ids)
            channels = (await at_a.get("/api/channels")).json()["channels"]
            assert [(entry["channel"], entry["subscribers"]) for entry in channels] == [("chat/lobby", 2)]
            assert len((await at_a.get("/api/locks")).json()["locks"]) == 2
            assert len((await at_a.get("/api/info")).json()["nodes"]) == 2
            ended = await at_a.post("/api/unsubscribe", json={"session": ids[1], "channel": "chat/lobby"})
            assert ended.json() == {"unsubscribed": 1}
            ended = await at_a.post("/api/disconnect", json={"session": ids[1]})
            assert ended.json() == {"disconnected": 1}
            await second.wait_closed()
            assert second.close_code == 3503
            unknown = await at_a.post("/api/disconnect", json={"session": ids[1]})
            assert unknown.json()["code"] == 117
