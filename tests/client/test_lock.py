"""Locks."""

import asyncio
import datetime
from typing import Any

import pytest

from chappe.client.client import connect
from chappe.client.lock import Lock
from chappe.model.errors import ChappeError
from chappe.testing.running import running_hub
from tests.client.scripted_hub import Peer, error, scripted_hub


async def test_a_lock_is_held_for_a_block() -> None:
    async with scripted_hub() as hub, connect(hub.url) as client:
        async with client.lock("doc/1", ttl=5, wait=2) as lock:
            expires = datetime.datetime(2026, 11, 22, 12, 0, 30, tzinfo=datetime.UTC)
            assert lock == Lock("doc/1", client.session or "", 17, expires)
            assert not hub.of_type("unlock")
        assert (hub.of_type("lock")[0]["ttl"], hub.of_type("lock")[0]["wait"]) == (5, 2)
        assert hub.of_type("unlock")[0]["resource"] == "doc/1"


async def test_a_lock_can_be_kept_and_released_by_hand() -> None:
    async with scripted_hub() as hub, connect(hub.url) as client:
        lock = await client.lock("doc/1")
        assert lock.token == 17
        await client.unlock("doc/1")
        assert len(hub.of_type("unlock")) == 1


async def test_another_holder_is_named() -> None:
    async def deny(peer: Peer, command: dict[str, Any]) -> bool:
        await peer.send(error(command, 118, "locked by another", retry=True, owner="9f"))
        return True

    async with scripted_hub() as hub, connect(hub.url) as client:
        hub.script["lock"] = deny
        with pytest.raises(ChappeError) as caught:
            async with client.lock("doc/1"):
                pass
        assert (caught.value.code, caught.value.retry, caught.value.detail) == (118, True, {"owner": "9f"})


async def test_a_lock_whose_connection_went_is_left_without_an_error() -> None:
    def cut(peer: Peer, command: dict[str, Any]) -> bool:
        peer.cut()
        return True

    async with scripted_hub() as hub, connect(hub.url, reconnect_interval_ms=5) as client:
        hub.script["unlock"] = cut
        async with client.lock("doc/1"):
            pass
        assert client.error is None


@pytest.mark.slow
async def test_who_ceases_to_wait_for_a_lock_does_not_keep_it_from_the_next() -> None:
    async with running_hub() as hub, connect(hub.ws_url) as ada, connect(hub.ws_url) as ben, connect(hub.ws_url) as eve:
        async with ada.lock("doc/1"):
            waiting = asyncio.ensure_future(ben.lock("doc/1", ttl=0, wait=60).__aenter__())
            await ben.ping()
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        async with eve.lock("doc/1", wait=60) as lock:
            assert lock.owner == eve.session


@pytest.mark.parametrize("held", [False, True])
async def test_a_lock_granted_too_late_is_given_back_unless_it_is_held_already(held: bool) -> None:
    answering = asyncio.Event()

    async def answer_late(peer: Peer, command: dict[str, Any]) -> bool:
        await answering.wait()
        return False

    async with scripted_hub() as hub, connect(hub.url) as client:
        if held:
            await client.lock("doc/1")
        hub.script["lock"] = answer_late
        waiting = asyncio.ensure_future(client.lock("doc/1").__aenter__())
        await hub.wait_for("lock", 1 + held)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        answering.set()
        await client.ping()
        await client.ping()
        assert len(hub.of_type("unlock")) == (0 if held else 1)
