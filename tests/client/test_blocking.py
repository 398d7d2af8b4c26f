"""The client without async."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from chappe.client import blocking
from chappe.client.errors import ClientClosed, ConnectionLost
from chappe.model.errors import ChappeError, LocalProtocolError
from tests.client.scripted_hub import ScriptedHub, error, scripted_hub


async def in_thread(work: Callable[[ScriptedHub], None], hub: ScriptedHub) -> None:
    """Run a blocking program beside the loop that runs its hub."""
    await asyncio.to_thread(work, hub)


async def test_the_same_names_without_async() -> None:
    def program(hub: ScriptedHub) -> None:
        with blocking.connect(hub.url, name="Ada") as client:
            with client.subscribe("news", since="latest", presence=True) as news:
                assert client.publish("news", {"hello": "world"}).offset == 1
                publication = next(news)
                assert (publication.data, publication.channel) == ({"hello": "world"}, news.channel)
                assert news.recovered is False
                assert news.position == publication.position
                assert (news.active, news.missed) == (True, 0)
                assert [member.name for member in news.members] == ["Ada"]
                assert news.count == client.presence("news").count == 1
            assert len(client.history("news").publications) == 1
            assert client.call("add", a=1, b=2) == 3
            assert client.ping() > 0
            with client.lock("doc/1") as lock:
                assert lock.token == 17
            assert client.lock("doc/2").acquire().resource == "doc/2"
            client.unlock("doc/2")
            client.refresh("token")
            client.background(True)
            client.redial()
            assert (client.transport, client.reason) == ("websocket", None)
            assert client.info is not None
            assert (client.session, client.state, client.error) == ("session-1", "live", None)
        client.wait_closed()
        assert client.state == "offline"

    async with scripted_hub() as hub:
        await in_thread(program, hub)


async def test_a_loop_waits_for_publications_and_ends_when_another_thread_closes_the_client() -> None:
    def program(hub: ScriptedHub) -> None:
        with blocking.connect(hub.url) as client, client.subscribe("news") as news:
            closing = threading.Timer(0.05, client.close)
            client.publish("news", 1)
            seen = []
            for publication in news:
                seen.append(publication.data)
                closing.start()
            assert seen == [1]
            closing.join()
            with pytest.raises(ClientClosed):
                client.ping()
            client.close()

    async with scripted_hub() as hub:
        await in_thread(program, hub)


async def test_receive_waits_no_longer_than_told() -> None:
    def program(hub: ScriptedHub) -> None:
        with blocking.connect(hub.url) as client, client.subscribe("news") as news:
            assert news.receive(timeout_s=0.01) is None
            client.publish("news", 1)
            publication = news.receive(timeout_s=5)
            assert publication is not None
            assert publication.data == 1

    async with scripted_hub() as hub:
        await in_thread(program, hub)


async def test_everything_can_be_iterated_in_order() -> None:
    def program(hub: ScriptedHub) -> None:
        with blocking.connect(hub.url) as client, client.subscribe("news", presence=True) as news:
            client.publish("news", 1)
            names = []
            for item in news.items():
                names.append(type(item).__name__)
                if len(names) == 3:
                    news.unsubscribe()
            assert names == ["PresenceState", "Join", "Publication"]

    async with scripted_hub() as hub:
        await in_thread(program, hub)


async def test_errors_are_raised_where_the_call_was_made() -> None:
    async def deny(peer: Any, command: dict[str, Any]) -> bool:
        await peer.send(error(command, 103))
        return True

    def program(hub: ScriptedHub) -> None:
        hub.script["subscribe"] = deny
        with blocking.connect(hub.url) as client:
            with pytest.raises(ChappeError) as caught, client.subscribe("secret"):
                pass
            assert caught.value.code == 103

    async with scripted_hub() as hub:
        await in_thread(program, hub)


async def test_a_failed_first_connection_leaves_no_thread() -> None:
    def program(hub: ScriptedHub) -> None:
        before = threading.active_count()
        with pytest.raises(ConnectionLost), blocking.connect(hub.url):
            pass
        with pytest.raises(LocalProtocolError):
            blocking.connect("hub.example")
        assert threading.active_count() == before

    async with scripted_hub() as hub:
        await hub.stop()
        await in_thread(program, hub)


async def test_a_listener_that_calls_its_own_client_is_told_instead_of_waiting_for_ever() -> None:
    def program(hub: ScriptedHub) -> None:
        errors: list[Exception] = []
        told = threading.Event()

        def remember(failure: Exception) -> None:
            errors.append(failure)
            told.set()

        with blocking.connect(hub.url, reconnect_interval_ms=5) as client:
            listener = client.on("connected", lambda: client.ping())
            client.on("error", remember)
            hub_loop.call_soon_threadsafe(hub.cut)
            assert told.wait(5)
            client.off("connected", listener)
            assert "hand the work to another thread" in str(errors[0])

    async with scripted_hub() as hub:
        hub_loop = asyncio.get_running_loop()
        await in_thread(program, hub)


async def test_several_threads_share_a_client() -> None:
    def program(hub: ScriptedHub) -> None:
        with blocking.connect(hub.url) as client:
            threads = [
                threading.Thread(target=lambda: [client.publish("news", number) for number in range(20)])
                for _ in range(4)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert client.history("news").position.offset == 80
            assert client.unacknowledged == 0

    async with scripted_hub() as hub:
        await in_thread(program, hub)
