"""`/events` at a real port: what a request asks for, what refuses it, and what its stream brings."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import websockets

import chappe
from chappe.hub.permissions import Permissions
from chappe.model.error_codes import Code
from chappe.transports.upgrade import Gate
from tests.transports.sse_harness import Reader, served

PAGE = "https://app.example"


def problem(reader: Reader) -> Any:
    """Return the problem that a request was refused with."""
    assert reader.headers["content-type"] == "application/problem+json"
    assert "subscribed" not in reader.body.decode()
    body = json.loads(reader.body)
    assert body["status"] == reader.status
    return body


# --- What comes -------------------------------------------------------------------------------------------------------


async def test_a_stream_begins_with_what_its_channels_answered_and_goes_on_with_publications() -> None:
    async with served() as server:
        reader, told = await server.stream("/events?channel=news")
        assert len(told["session"]) == 40
        assert told["channels"] == {
            "news": {"epoch": told["channels"]["news"]["epoch"], "offset": 0, "recovered": False}
        }
        assert 2_000 <= (reader.retry_ms or 0) < 5_000
        await server.hub.publish("news", {"hello": "world\n"}, key="k1")
        said = await reader.event()
        publication = json.loads(said.data)
        assert said.name == "message"
        assert publication["type"] == "publication"
        assert (publication["channel"], publication["data"], publication["id"]) == ("news", {"hello": "world\n"}, "k1")
        assert said.id == reader.last_id != ""
        reader.close()
        await server.until(lambda: not server.hub.core.sessions)


async def test_the_answer_is_one_that_nobody_on_the_way_keeps_or_holds_back() -> None:
    async with served() as server:
        reader, _ = await server.stream("/events?channel=news")
        assert reader.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert reader.headers["cache-control"] == "no-cache, no-store, no-transform"
        assert reader.headers["x-accel-buffering"] == "no"
        assert "content-length" not in reader.headers
        assert "content-encoding" not in reader.headers
        assert reader.body.startswith(b":")


async def test_a_stream_of_several_channels_and_patterns_brings_each_publication_once() -> None:
    async with served() as server:
        reader, told = await server.stream("/events?channel=a&channel=b/%2B&channel=b/1&channel=a")
        assert list(told["channels"]) == ["a", "b/+", "b/1"]
        assert set(told["channels"]["b/+"]) == {"position", "recovered"}
        for number, channel in enumerate(("a", "b/1", "b/2", "c", "a")):
            await server.hub.publish(channel, number)
        assert [await reader.data() for _ in range(4)] == [0, 1, 2, 4]


async def test_history_comes_with_since_and_a_reader_cut_before_it_asks_for_it_again() -> None:
    async with served() as server:
        for number in range(5):
            await server.hub.publish("a", number)
        await server.hub.publish("b", "b")
        for path, expected in (("channel=a&since=3", [2, 3, 4]), ("channel=a&since=latest", [4])):
            reader, _ = await server.stream(f"/events?{path}")
            assert [await reader.data() for _ in expected] == expected
        reader, _ = await server.stream("/events?channel=a&channel=b&since=2")
        beginning = reader.last_id
        assert [await reader.data() for _ in range(3)] == [3, 4, "b"]
        again, _ = await server.stream("/events?channel=a&channel=b&since=2", Last_Event_ID=beginning)
        assert [await again.data() for _ in range(3)] == [3, 4, "b"]
        at_the_end, told = await server.stream("/events?channel=a&channel=b&since=2", Last_Event_ID=reader.last_id)
        assert all(answer["recovered"] for answer in told["channels"].values())
        await server.hub.publish("a", "live")
        assert await at_the_end.data() == "live"


async def test_a_raw_stream_has_nothing_but_the_payloads_and_the_ids() -> None:
    async with served() as server:
        reader = await server.read("/events?channel=a&raw=1")
        await server.until(lambda: bool(server.hub.core.channels.get("a")))
        await server.hub.publish("a", "one\ntwo")
        await server.hub.publish("a", {"b": 1})
        await server.hub.publish("a", b"\xff")
        assert [(await reader.event()).data for _ in range(3)] == ["one\ntwo", '{"b":1}', '{"$base64":"/w=="}']
        assert b"event:" not in reader.body
        again = await server.read("/events?channel=a&raw=1", Last_Event_ID=reader.last_id)
        await server.hub.publish("a", 4)
        assert (await again.event()).data == "4"


async def test_without_a_channel_the_default_ones_are_read() -> None:
    async with served(sse__default_channels="news,b") as server:
        _, told = await server.stream("/events")
        assert list(told["channels"]) == ["news", "b"]
        _, told = await server.stream("/events?channel=c")
        assert list(told["channels"]) == ["c"]
    hub = chappe.Hub(dev=True)
    assert hub.settings.sse.default_channels == ("chat/lobby",)


async def test_what_the_application_says_to_the_session_comes_named() -> None:
    async with served() as server:
        reader, _ = await server.stream("/events?channel=a")
        (session,) = server.hub.core.sessions.values()
        server.hub.core.send_direct(session, {"only": "you"})
        said = await reader.event()
        assert (said.name, json.loads(said.data)) == ("message", {"type": "message", "data": {"only": "you"}})


# --- Recovery ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", ["channel=a", "channel=a&channel=b", "channel=a/%23"])
@pytest.mark.parametrize("form", ["header", "query"])
async def test_a_reader_that_was_cut_comes_back_and_misses_and_doubles_nothing(channels: str, form: str) -> None:
    async with served() as server:
        reader, _ = await server.stream(f"/events?{channels}")
        for number in range(3):
            await server.hub.publish("a", number)
        assert [await reader.data() for _ in range(3)] == [0, 1, 2]
        reader.writer.transport.abort()
        for number in range(3, 6):
            await server.hub.publish("a", number)
        cursor = reader.last_id
        query, fields = ("", {"Last_Event_ID": cursor}) if form == "header" else (f"&last_event_id={cursor}", {})
        again, told = await server.stream(f"/events?{channels}{query}", **fields)
        assert all(answer["recovered"] for answer in told["channels"].values())
        await server.hub.publish("a", 6)
        assert [await again.data() for _ in range(4)] == [3, 4, 5, 6]


async def test_the_header_counts_when_the_url_has_a_cursor_too() -> None:
    async with served() as server:
        reader, _ = await server.stream("/events?channel=a")
        await server.hub.publish("a", 0)
        await reader.event()
        old = reader.last_id
        await server.hub.publish("a", 1)
        await reader.event()
        again, _ = await server.stream(f"/events?channel=a&last_event_id={old}", Last_Event_ID=reader.last_id)
        await server.hub.publish("a", 2)
        assert await again.data() == 2


async def test_a_reader_cut_inside_its_gap_gets_the_rest_of_it() -> None:
    async with served() as server:
        reader, _ = await server.stream("/events?channel=a&channel=b")
        beginning = reader.last_id
        for number in range(6):
            await server.hub.publish("ab"[number % 2], number)
        second, _ = await server.stream("/events?channel=a&channel=b", Last_Event_ID=beginning)
        assert second.last_id == beginning, "the first event is no place behind the gap"
        seen = [await second.data() for _ in range(2)]
        third, told = await server.stream("/events?channel=a&channel=b", Last_Event_ID=second.last_id)
        assert all(answer["recovered"] for answer in told["channels"].values())
        seen += [await third.data() for _ in range(4)]
        assert sorted(seen) == list(range(6))


@pytest.mark.parametrize("cursor", ["garbage", "7", "-:-", "x" * 9_000, "é", "AAAAAAAA:x:99999999999999999999"])
async def test_a_malformed_cursor_is_not_recovered_and_brings_nothing_old(cursor: str) -> None:
    async with served() as server:
        await server.hub.publish("a", "old")
        reader, told = await server.stream("/events?channel=a&channel=a/%23&since=5", Last_Event_ID=cursor)
        assert [answer["recovered"] for answer in told["channels"].values()] == [False, False]
        await server.hub.publish("a", "new")
        assert await reader.data() == "new"


async def test_a_place_that_history_does_not_reach_is_not_recovered() -> None:
    async with served(namespaces__default__history_count=2) as server:
        reader, _ = await server.stream("/events?channel=a")
        for number in range(5):
            await server.hub.publish("a", number)
        again, told = await server.stream("/events?channel=a", Last_Event_ID=reader.last_id)
        assert told["channels"]["a"]["recovered"] is False
        await server.hub.publish("a", 5)
        assert await again.data() == 5


async def test_a_channel_that_is_new_to_the_cursor_begins_as_a_new_stream_does() -> None:
    async with served() as server:
        reader, _ = await server.stream("/events?channel=a")
        await server.hub.publish("b", "old")
        again, told = await server.stream("/events?channel=a&channel=b&since=1", Last_Event_ID=reader.last_id)
        assert {name: answer["recovered"] for name, answer in told["channels"].items()} == {"a": True, "b": False}
        assert await again.data() == "old"


async def test_a_stream_whose_feed_may_have_lost_something_ends_and_its_reader_recovers() -> None:
    async with served() as server:
        reader, _ = await server.stream("/events?channel=a")
        await server.hub.publish("a", 1)
        await reader.event()
        server.hub.core.delivery.interrupted(["a"])
        await reader.end()
        assert reader.complete
        await server.hub.publish("a", 2)
        again, told = await server.stream("/events?channel=a", Last_Event_ID=reader.last_id)
        assert told["channels"]["a"]["recovered"] is True
        assert await again.data() == 2


# --- What is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/events", 400, Code.BAD_REQUEST),
        ("/events?channel=", 400, Code.BAD_REQUEST),
        ("/events?channel=a%00", 400, Code.BAD_REQUEST),
        ("/events?channel=a%0D%0Ab", 400, Code.BAD_REQUEST),
        ("/events?channel=%23a", 400, Code.BAD_REQUEST),
        ("/events?channel=" + "x" * 300, 400, Code.BAD_REQUEST),
        ("/events?channel=a&since=-1", 400, Code.BAD_REQUEST),
        ("/events?channel=a&since=oldest", 400, Code.BAD_REQUEST),
        ("/events?channel=a&since=9999999999", 400, Code.BAD_REQUEST),
        ("/events?channel=a&raw=yes", 400, Code.BAD_REQUEST),
        ("/events?" + "&".join(f"channel={n}" for n in range(101)), 400, Code.BAD_REQUEST),
        ("/events?" + "&".join(f"channel={n}" for n in range(6)), 422, Code.LIMIT_EXCEEDED),
        ("/events?channel=closed/a", 403, Code.PERMISSION_DENIED),
        ("/events?channel=members/a", 403, Code.PERMISSION_DENIED),
        ("/events?channel=a&channel=closed/a&channel=b", 403, Code.PERMISSION_DENIED),
        ("/events?channel=live/%23", 403, Code.PERMISSION_DENIED),
        ("/events?channel=$hub/probe", 403, Code.PERMISSION_DENIED),
    ],
)
async def test_what_is_refused_is_a_status_and_a_problem_and_leaves_nothing(path: str, status: int, code: int) -> None:
    async with served(limits__channels_per_client=5) as server:
        for method in ("GET", "HEAD"):
            if method == "HEAD" and status == 422:
                continue
            reader = await server.read(path, method=method)
            assert reader.status == status
            if method == "GET":
                assert problem(reader)["code"] == code
        assert not server.hub.core.sessions
        assert not len(server.hub.core.channels)
        assert server.lobby.admission.websockets.taken == 0


async def test_who_has_no_right_to_connect_is_told_before_the_stream_begins() -> None:
    async with served(tokens=True, auth__anonymous=False) as server:
        for fields, code in (
            ({}, Code.UNAUTHORIZED),
            ({"Authorization": "Bearer ?"}, Code.UNAUTHORIZED),
            ({"Authorization": "Bearer expired"}, Code.TOKEN_EXPIRED),
        ):
            for method in ("GET", "HEAD"):
                reader = await server.read("/events?channel=a", method=method, **fields)
                assert reader.status == 401
                assert reader.headers["www-authenticate"] == "Bearer"
                if method == "GET":
                    assert problem(reader)["code"] == code
        reader, _ = await server.stream("/events?channel=members/a", Authorization="Bearer ada")
        (session,) = server.hub.core.sessions.values()
        assert (session.user, session.peer.carrier) == ("ada", "sse")


async def test_a_hook_refuses_a_stream_with_its_own_words() -> None:
    def prepare(hub: chappe.Hub) -> None:
        @hub.on_subscribe("secret/#")
        async def refuse(session: chappe.Session, channel: str) -> None:
            raise chappe.Refused(1_234, "not today")

    async with served(prepare=prepare) as server:
        told = problem(await server.read("/events?channel=a&channel=secret/a"))
        assert (told["code"], told["detail"], told["status"]) == (1_234, "not today", 422)
        assert not server.hub.core.sessions
        await server.stream("/events?channel=a")


async def test_a_hook_that_does_not_answer_holds_no_request_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chappe.transports.sse_stream.OPENING_S", 0.1)

    def prepare(hub: chappe.Hub) -> None:
        @hub.on_connect
        async def think(session: chappe.Session) -> None:
            await asyncio.sleep(1)

    async with served(prepare=prepare) as server:
        reader = await server.read("/events?channel=a")
        assert (reader.status, problem(reader)["code"]) == (503, Code.NOT_AVAILABLE)
        assert not server.hub.core.sessions


async def test_errors_are_worded_in_the_language_of_the_reader() -> None:
    async with served() as server:
        told = problem(await server.read("/events?channel=closed/a&lang=fr"))
        assert "refus" in told["detail"].lower() or "droit" in told["detail"].lower(), told


async def test_a_method_that_changes_something_is_not_for_streams() -> None:
    async with served() as server:
        reader = await server.read("/events?channel=a", method="DELETE")
        assert (reader.status, reader.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


async def test_a_head_tells_how_the_stream_would_begin_and_opens_none() -> None:
    async with served() as server:
        head = await server.read("/events?channel=a", method="HEAD")
        assert head.status == 200
        assert not server.hub.core.counters.connections
        reader, _ = await server.stream("/events?channel=a")
        for headers in (head.headers, reader.headers):
            headers.pop("date")
            headers.pop("transfer-encoding", None)
        assert head.headers == reader.headers


# --- Caps -------------------------------------------------------------------------------------------------------------


async def test_streams_and_websockets_of_an_address_are_counted_together() -> None:
    async with served(limits__connections_per_address=2) as server:
        first, _ = await server.stream("/events?channel=a")
        async with websockets.connect(f"ws://127.0.0.1:{server.port}/ws", proxy=None):
            refused = await server.read("/events?channel=a")
            assert (refused.status, problem(refused)["code"]) == (429, Code.CONNECTION_LIMIT)
        await server.until(lambda: server.lobby.admission.websockets.taken == 1)
        second, _ = await server.stream("/events?channel=a")
        first.close()
        second.close()
        await server.until(lambda: server.lobby.admission.websockets.taken == 0)


async def test_a_full_hub_answers_503() -> None:
    async with served(server__connections_max=1) as server:
        await server.stream("/events?channel=a")
        refused = await server.read("/events?channel=a")
        assert (refused.status, refused.headers["retry-after"]) == (503, "5")


@pytest.mark.slow
async def test_a_hundred_and_fifty_streams_each_get_everything_in_order() -> None:
    async with served(limits__connections_per_address=200) as server:
        readers = [(await server.stream("/events?channel=a" + "&channel=b" * (n % 2)))[0] for n in range(150)]
        for number in range(20):
            await server.hub.publish("a", number)
        for reader in readers:
            assert [await reader.data() for _ in range(20)] == list(range(20))
            reader.close()
        await server.until(lambda: not server.hub.core.sessions)


# --- Pages ------------------------------------------------------------------------------------------------------------


async def test_a_page_of_an_origin_that_may_connect_may_read() -> None:
    gate = Gate(hosts=frozenset({"127.0.0.1"}), origins=frozenset({PAGE}))
    async with served(gate=gate) as server:
        reader, _ = await server.stream("/events?channel=a", Origin=PAGE)
        assert reader.headers["access-control-allow-origin"] == PAGE
        assert reader.headers["access-control-allow-credentials"] == "true"
        assert reader.headers["vary"] == "Origin"
        refused = await server.read("/events?channel=closed/a", Origin=PAGE)
        assert refused.headers["access-control-allow-origin"] == PAGE
        preflight = await server.read(
            "/events?channel=a", method="OPTIONS", Origin=PAGE, Access_Control_Request_Method="GET"
        )
        assert preflight.status == 204
        assert preflight.headers["access-control-allow-origin"] == PAGE
        assert "Last-Event-ID" in preflight.headers["access-control-allow-headers"]


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
async def test_a_page_of_another_origin_gets_nothing(origin: str) -> None:
    async with served(gate=Gate(origins=frozenset({PAGE}))) as server:
        for method in ("GET", "HEAD", "OPTIONS"):
            reader = await server.read("/events?channel=a", method=method, Origin=origin)
            assert reader.status == 403
            assert "access-control-allow-origin" not in reader.headers
        assert not server.hub.core.counters.connections


async def test_another_host_is_not_served() -> None:
    async with served(gate=Gate(hosts=frozenset({"127.0.0.1"}))) as server:
        assert (await server.read("/events?channel=a", Host="evil.example")).status == 421


# --- Rights -----------------------------------------------------------------------------------------------------------


async def test_a_stream_reaches_nothing_of_the_broker_before_it_is_authorized(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[tuple[str, str]] = []
    authorize = Permissions.authorize

    def watched(self: Permissions, actor: Any, action: Any, channel: str) -> None:
        authorize(self, actor, action, channel)
        steps.append(("authorize", channel))

    def prepare(hub: chappe.Hub) -> None:
        broker = hub.core.broker
        for name in ("attach", "read", "read_log"):
            reach = getattr(broker, name)

            def reached(request: Any, *rest: Any, reach: Any = reach) -> Any:
                steps.append(("reach", request if isinstance(request, str) else getattr(request, "channel", "b/#")))
                return reach(request, *rest)

            monkeypatch.setattr(broker, name, reached)

    monkeypatch.setattr(Permissions, "authorize", watched)
    async with served(prepare=prepare) as server:
        await server.stream("/events?channel=a&channel=b/%23&since=2", Last_Event_ID="-")
        assert [channel for step, channel in steps if step == "reach"] == ["a", "a", "b/#", "b/#"]
        for channel in ("a", "b/#"):
            assert steps.index(("authorize", channel)) < steps.index(("reach", channel))
        steps.clear()
        assert (await server.read("/events?channel=closed/a&channel=a&since=1")).status == 403
        assert ("reach", "closed/a") not in steps
