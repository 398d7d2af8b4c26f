"""`/poll` and `/send` at a real port (spec/protocol.md, part PO)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import websockets
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response

import chappe
from tests.api.poll_client import PollClient, client, data, problem
from tests.server.certificate import Certificate
from tests.transports.sse_harness import Served, served

PAGE = "https://app.example"
#: The room of classic.
CHAT: dict[str, Any] = {
    "namespaces__chat__room": True,
    "namespaces__chat__presence": True,
    "namespaces__chat__level": "recoverable",
    "namespaces__chat__subscribe": "anonymous",
    "namespaces__chat__publish": "anonymous",
}


@contextlib.asynccontextmanager
async def polled(**options: Any) -> AsyncIterator[tuple[Served, PollClient]]:
    """Run a hub and begin a session at it."""
    async with served(**options) as server, client(server) as http:
        yield server, await PollClient(http).begin()


async def waits(server: Served, count: int = 1) -> None:
    """Wait until so many polls wait."""
    await server.until(lambda: server.hub._metrics()["chappe_polls_waiting"] == count)


# --- Polls ------------------------------------------------------------------------------------------------------------


async def test_po_2_a_session_begins_at_once_and_its_connect_has_its_handle() -> None:
    async with polled() as (server, ada):
        assert len(ada.session) == 40
        reply, *rest = await ada.send({"type": "connect", "name": "Ada"}, {"type": "ping"})
        assert (reply["resume"], reply["name"], reply["resumed"]) == (ada.session, "Ada", False)
        assert rest == [{"type": "pong", "id": 2}]
        assert reply["session"] in server.hub.core.sessions


async def test_po_2_a_poll_waits_and_a_burst_comes_in_one_answer_in_order() -> None:
    async with polled() as (server, ada):
        await ada.subscribe("news")
        polling = asyncio.create_task(ada.poll())
        await waits(server)
        for number in range(5):
            await server.hub.publish("news", number)
        assert data(await polling) == list(range(5))


async def test_po_2_without_anything_to_say_a_poll_is_204_after_its_timeout_and_the_cursor_stays() -> None:
    async with polled() as (server, ada):
        await ada.subscribe("news")
        assert (await ada.ask(timeout=0)).status_code == 204
        assert (await ada.ask(timeout="0.05")).status_code == 204
        await server.hub.publish("news", 1)
        assert data(await ada.poll()) == [1]
        for wrong in ("-1", "61", "nan", "x", "inf"):
            answer = await ada.ask(timeout=wrong)
            assert problem(answer) == (400, 107)
            assert answer.json()["parameters"]["field"] == "timeout"


async def test_po_3_a_poll_repeats_what_was_not_acknowledged_and_nothing_else() -> None:
    async with polled() as (server, ada):
        await ada.subscribe("news")
        await server.hub.publish("news", 1)
        before = ada.cursor
        first = (await ada.ask()).json()
        await server.hub.publish("news", 2)
        assert (await ada.ask()).json() == first
        assert (await ada.http.get("/poll", params={"session": ada.session})).json() == first
        ada.cursor = first["cursor"]
        assert data(await ada.poll()) == [2]
        assert problem(await ada.ask(before)) == (410, 112)
        assert problem(await ada.ask("x" * 10_000)) == (410, 112)
        assert (await ada.ask(timeout=0)).status_code == 204


async def test_po_3_an_answer_that_was_lost_on_the_way_comes_again() -> None:
    async with polled() as (server, ada):
        await ada.subscribe("news")
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        path = f"/poll?session={ada.session}&cursor={ada.cursor}"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        await waits(server)
        await server.hub.publish("news", 1)
        assert (await reader.read(9)) == b"HTTP/1.1 "
        writer.transport.abort()
        await server.hub.publish("news", 2)
        assert data(await ada.poll()) == [1]
        assert data(await ada.poll()) == [2]


async def test_po_4_another_poll_ends_the_one_before_with_204() -> None:
    async with polled() as (server, ada):
        await ada.subscribe("news")
        first = asyncio.create_task(ada.ask())
        await waits(server)
        second = asyncio.create_task(ada.ask())
        assert (await first).status_code == 204
        await waits(server)
        await server.hub.publish("news", 1)
        assert data((await second).json()["messages"]) == [1]


async def test_po_4_a_session_ends_when_its_client_does_not_come_back() -> None:
    async with polled(poll__session_s=0.2, poll__hold_s=1) as (server, ada):
        await ada.send({"type": "connect", "name": "Ada"})
        # A poll that waits longer than a session lives is alive.
        assert (await ada.ask(timeout="0.5")).status_code == 204
        assert len(server.hub.core.sessions) == 1
        await server.until(lambda: not server.hub.core.sessions)
        assert problem(await ada.ask()) == (404, 117)
        assert problem(await ada.post({"type": "ping"})) == (404, 117)
        assert (await PollClient(ada.http).begin()).session != ada.session
        metrics = server.hub._metrics()
        assert metrics["chappe_poll_sessions_expired_total"] == 1
        assert server.hub._admission.websockets.taken == 1


async def test_po_4_a_session_ends_soon_after_its_waiting_client_went_away() -> None:
    async with polled(poll__session_s=0.2) as (server, ada):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(f"GET /poll?session={ada.session} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        await waits(server)
        writer.transport.abort()
        await server.until(lambda: not server.hub.core.sessions)


async def test_po_7_delete_ends_the_session_and_its_waiting_poll() -> None:
    async with polled() as (server, ada):
        await ada.send({"type": "connect", "name": "Ada"})
        polling = asyncio.create_task(ada.ask())
        await waits(server)
        answer = await ada.http.delete("/poll", headers={"Chappe-Session": ada.session})
        assert (answer.status_code, answer.content) == (204, b"")
        assert problem(await polling) == (404, 117)
        assert not server.hub.core.sessions
        assert problem(await ada.ask()) == (404, 117)
        assert problem(await ada.http.get("/poll", params={"session": ada.session})) == (404, 117)
        assert problem(await ada.http.delete("/poll", params={"session": ada.session})) == (404, 117)
        assert server.hub._admission.websockets.taken == 0


async def test_po_7_what_waits_is_told_before_the_end_and_then_the_end_for_a_while() -> None:
    async with polled(poll__session_s=0.5) as (server, ada):
        await ada.subscribe("news")
        await server.hub.publish("news", 1)
        (session,) = server.hub.core.sessions.values()
        session.close(3001, "out")
        assert problem(await ada.post({"type": "ping"})) == (410, 3001)
        assert data(await ada.poll()) == [1]
        answer = await ada.ask()
        assert problem(answer) == (410, 3001)
        assert (answer.json()["retry"], answer.json()["detail"]) == (True, "out")
        assert server.hub._admission.websockets.taken == 0
        await server.until(lambda: not server.hub._http_sessions.find(ada.session))
        assert problem(await ada.ask()) == (404, 117)


@pytest.mark.parametrize("code", [3005, 3500, 3503])
async def test_po_7_what_waits_is_not_told_to_who_may_not_hear_it_any_more(code: int) -> None:
    async with polled() as (server, ada):
        await ada.subscribe("news")
        await server.hub.publish("news", "given")
        before = ada.cursor
        assert data(await ada.poll()) == ["given"]
        await server.hub.publish("news", "waiting")
        (session,) = server.hub.core.sessions.values()
        session.close(code)
        for cursor in (before, ada.cursor):
            assert problem(await ada.ask(cursor)) == (410, code)


async def test_po_7_a_reader_that_lets_too_much_wait_is_ended_with_3008() -> None:
    async with polled(limits__send_queue_bytes=10_000) as (server, ada):
        await ada.subscribe("news")
        for _ in range(5):
            await server.hub.publish("news", "x" * 4_000)
        await server.until(lambda: not server.hub.core.sessions)
        assert len(data(await ada.poll())) == 3
        answer = await ada.ask()
        assert problem(answer) == (410, 3008)
        assert answer.json()["retry"] is True


async def test_what_was_given_out_is_not_held_against_the_reader() -> None:
    async with polled(limits__send_queue_bytes=10_000) as (server, ada):
        await ada.subscribe("news")
        for _ in range(3):
            await server.hub.publish("news", "x" * 4_000)
        first = (await ada.ask()).json()
        for _ in range(3):
            await server.hub.publish("news", "y" * 4_000)
        assert (await ada.ask()).json() == first
        ada.cursor = first["cursor"]
        assert len(data(await ada.poll())) == 3


async def test_a_namespace_that_drops_tells_what_was_missed() -> None:
    async with polled(limits__send_queue_bytes=10_000) as (server, ada):
        await ada.subscribe("dropping")
        for number in range(6):
            await server.hub.publish("dropping", [number, "x" * 4_000])
        messages = await ada.poll()
        assert [each[0] for each in data(messages)] == [3, 4, 5]
        assert messages[-1] == {"type": "missed", "channel": "dropping", "count": 3}


# --- POSTs ------------------------------------------------------------------------------------------------------------


async def test_po_5_a_post_is_answered_with_the_answers_of_its_commands_in_their_order() -> None:
    async with polled() as (_, ada):
        body = b'[{"type":"subscribe","id":7,"channel":"a"},{"type":"x","id":8},3,{"type":"pong"},{"type":"ping"},[]]'
        answers = (await ada.post(body)).json()["messages"]
        assert [(each["type"], each.get("id"), each.get("code")) for each in answers] == [
            ("reply", 7, None),
            ("error", 8, 104),
            ("error", None, 107),
            ("pong", None, None),
            ("error", None, 107),
        ]
        assert await ada.poll(timeout=0) == []
        for nothing in (b"[]", b'{"type":"pong"}'):
            assert (await ada.post(nothing)).json() == {"messages": []}
        for malformed in (b"", b"{", b"[1", b'{"type":"ping","id":1e999}', b"nonsense"):
            (error,) = (await ada.post(malformed)).json()["messages"]
            assert error["code"] == 107


async def test_po_5_pushes_come_by_poll_and_answers_by_post() -> None:
    async with polled() as (_, ada):
        answers = await ada.send(
            {"type": "subscribe", "channel": "a"}, {"type": "publish", "channel": "a", "data": 1}, {"type": "ping"}
        )
        assert [each["id"] for each in answers] == [1, 2, 3]
        assert [each["type"] for each in await ada.poll()] == ["publication"]


async def test_po_5_with_replies_push_everything_comes_by_poll_in_the_order_of_a_socket() -> None:
    async with polled() as (_, ada):
        commands = [{"type": "subscribe", "channel": "a", "since": 5}, {"type": "publish", "channel": "a", "data": 1}]
        assert await ada.send(*commands, replies="push") == []
        assert [(each["type"], each.get("id")) for each in await ada.until(3)] == [
            ("reply", 1),
            ("reply", 2),
            ("publication", None),
        ]
        assert problem(await ada.post([], replies="pull")) == (400, 107)


async def test_po_5_an_answer_that_takes_too_long_comes_by_poll() -> None:
    release = asyncio.Event()

    def prepare(hub: chappe.Hub) -> None:
        @hub.rpc("slow")
        async def slow(session: Any) -> str:
            await release.wait()
            return "done"

    async with polled(prepare=prepare, poll__hold_s=0.2) as (_, ada):
        answers = await ada.send({"type": "rpc", "method": "slow"}, {"type": "ping"})
        assert answers == [{"type": "pong", "id": 2}]
        release.set()
        assert await ada.poll() == [{"type": "reply", "id": 1, "result": "done"}]
        # The id is free again.
        assert await ada.send({"type": "ping"}) == [{"type": "pong", "id": 1}]


async def test_po_5_posts_are_carried_out_in_the_order_in_which_they_come_while_a_hook_thinks() -> None:
    release = asyncio.Event()

    def prepare(hub: chappe.Hub) -> None:
        @hub.on_publish("a")
        async def think(session: Any, publication: Any) -> None:
            await release.wait()

    async with polled(prepare=prepare, poll__waiting_posts=3, limits__hook_queue_frames=2) as (server, ada):
        await ada.subscribe("a")
        posting = []
        for number in range(4):
            publish = {"type": "publish", "id": 1, "channel": "a", "data": number}
            posting.append(asyncio.create_task(ada.post([publish, {"type": "ping", "id": 2}])))
            await server.until(lambda at=number + 2: server.hub._metrics()["chappe_posts_total"] == at)  # type: ignore[misc]
        release.set()
        for post in posting:
            assert [each["type"] for each in (await post).json()["messages"]] == ["reply", "pong"]
        assert data(await ada.until(4)) == [0, 1, 2, 3]


async def test_posts_that_wait_are_bounded() -> None:
    release = asyncio.Event()

    def prepare(hub: chappe.Hub) -> None:
        @hub.on_publish("a")
        async def think(session: Any, publication: Any) -> None:
            await release.wait()

    async with polled(prepare=prepare, poll__waiting_posts=1, limits__hook_queue_frames=1) as (server, ada):
        frame = [{"type": "publish", "id": number, "channel": "a", "data": 1} for number in range(5)]
        first = asyncio.create_task(ada.post(frame))
        await server.until(lambda: server.hub.core.counters.paused == 1)
        second = asyncio.create_task(ada.post(frame))
        await server.until(lambda: server.hub._metrics()["chappe_posts_total"] == 2)
        assert problem(await ada.post(frame)) == (429, 111)
        release.set()
        for post in (first, second):
            assert len((await post).json()["messages"]) == 5


async def test_a_session_over_its_rate_is_told_so_and_reads_no_faster() -> None:
    async with polled(limits__messages_per_s=20.0, limits__messages_burst=5) as (_, ada):
        answers = await ada.send(*({"type": "ping"} for _ in range(7)))
        assert [each.get("code") for each in answers] == [None] * 5 + [111] * 2
        # The next one waits for its token.
        assert await ada.send({"type": "ping"}) == [{"type": "pong", "id": 1}]


async def test_po_6_a_repeated_post_is_carried_out_once_and_told_its_answer_again() -> None:
    async with polled() as (server, ada):
        await ada.subscribe("a")
        publish = {"type": "publish", "channel": "a", "data": 1}
        first = await ada.send(publish, seq=7)
        assert await ada.send(publish, seq=7) == first
        assert len(await server.hub.history("a")) == 1
        for number in range(8, 24):
            await ada.send({"type": "ping"}, seq=number)
        assert problem(await ada.post([], seq=7)) == (410, 112)
        assert problem(await ada.post([], seq=3)) == (410, 112)
        assert await ada.send({"type": "ping"}, seq=8) == [{"type": "pong", "id": 1}]
        for wrong in ("-1", "x", "1.5", "9" * 20, ""):
            assert problem(await ada.post([], seq=wrong)) == (400, 107)


async def test_po_6_a_repetition_waits_for_the_post_that_still_runs() -> None:
    release = asyncio.Event()
    calls: list[int] = []

    def prepare(hub: chappe.Hub) -> None:
        @hub.rpc("slow")
        async def slow(session: Any) -> int:
            calls.append(1)
            await release.wait()
            return len(calls)

    async with polled(prepare=prepare) as (server, ada):
        call = [{"type": "rpc", "id": 1, "method": "slow"}]
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        body = json.dumps(call).encode()
        head = f"POST /send?session={ada.session}&seq=1 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}"
        writer.write(head.encode() + b"\r\n\r\n" + body)
        await server.until(lambda: calls == [1])
        # Its client goes away, and asks again.
        writer.transport.abort()
        again = asyncio.create_task(ada.post(call, seq=1))
        third = asyncio.create_task(ada.post(call, seq=1))
        await server.until(lambda: server.hub._metrics()["chappe_posts_total"] == 3)
        release.set()
        for answer in (await again, await third):
            assert answer.json() == {"messages": [{"type": "reply", "id": 1, "result": 1}]}
        assert calls == [1]


async def test_answers_that_are_kept_are_bounded_in_bytes() -> None:
    async with polled(limits__send_queue_bytes=20_000) as (server, ada):
        for number in range(3):
            await server.hub.publish("a", [number, "x" * 4_000])
        history = {"type": "history", "channel": "a"}
        assert len((await ada.send(history, seq=1))[0]["publications"]) == 3
        assert len((await ada.send(history, seq=2))[0]["publications"]) == 3
        # The answer to the first had to go.
        assert problem(await ada.post([], seq=1)) == (410, 112)
        assert len(await ada.send(history, seq=2)) == 1
        # And more than all of it cannot be held for one POST either.
        await ada.send(history, history)
        assert problem(await ada.ask()) == (410, 3008)


async def test_a_frame_over_the_limit_of_frames_is_413_too() -> None:
    async with polled(limits__frame_bytes=100) as (_, ada):
        assert problem(await ada.post([{"type": "ping"}] * 20)) == (413, 113)
        assert await ada.send({"type": "ping"}) == [{"type": "pong", "id": 1}]


async def test_po_10_a_body_that_is_too_large_is_413_and_not_carried_out() -> None:
    async with polled() as (server, ada):
        large = json.dumps([{"type": "publish", "id": 1, "channel": "a", "data": 1}] * 20_000).encode()
        assert len(large) > 1_048_576
        assert problem(await ada.post(large)) == (413, 113)
        assert await server.hub.history("a") == []
        (error,) = await ada.send({"type": "publish", "channel": "a", "data": "x" * 70_000})
        assert error["code"] == 113


# --- Who may ----------------------------------------------------------------------------------------------------------


async def test_a_body_that_is_no_utf_8_is_refused_before_it_reaches_a_subscriber() -> None:
    # It was published as it came, and every WebSocket that was sent it closed with 1007.
    async with polled() as (server, ada), websockets.connect(f"ws://127.0.0.1:{server.port}/ws") as socket:
        await socket.send('{"type":"subscribe","id":1,"channel":"news"}')
        await socket.recv()
        for data in (b'"\xff"', b'"\xed\xa0\x80"', b'{"\xc0\xaf":1}'):
            body = b'{"type":"publish","id":1,"channel":"news","data":%b}' % data
            assert problem(await ada.post(body, seq=0)) == (400, 107)
        body = '{"type":"publish","id":1,"channel":"news","data":"é"}'.encode()
        assert (await ada.post(body, seq=0)).status_code == 200
        assert json.loads(await socket.recv())["data"] == "é"


async def test_an_unknown_session_is_404_whatever_is_asked() -> None:
    async with polled() as (_, ada):
        for session in ("x", "0" * 32, "?me", "é", "a" * 5_000):
            for answer in (
                await ada.http.get("/poll", params={"session": session}),
                await ada.http.get("/poll", params={"session": session, "cursor": "0"}),
                await ada.http.delete("/poll", params={"session": session}),
                await ada.http.post("/send", params={"session": session}, content=b"[]"),
                await ada.http.get("/events", params={"session": session}),
            ):
                assert problem(answer) == (404, 117)
        assert problem(await ada.http.post("/send", content=b"[]")) == (404, 117)
        assert problem(await ada.http.get("/poll", headers={"Chappe-Session": "x"})) == (404, 117)


async def test_other_methods_are_405_and_no_answer_may_be_stored() -> None:
    async with polled() as (_, ada):
        for method, path in (("PUT", "/poll"), ("POST", "/poll"), ("HEAD", "/poll"), ("GET", "/send")):
            answer = await ada.http.request(method, path)
            assert answer.status_code == 405
            assert "OPTIONS" in answer.headers["allow"]
        for answer in (
            await ada.ask(timeout=0),
            await ada.post({"type": "ping"}),
            await ada.http.get("/poll"),
            await ada.http.delete("/poll", params={"session": ada.session}),
        ):
            assert answer.headers["cache-control"] == "no-store, no-transform"
            assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_token_comes_with_the_request_that_begins_or_with_connect() -> None:
    async with served(tokens=True, auth__anonymous=False) as server, client(server) as http:
        ada = PollClient(http)
        begun = await http.get("/poll", headers={"Authorization": "Bearer ada"})
        ada.session, ada.cursor = begun.json()["session"], begun.json()["cursor"]
        await ada.subscribe("members")
        bob = await PollClient(http).begin()
        (connected,) = await bob.send({"type": "connect", "token": "bob"})
        assert connected["user"] == "bob"
        eve = await PollClient(http).begin()
        (refused,) = await eve.send({"type": "connect", "token": "?"})
        assert refused["code"] == 101
        answer = await eve.ask()
        assert problem(answer) == (410, 3500)
        assert answer.json()["retry"] is False


async def test_ch_7_6_a_session_that_does_not_say_who_it_is_ends_like_a_socket() -> None:
    async with polled(tokens=True, auth__anonymous=False, limits__handshake_timeout_s=0.2) as (_, ada):
        assert problem(await ada.ask()) == (410, 3502)


async def test_a_session_counts_as_a_connection_of_its_address() -> None:
    async with polled(limits__connections_per_address=3, poll__simple=True) as (server, ada):
        bob = await PollClient(ada.http).begin()
        async with websockets.connect(f"ws://127.0.0.1:{server.port}/ws"):
            assert problem(await ada.http.get("/poll")) == (429, 3504)
            assert problem(await ada.http.get("/poll?clientId=x")) == (429, 3504)
            await ada.http.delete("/poll", params={"session": bob.session})
            await PollClient(ada.http).begin()


@pytest.mark.parametrize("path", ["/poll", "/send"])
async def test_po_10_pages_of_other_origins_are_let_in_or_refused_as_sockets_are(path: str) -> None:
    async with polled(gate=chappe_gate()) as (_, ada):
        method = "GET" if path == "/poll" else "POST"
        refused = await ada.http.request(method, path, headers={"Origin": "https://evil.example"})
        assert problem(refused) == (403, 103)
        assert "access-control-allow-origin" not in refused.headers
        preflight = {
            "Origin": PAGE,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "chappe-session, content-type",
        }
        answer = await ada.http.options(path, headers=preflight)
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert answer.headers["access-control-allow-credentials"] == "true"
        for header in ("Chappe-CSRF", "Chappe-Session"):
            assert header in answer.headers["access-control-allow-headers"]
        assert method in answer.headers["access-control-allow-methods"]
        parameters = {"session": ada.session, "timeout": "0"}
        answer = await ada.http.request(method, path, params=parameters, headers={"Origin": PAGE})
        assert answer.status_code in (200, 204)
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert "origin" in answer.headers["vary"].lower()
        assert (await ada.http.request(method, path, headers={"Host": "evil.example"})).status_code == 421


def chappe_gate() -> Any:
    from chappe.transports.upgrade import Gate

    return Gate(hosts=frozenset({"127.0.0.1"}), origins=frozenset({PAGE}))


# --- The simple form --------------------------------------------------------------------------------------------------


async def test_po_9_the_simple_form_is_bare_messages_or_one_batch() -> None:
    async with served(poll__simple=True, **CHAT) as server, client(server) as http:
        answer = await http.post(
            "/send?clientId=me", content=b'{"type":"login","content":"Ada"}', headers={"Content-Type": "text/plain"}
        )
        assert answer.json() == {"messages": []}
        batch = (await http.get("/poll?clientId=me")).json()
        assert batch["type"] == "batch"
        assert [json.loads(text)["type"] for text in batch["messages"]] == ["join", "userlist"]
        polling = asyncio.create_task(http.get("/poll?clientId=me"))
        await waits(server)
        await http.post("/send?clientId=me", content=b'{"type":"message","content":"hello"}')
        said = (await polling).json()
        assert (said["type"], said["content"], said["username"]) == ("message", "hello", "Ada")
        assert (await http.get("/poll?clientId=me&timeout=0")).status_code == 204
        await server.hub.publish("chat/lobby", b"\xff")
        assert (await http.get("/poll?clientId=me")).json() == {"$base64": "/w=="}
        assert (await http.post("/send?clientId=me", content=b"{")).status_code == 200
        assert (await http.get("/poll?clientId=me")).json()["code"] == 107
        for wrong in ("", "x" * 65):
            assert problem(await http.get("/poll", params={"clientId": wrong})) == (400, 107)


async def test_po_9_the_simple_form_is_off_unless_it_is_on_and_anonymous_sessions_are_let_in() -> None:
    async with polled() as (_, ada):
        assert problem(await ada.http.get("/poll?clientId=x")) == (403, 103)
        assert problem(await ada.http.post("/send?clientId=x", content=b"{}")) == (403, 103)
    async with served(tokens=True, auth__anonymous=False, poll__simple=True) as server, client(server) as http:
        assert problem(await http.get("/poll?clientId=x")) == (403, 103)
    assert chappe.Hub(dev=True).settings.poll.simple
    assert not chappe.Hub().settings.poll.simple


async def test_po_9_delete_ends_a_session_of_the_simple_form_and_its_id_begins_another() -> None:
    async with served(poll__simple=True, **CHAT) as server, client(server) as http:
        await http.post("/send?clientId=me", content=b'{"type":"login","content":"Ada"}')
        assert (await http.delete("/poll?clientId=me")).status_code == 204
        assert not server.hub.core.sessions
        assert problem(await http.delete("/poll?clientId=me")) == (404, 117)
        await http.post("/send?clientId=me", content=b'{"type":"login","content":"Ada"}')
        assert "userlist" in (await http.get("/poll?clientId=me")).text


async def test_po_9_the_end_of_a_session_of_the_simple_form_is_told_once() -> None:
    # Its id could not be used again for two minutes: a page that slept was told 404 all that time.
    async with served(poll__simple=True, poll__session_s=0.2, **CHAT) as server, client(server) as http:
        await http.post("/send?clientId=me", content=b'{"type":"login","content":"Ada"}')
        await server.until(lambda: not server.hub.core.sessions)
        assert problem(await http.get("/poll?clientId=me")) == (404, 117)
        assert (await http.get("/poll?clientId=me&timeout=0")).status_code == 204
        (session,) = tuple(server.hub.core.sessions.values())
        session.close(3503)
        assert problem(await http.post("/send?clientId=me", content=b"{}")) == (410, 3503)
        assert (await http.post("/send?clientId=me", content=b"{}")).status_code == 200


# --- Classic ----------------------------------------------------------------------------------------------------------


async def test_classic_by_poll_and_by_socket_are_in_one_room() -> None:
    options = {"poll__session_s": 0.3, **CHAT}
    async with served(**options) as server, client(server) as http:
        ada = await PollClient(http).begin(protocol="classic")
        assert (await ada.post({"type": "login", "content": "Ada"})).json() == {"messages": []}
        assert [each["type"] for each in await ada.until(2)] == ["join", "userlist"]
        async with websockets.connect(f"ws://127.0.0.1:{server.port}/") as bob:

            async def heard(kind: str) -> Any:
                async with asyncio.timeout(5):
                    while (message := json.loads(await bob.recv()))["type"] != kind:
                        pass
                return message

            await bob.send('{"type":"login","content":"ADA"}')
            assert (await heard("error"))["code"] == 115
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await bob.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4509
        async with websockets.connect(f"ws://127.0.0.1:{server.port}/") as bob:
            polling = asyncio.create_task(ada.until(3))
            await bob.send('{"type":"login","content":"Bob"}')
            assert (await heard("userlist"))["users"] == ["Ada", "Bob"]
            await bob.send('{"type":"message","content":"hello Ada"}')
            messages = await polling
            assert {each["type"] for each in messages} == {"join", "userlist", "message"}
            await ada.post({"type": "message", "content": "hello Bob"})
            assert (await heard("message"))["content"] == "hello Ada"
            assert (await heard("message"))["content"] == "hello Bob"
            # Ada does not come back.
            assert await heard("leave") == {"type": "leave", "username": "Ada"}
            assert (await heard("userlist"))["users"] == ["Bob"]


# --- The hub goes away ------------------------------------------------------------------------------------------------


async def test_sh_1_waiting_polls_are_answered_at_once_when_the_hub_shuts_down() -> None:
    async with polled() as (server, ada):
        await ada.subscribe("news")
        polling = asyncio.create_task(ada.ask())
        await waits(server)
        server.server.should_exit = True
        answer = await polling
        assert problem(answer) == (410, 3001)
        assert answer.json()["retry"] is True


# --- Moving -----------------------------------------------------------------------------------------------------------


async def test_a_session_moves_from_a_socket_to_polls_and_back_and_misses_nothing() -> None:
    async with served() as server, client(server) as http:
        url = f"ws://127.0.0.1:{server.port}/ws"
        socket = await websockets.connect(url)

        async def ask(command: dict[str, Any]) -> Any:
            await socket.send(json.dumps(command))
            return json.loads(await socket.recv())

        first = await ask({"type": "connect", "id": 1})
        since = await ask({"type": "subscribe", "id": 2, "channel": "a"})
        await server.hub.publish("a", 0)
        seen = [json.loads(await socket.recv())]
        socket.transport.abort()
        await server.hub.publish("a", 1)

        ada = await PollClient(http).begin()
        connect = {"type": "connect", "resume": first["resume"]}
        since = {"epoch": since["epoch"], "offset": seen[-1]["offset"]}
        moved, subscribed = await ada.send(connect, {"type": "subscribe", "channel": "a", "since": since})
        assert (moved["session"], moved["resumed"], subscribed["recovered"]) == (first["session"], True, True)
        seen += await ada.until(1)
        await server.hub.publish("a", 2)

        socket = await websockets.connect(url)
        back = await ask({"type": "connect", "id": 1, "resume": moved["resume"]})
        assert (back["session"], back["resumed"]) == (first["session"], True)
        answer = await ada.ask()
        seen += answer.json()["messages"]
        ada.cursor = answer.json()["cursor"]
        assert problem(await ada.ask()) == (410, 3502)
        since = {"epoch": since["epoch"], "offset": seen[-1]["offset"]}
        await ask({"type": "subscribe", "id": 2, "channel": "a", "since": since})
        await server.hub.publish("a", 3)
        seen.append(json.loads(await socket.recv()))
        assert data(seen) == [0, 1, 2, 3]
        await socket.close()


async def test_po_8_a_poll_with_the_handle_of_another_connection_takes_its_session_over() -> None:
    async with served() as server, client(server) as http:
        async with websockets.connect(f"ws://127.0.0.1:{server.port}/ws") as socket:
            await socket.send('{"type":"connect","id":1,"name":"Ada"}')
            first = json.loads(await socket.recv())
            ada = PollClient(http)
            ada.session = first["resume"]
            told = (await http.get("/poll", params={"session": ada.session})).json()
            assert told["session"] == ada.session
            ada.cursor = told["cursor"]
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await socket.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 3502
        (session,) = server.hub.core.sessions.values()
        assert (session.id, session.name, session.resume) == (first["session"], "Ada", ada.session)
        (error,) = await ada.send({"type": "connect"})
        assert error["code"] == 107


def thoughtful(hub: chappe.Hub) -> None:
    """Let all who connect at once get through at once."""
    arrived = asyncio.Event()

    @hub.on_connect
    async def think(session: Any) -> None:
        if len(hub.core.sessions) > 4:
            arrived.set()
        if len(hub.core.sessions) > 1:
            await arrived.wait()


async def test_po_8_polls_that_take_a_session_over_at_once_all_get_it() -> None:
    # The handle was nobody's from the answer to `connect` to the next turn of the loop: all but one were told 404.
    async with served(prepare=thoughtful) as server, client(server) as http:
        async with websockets.connect(f"ws://127.0.0.1:{server.port}/ws") as socket:
            await socket.send('{"type":"connect","id":1}')
            first = json.loads(await socket.recv())
            polls = [http.get("/poll", params={"session": first["resume"]}) for _ in range(4)]
            assert [answer.status_code for answer in await asyncio.gather(*polls)] == [200] * 4
        assert list(server.hub.core.sessions) == [first["session"]]
        ada = PollClient(http)
        ada.session = first["resume"]
        assert await ada.send({"type": "ping"}) == [{"type": "pong", "id": 1}]


async def test_po_8_nobody_else_takes_a_session_over() -> None:
    async with served(tokens=True) as server, client(server) as http:
        async with websockets.connect(f"ws://127.0.0.1:{server.port}/ws") as socket:
            await socket.send('{"type":"connect","id":1,"token":"ada"}')
            first = json.loads(await socket.recv())
            for headers in ({}, {"Authorization": "Bearer bob"}):
                answer = await http.get("/poll", params={"session": first["resume"]}, headers=headers)
                assert problem(answer) == (404, 117)
            assert list(server.hub.core.sessions) == [first["session"]]
            await socket.send('{"type":"ping"}')
            assert json.loads(await socket.recv()) == {"type": "pong"}
        answer = await http.get("/poll", params={"session": first["resume"]}, headers={"Authorization": "Bearer ada"})
        assert answer.status_code == 200
        assert list(server.hub.core.sessions) == [first["session"]]


# --- By foreign programs ----------------------------------------------------------------------------------------------


async def test_curl_begins_sends_polls_and_ends() -> None:
    async with served() as server:

        async def curl(*arguments: str) -> str:
            command = ["curl", "-sS", "--max-time", "20", "--noproxy", "*", *arguments]
            done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True)
            return done.stdout.decode()

        begun = json.loads(await curl(f"{server.url}/poll"))
        send = f"{server.url}/send?session={begun['session']}"
        answer = json.loads(await curl(send, "-d", '{"type":"subscribe","id":1,"channel":"news"}'))
        assert answer["messages"][0]["channel"] == "news"
        await curl(send, "-d", '{"type":"publish","id":2,"channel":"news","data":"hello"}')
        told = json.loads(await curl(f"{server.url}/poll?session={begun['session']}&cursor={begun['cursor']}"))
        assert data(told["messages"]) == ["hello"]
        status = await curl(
            "-X", "DELETE", "-o", "/dev/null", "-w", "%{http_code}", f"{server.url}/poll?session={begun['session']}"
        )
        assert status == "204"


class Timing(BaseHTTPMiddleware):
    """Middleware of the kind that most applications have."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["X-Timed"] = "yes"
        return response


async def test_polls_and_posts_go_through_middleware() -> None:
    async with polled(wrap=Timing, poll__session_s=0.3) as (server, ada):
        await ada.subscribe("a")
        polling = asyncio.create_task(ada.ask())
        await waits(server)
        await server.hub.publish("a", 1)
        answer = await polling
        assert answer.headers["x-timed"] == "yes"
        assert data(answer.json()["messages"]) == [1]
        with pytest.raises(httpx.TimeoutException):
            await ada.http.get("/poll", params={"session": ada.session, "cursor": "1"}, timeout=0.2)
        await server.until(lambda: not server.hub.core.sessions)


async def test_requests_polls_over_tls(tmp_path: Path) -> None:
    certificate = Certificate(tmp_path)
    async with served(cert=(certificate.cert, certificate.key)) as server:
        url = f"https://127.0.0.1:{server.port}"

        def converse() -> Any:
            with requests.Session() as http:
                http.verify, http.trust_env = certificate.cert, False
                session = http.get(f"{url}/poll", timeout=20).json()["session"]
                send = f"{url}/send?session={session}"
                http.post(send, json={"type": "subscribe", "id": 1, "channel": "a"}, timeout=20)
                http.post(send, json={"type": "publish", "id": 2, "channel": "a", "data": 1}, timeout=20)
                return http.get(f"{url}/poll?session={session}&cursor=0", timeout=20).json()

        assert data((await asyncio.to_thread(converse))["messages"]) == [1]


async def test_a_keep_alive_connection_serves_poll_after_poll() -> None:
    limits = httpx.Limits(max_connections=1)
    async with served() as server, client(server, limits=limits) as http:
        ada = await PollClient(http).begin()
        await ada.subscribe("a")
        for number in range(50):
            await server.hub.publish("a", number)
            assert data(await ada.poll()) == [number]
        assert server.hub._metrics()["chappe_polls_total"] == 51
