"""The verbs of a client."""

import asyncio
import sys
from subprocess import run
from typing import Any

import pytest

from chappe.client.client import PublishResult, connect
from chappe.client.errors import ClientClosed, ConnectionLost, QueueFull, TimedOut
from chappe.client.messages import Encoding
from chappe.model.errors import ChappeError, LocalProtocolError
from chappe.model.position import Position
from tests.client.recorder import Recorder
from tests.client.scripted_hub import Peer, error, scripted_hub

QUICK: Any = {"reconnect_interval_ms": 5, "reconnect_max_ms": 20}


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
@pytest.mark.parametrize("data", [{"hello": ["wörld", 1.5, None]}, "text", b"\x00\xff", 0, None])
async def test_what_is_published_comes_back_as_it_was(encoding: Encoding, data: Any) -> None:
    async with scripted_hub() as hub, connect(hub.url, name="Ada", encoding=encoding) as client:
        async with client.subscribe("news") as news:
            result = await client.publish("news", data)
            publication = await anext(news)
        assert publication.data == data
        assert result == PublishResult(1, "e1")
        assert publication.position == result.position
        assert publication.from_ is not None
        assert (publication.from_.name, publication.from_.session) == ("Ada", client.session)


async def test_every_publication_has_an_idempotency_key() -> None:
    async with scripted_hub() as hub, connect(hub.url) as client:
        await client.publish("news", 1)
        await client.publish("news", 2)
        await client.publish("news", 3, key="mine")
        keys = [command["key"] for command in hub.of_type("publish")]
        assert len(set(keys)) == 3
        assert keys[2] == "mine"


async def test_a_publication_whose_acknowledgement_was_cut_off_is_stored_once() -> None:
    async with scripted_hub() as hub, connect(hub.url, **QUICK) as client, client.subscribe("news") as news:

        async def store_and_cut(peer: Peer, command: dict[str, Any]) -> bool:
            del hub.script["publish"]
            await hub._publish(peer, command)
            peer.cut()
            return True

        hub.script["publish"] = store_and_cut
        result = await client.publish("news", "once")
        assert result.offset == 1
        await client.publish("news", "then")
        assert [(await anext(news)).data for _ in range(2)] == ["once", "then"]
        assert [publication["data"] for publication in hub.channel("news").history] == ["once", "then"]
        assert client.unacknowledged == 0


async def test_publications_wait_for_a_connection_in_a_bounded_queue() -> None:
    async with scripted_hub() as hub, connect(hub.url, publish_queue=3, **QUICK) as client:
        events = Recorder(client)
        await hub.stop()
        await events.wait("disconnected")
        waiting = [asyncio.create_task(client.publish("news", number)) for number in range(3)]
        await asyncio.sleep(0)
        assert client.unacknowledged == 3
        with pytest.raises(QueueFull):
            await client.publish("news", 3)
        await hub.start()
        await asyncio.gather(*waiting)
        assert [publication["data"] for publication in hub.channel("news").history] == [0, 1, 2]


async def test_a_publication_nobody_waits_for_any_more_is_not_sent_again() -> None:
    async with scripted_hub() as hub, connect(hub.url, **QUICK) as client:
        events = Recorder(client)
        await hub.stop()
        await events.wait("disconnected")
        publishing = asyncio.create_task(client.publish("news", 1))
        await asyncio.sleep(0)
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)
        await hub.start()
        await events.wait("connected")
        await client.publish("news", 2)
        assert [publication["data"] for publication in hub.channel("news").history] == [2]


async def test_a_refused_publication_raises_the_hubs_error_with_its_detail() -> None:
    async with scripted_hub() as hub, connect(hub.url) as client:
        hub.script["publish"] = lambda peer, command: _send(peer, error(command, 114, "conflict", offset=9))
        with pytest.raises(ChappeError) as caught:
            await client.publish("news", 1, expect=4)
        assert (caught.value.code, caught.value.detail) == (114, {"offset": 9})
        assert hub.of_type("publish")[0]["expect"] == 4


async def test_what_is_expected_is_sent_with_the_epoch_that_was_meant() -> None:
    async with scripted_hub() as hub, connect(hub.url) as client, client.subscribe("news"):
        stored = await client.publish("news", 1)
        await client.publish("news", 2, expect=stored)
        await client.publish("news", 3, expect=Position("e0", 7))
        await client.publish("news", 4, expect=3)
        expected = [command.get("expect") for command in hub.of_type("publish")]
        assert expected == [
            None,
            {"epoch": "e1", "offset": 1},
            {"epoch": "e0", "offset": 7},
            {"epoch": "e1", "offset": 3},
        ]


async def test_retain_and_headers_go_along() -> None:
    async with scripted_hub() as hub, connect(hub.url) as client:
        await client.publish("news", 1, retain=True, headers={"a": "b"})
        command = hub.of_type("publish")[0]
        assert (command["retain"], command["headers"]) == (True, {"a": "b"})


async def test_data_the_hub_would_close_the_connection_for_is_refused_here() -> None:
    async with scripted_hub() as hub, connect(hub.url) as client:
        with pytest.raises(ChappeError) as caught:
            await client.publish("news", "x" * 1_048_576)
        assert caught.value.code == 113
        assert not hub.of_type("publish")


async def test_data_that_cannot_be_encoded_is_refused_and_stays_nowhere() -> None:
    async with scripted_hub() as hub, connect(hub.url) as client:
        with pytest.raises(TypeError):
            await client.publish("news", object())
        assert client.unacknowledged == 0


async def test_history_is_a_page_and_the_place_behind_it() -> None:
    async with scripted_hub() as hub, connect(hub.url) as client:
        for number in range(5):
            await hub.publish("news", number)
        page = await client.history("news", limit=2, since=Position("e1", 1), reverse=True)
        assert [publication.data for publication in page.publications] == [3, 4]
        assert page.position == Position("e1", 5)
        command = hub.of_type("history")[0]
        assert (command["since"], command["reverse"]) == ({"epoch": "e1", "offset": 1}, True)


async def test_what_changes_nothing_is_asked_again_after_a_cut() -> None:
    async with scripted_hub() as hub, connect(hub.url, **QUICK) as client:
        await hub.publish("news", 1)

        def cut_once(peer: Peer, command: dict[str, Any]) -> bool:
            del hub.script[command["type"]]
            peer.cut()
            return True

        hub.script["history"] = cut_once
        hub.script["presence"] = cut_once
        assert len((await client.history("news")).publications) == 1
        assert (await client.presence("news")).count == 0


async def test_a_call_is_never_repeated_and_says_that_it_may_have_run() -> None:
    async with scripted_hub() as hub, connect(hub.url, **QUICK) as client:
        events = Recorder(client)

        def run_and_cut(peer: Peer, command: dict[str, Any]) -> bool:
            peer.cut()
            return True

        hub.script["rpc"] = run_and_cut
        with pytest.raises(ConnectionLost, match="the rpc may or may not have been carried out"):
            await client.call("add", a=1, b=2)
        del hub.script["rpc"]
        await events.wait("connected")
        assert len(hub.of_type("rpc")) == 1
        assert await client.call("add", a=1, b=2) == 3


async def test_a_command_without_a_connection_waits_for_one() -> None:
    async with scripted_hub() as hub, connect(hub.url, **QUICK) as client:
        events = Recorder(client)
        await hub.stop()
        await events.wait("disconnected")
        calling = asyncio.create_task(client.call("add", a=1, b=2))
        await asyncio.sleep(0)
        await hub.start()
        assert await calling == 3


async def test_a_command_without_an_answer_times_out() -> None:
    async with scripted_hub() as hub, connect(hub.url, command_timeout_s=0.03) as client:
        for kind in ("rpc", "ping"):
            hub.script[kind] = lambda peer, command: True
        with pytest.raises(TimedOut, match="no answer to rpc"):
            await client.call("add")
        with pytest.raises(TimedOut, match="no answer to ping"):
            await client.ping()


async def test_who_is_there_can_be_asked_for_and_the_background_told() -> None:
    async with scripted_hub() as hub, connect(hub.url, name="Ada") as client, client.subscribe("news"):
        present = await client.presence("news")
        assert [member.name for member in present.members] == ["Ada"]
        await client.background(True)
        assert hub.of_type("state")[0]["background"] is True


async def test_nothing_works_after_closing_and_says_why() -> None:
    async with scripted_hub() as hub:
        client = await connect(hub.url)
        hub.script["publish"] = hub.script["rpc"] = lambda peer, command: True
        waiting = [asyncio.create_task(client.publish("news", 1)), asyncio.create_task(client.call("add"))]
        await asyncio.sleep(0)
        await client.close()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(outcome, ClientClosed | ConnectionLost) for outcome in outcomes)
        for late in (client.publish("news", 1), client.call("add"), client.ping(), client.history("news")):
            with pytest.raises(ClientClosed):
                await late
        with pytest.raises(ClientClosed):
            await client.subscribe("news")


async def test_a_thousand_publications_at_once_arrive_in_order() -> None:
    async with scripted_hub() as hub, connect(hub.url) as client, client.subscribe("news") as news:
        await asyncio.gather(*(client.publish("news", number) for number in range(1_000)))
        assert [(await anext(news)).data for _ in range(1_000)] == list(range(1_000))


def test_a_url_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(LocalProtocolError, match="expected ws://"):
        connect("hub.example")


@pytest.mark.slow
def test_importing_the_client_loads_no_server_no_websocket_library_and_no_thread() -> None:
    code = (
        "import sys, threading; import chappe; chappe.connect, chappe.websocket, chappe.classic;"
        "loaded = {name.partition('.')[0] for name in sys.modules};"
        "assert not loaded & {'websockets', 'uvloop', 'uvicorn', 'starlette', 'httpx'}, loaded;"
        "ours = {name.split('.')[1] for name in sys.modules if name.startswith('chappe.')};"
        "assert ours <= {'client', 'model', 'protocols', 'wire'}, ours;"
        "assert threading.active_count() == 1"
    )
    run([sys.executable, "-c", code], check=True, timeout=20)


async def _send(peer: Peer, message: dict[str, Any]) -> bool:
    await peer.send(message)
    return True
