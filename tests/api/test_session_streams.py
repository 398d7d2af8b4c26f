"""`/events?session=` at a real port, and POSTs to sessions of streams (spec/protocol.md, PO-8)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import websockets

import chappe
from tests.api.poll_client import PollClient, client, data, problem
from tests.transports.sse_harness import Reader, Served, served


def of(reader: Reader, session: str, http: Any) -> PollClient:
    """Return a client that sends for a session that a stream reads."""
    sender = PollClient(http)
    sender.session = session
    return sender


async def told(reader: Reader) -> tuple[str, Any]:
    """Return the name of the next event and its data."""
    said = await reader.event()
    return said.name, json.loads(said.data)


@pytest.mark.parametrize("native", [True, False])
async def test_po_8_a_session_is_read_as_a_stream_what_waits_first(native: bool) -> None:
    async with served(native=native) as server, client(server) as http:
        ada = await PollClient(http).begin()
        await ada.subscribe("a")
        await server.hub.publish("a", 1)
        unacknowledged = (await ada.ask()).json()
        await server.hub.publish("a", 2)
        reader, first = await server.stream(f"/events?session={ada.session}")
        assert first == {"session": ada.session, "channels": {}}
        assert data(unacknowledged["messages"]) == [1]
        assert [await reader.data(), await reader.data()] == [1, 2]
        await ada.send({"type": "publish", "channel": "a", "data": 3})
        assert await reader.data() == 3
        assert await ada.send({"type": "rpc", "method": "none"}, replies="push") == []
        name, error = await told(reader)
        assert (name, error["code"], error["id"]) == ("error", 104, 1)
        await ada.send({"type": "history", "channel": "a"}, replies="push")
        name, reply = await told(reader)
        assert (name, data([{"type": "publication", **each} for each in reply["publications"]])) == ("reply", [1, 2, 3])
        assert server.hub._admission.websockets.taken == 1


async def test_po_8_the_request_subscribes_the_session_to_more_and_identifies_it() -> None:
    async with served(tokens=True) as server, client(server) as http:
        ada = await PollClient(http).begin()
        path = f"/events?session={ada.session}&channel=members&channel=a/%2B"
        reader, first = await server.stream(path, Authorization="Bearer ada")
        assert set(first["channels"]) == {"members", "a/+"}
        await server.hub.publish("a/1", 1)
        assert await reader.data() == 1
        refused = await http.get("/events", params={"session": ada.session, "channel": ["b", "closed"]})
        assert problem(refused) in ((404, 117), (403, 103))
        (session,) = server.hub.core.sessions.values()
        assert session.user == "ada"


async def test_po_8_a_channel_that_is_refused_leaves_nothing_subscribed() -> None:
    async with served() as server, client(server) as http:
        ada = await PollClient(http).begin()
        await ada.subscribe("b")
        for channels, expected in (
            (["a", "closed"], (403, 103)),
            (["a", "b"], (409, 105)),
            (["a", "a/#/b"], (400, 107)),
        ):
            answer = await http.get("/events", params={"session": ada.session, "channel": channels})
            assert problem(answer) == expected
            (session,) = server.hub.core.sessions.values()
            assert list(session.subscriptions) == ["b"]
        assert problem(await http.get("/events", params={"session": ada.session, "raw": "1"})) == (400, 107)
        classic = await PollClient(http).begin(protocol="classic")
        assert problem(await http.get("/events", params={"session": classic.session})) == (400, 107)


async def test_po_8_a_poll_takes_over_from_the_stream_which_is_told_nothing() -> None:
    async with served() as server, client(server) as http:
        ada = await PollClient(http).begin()
        await ada.subscribe("a")
        reader, _ = await server.stream(f"/events?session={ada.session}")
        polling = asyncio.create_task(ada.poll())
        await reader.end()
        assert b"event: close" not in reader.body
        await server.hub.publish("a", 1)
        assert data(await polling) == [1]
        assert len(server.hub.core.sessions) == server.hub._admission.websockets.taken == 1


async def test_po_8_a_stream_ends_the_waiting_poll() -> None:
    async with served() as server, client(server) as http:
        ada = await PollClient(http).begin()
        polling = asyncio.create_task(ada.ask())
        await server.until(lambda: server.hub._metrics()["chappe_polls_waiting"] == 1)
        await server.stream(f"/events?session={ada.session}")
        assert (await polling).status_code == 204


async def test_po_8_a_session_ends_with_its_stream_and_comes_back_without_loss() -> None:
    async with served() as server, client(server) as http:
        ada = await PollClient(http).begin()
        (connected,) = await ada.send({"type": "connect", "name": "Ada"})
        path = f"/events?session={ada.session}&channel=a&channel=b"
        reader, _ = await server.stream(path)
        await server.hub.publish("a", 1)
        assert await reader.data() == 1
        reader.writer.transport.abort()
        await server.until(lambda: not server.hub.core.sessions)
        assert problem(await ada.ask()) == (404, 117)
        await server.hub.publish("b", 2)
        again, first = await server.stream(path, Last_Event_ID=reader.last_id)
        assert first["session"] == ada.session
        assert all(answer["recovered"] for answer in first["channels"].values())
        await server.hub.publish("a", 3)
        assert [await again.data(), await again.data()] == [2, 3]
        assert list(server.hub.core.sessions) == [connected["session"]]
        assert await ada.send({"type": "ping"}) == [{"type": "pong", "id": 1}]


async def test_po_8_who_reads_anew_while_the_old_stream_hangs_begins_anew() -> None:
    async with served() as server, client(server) as http:
        ada = await PollClient(http).begin()
        path = f"/events?session={ada.session}&channel=a"
        reader, _ = await server.stream(path)
        await server.hub.publish("a", 1)
        assert await reader.data() == 1
        again, first = await server.stream(path, Last_Event_ID=reader.last_id)
        assert first["channels"]["a"]["recovered"] is True
        name, end = await told(reader)
        assert (name, end["code"]) == ("close", 3502)
        await server.hub.publish("a", 2)
        assert await again.data() == 2


async def test_po_8_a_session_that_never_said_connect_outlives_the_cut_of_its_stream() -> None:
    # Only the answer to `connect` made a handle good, though polls tell it from the beginning.
    async with served() as server, client(server) as http:
        ada = await PollClient(http).begin()
        await ada.subscribe("a")
        (public,) = server.hub.core.sessions
        reader = await Reader(server.port).open(f"/events?session={ada.session}")
        reader.writer.transport.abort()
        await server.until(lambda: not server.hub.core.sessions)
        assert (await http.get("/poll", params={"session": ada.session})).json()["session"] == ada.session
        assert list(server.hub.core.sessions) == [public]


async def test_po_8_a_stream_that_identifies_waits_for_a_post_that_does() -> None:
    # Its `connect` overtook that of the POST while a hook thought about it: the session could do nothing any more.
    release = asyncio.Event()

    def prepare(hub: chappe.Hub) -> None:
        @hub.on_connect
        async def think(session: Any) -> None:
            await release.wait()

    async with served(tokens=True, prepare=prepare) as server, client(server) as http:
        ada = await PollClient(http).begin()
        posting = asyncio.create_task(ada.send({"type": "connect", "token": "ada"}))
        await server.until(lambda: server.hub._metrics()["chappe_posts_total"] == 1)
        asked = asyncio.create_task(
            server.stream(f"/events?session={ada.session}&channel=a", Authorization="Bearer bob")
        )
        pinging = asyncio.create_task(ada.send({"type": "ping"}))
        await server.until(lambda: server.hub._metrics()["chappe_posts_total"] == 2)
        release.set()
        (connected,) = await posting
        assert connected["user"] == "ada"
        _, first = await asked
        assert list(first["channels"]) == ["a"]
        assert await pinging == [{"type": "pong", "id": 1}]


async def test_po_8_a_client_that_counts_down_to_the_lowest_id_gets_its_own_answer() -> None:
    # What a stream asks had that id too, so that it took the answer to the rpc for its own.
    release = asyncio.Event()

    def prepare(hub: chappe.Hub) -> None:
        @hub.rpc("slow")
        async def slow(session: Any) -> str:
            await release.wait()
            return "done"

    async with served(prepare=prepare) as server, client(server) as http:
        ada = await PollClient(http).begin()
        posting = asyncio.create_task(ada.post({"type": "rpc", "id": -(2**63), "method": "slow"}))
        await server.until(lambda: server.hub._metrics()["chappe_posts_total"] == 1)
        _, first = await server.stream(f"/events?session={ada.session}&channel=a")
        assert list(first["channels"]) == ["a"]
        release.set()
        assert (await posting).json()["messages"] == [{"type": "reply", "id": -(2**63), "result": "done"}]


async def test_po_8_the_last_event_of_a_stream_that_the_hub_ends_says_why() -> None:
    async with served() as server, client(server) as http:
        ada = await PollClient(http).begin()
        reader, _ = await server.stream(f"/events?session={ada.session}&channel=a")
        many, _ = await server.stream("/events?channel=a&channel=b")
        for session in tuple(server.hub.core.sessions.values()):
            session.close(3503, "out")
        for each in (reader, many):
            assert await told(each) == ("close", {"type": "close", "code": 3503, "reason": "out"})
            await each.end()
            assert each.complete
        assert problem(await ada.ask()) == (410, 3503)


@pytest.mark.parametrize("channels", ["channel=a", "channel=a&channel=b", "channel=a/%23"])
@pytest.mark.parametrize("native", [True, False])
async def test_po_8_the_session_of_a_stream_takes_posts_and_its_cursor_knows_what_they_subscribed(
    channels: str, native: bool
) -> None:
    async with served(native=native) as server, client(server) as http:
        reader, first = await server.stream(f"/events?{channels}")
        await server.hub.publish("a", 1)
        assert await reader.data() == 1
        sender = of(reader, first["session"], http)
        (reply,) = await sender.send({"type": "subscribe", "channel": "c"})
        assert reply["type"] == "reply"
        await sender.send({"type": "publish", "channel": "c", "data": 2})
        assert await reader.data() == 2
        await server.hub.publish("a", 3)
        assert await reader.data() == 3
        reader.writer.transport.abort()
        await server.until(lambda: not server.hub.core.sessions)
        await server.hub.publish("c", 4)
        await server.hub.publish("a", 5)
        again, told_again = await server.stream(f"/events?{channels}&channel=c", Last_Event_ID=reader.last_id)
        assert all(answer["recovered"] for answer in told_again["channels"].values())
        assert sorted([await again.data(), await again.data()]) == [4, 5]


async def test_po_8_delete_ends_the_session_of_a_stream() -> None:
    async with served() as server, client(server) as http:
        reader, first = await server.stream("/events?channel=a")
        answer = await http.delete("/poll", params={"session": first["session"]})
        assert answer.status_code == 204
        await reader.end()
        assert not server.hub.core.sessions
        assert server.hub._admission.websockets.taken == 0
        raw = await server.read("/events?channel=a&raw=1")
        assert raw.status == 200
        await server.until(lambda: len(server.hub.core.sessions) == 1)
        (session,) = server.hub.core.sessions.values()
        assert problem(await of(raw, session.resume, http).post([])) == (404, 117)


async def test_po_8_a_poll_of_a_stream_that_named_its_channels_begins_anew_with_its_id() -> None:
    async with served() as server, client(server) as http:
        reader, first = await server.stream("/events?channel=a")
        (before,) = server.hub.core.sessions
        told_now = (await http.get("/poll", params={"session": first["session"]})).json()
        assert told_now["session"] == first["session"]
        await reader.end()
        (session,) = server.hub.core.sessions.values()
        assert (session.id, dict(session.subscriptions)) == (before, {})


async def test_po_8_a_socket_moves_to_a_stream_with_its_handle() -> None:
    async with served() as server:
        async with websockets.connect(f"ws://127.0.0.1:{server.port}/ws") as socket:
            await socket.send('{"type":"connect","id":1,"name":"Ada"}')
            first = json.loads(await socket.recv())
        reader, begun = await server.stream(f"/events?session={first['resume']}&channel=a")
        assert begun["session"] == first["resume"]
        (session,) = server.hub.core.sessions.values()
        assert (session.id, session.name) == (first["session"], "Ada")
        await server.hub.publish("a", 1)
        assert await reader.data() == 1


async def test_a_stream_of_a_session_shuts_down_with_the_hub() -> None:
    async with served() as server, client(server) as http:
        ada = await PollClient(http).begin()
        reader, _ = await server.stream(f"/events?session={ada.session}&channel=a")
        server.server.should_exit = True
        assert (await told(reader))[1]["code"] == 3001
        await reader.end()


async def heartbeats(server: Served, http: Any) -> None:
    ada = await PollClient(http).begin()
    reader, _ = await server.stream(f"/events?session={ada.session}")
    await reader.comments(3)


@pytest.mark.slow
@pytest.mark.parametrize("native", [True, False])
async def test_a_stream_of_a_session_has_heartbeats_and_outlives_the_time_between_polls(native: bool) -> None:
    options: dict[str, Any] = {"poll__session_s": 0.2, "limits__sse_heartbeat_s": 1.0, "limits__pong_timeout_s": 1.0}
    async with served(native=native, **options) as server, client(server) as http:
        await heartbeats(server, http)
        assert len(server.hub.core.sessions) == 1
