"""The collector leaves a started server alone, and is as it was when the server has stopped."""

import asyncio
import gc
import signal
import subprocess
import sys
from typing import Any

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from chappe.hub.session import Session
from chappe.server.garbage import Garbage
from tests.transports.front_door_harness import front_door


def test_what_is_there_is_set_aside_until_the_end() -> None:
    thresholds, garbage = gc.get_threshold(), Garbage()
    garbage.settle()
    assert gc.get_freeze_count() > 10_000
    assert gc.get_threshold()[0] > thresholds[0]
    garbage.restore()
    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() == thresholds
    garbage.restore()


async def test_in_a_process_of_somebody_else_the_collector_is_left_alone() -> None:
    thresholds = gc.get_threshold()
    async with front_door():
        assert gc.get_threshold() == thresholds
        assert gc.get_freeze_count() == 0


PROGRAM = """
import asyncio, gc, os, signal
from chappe import Hub, Server

def started():
    print(gc.get_freeze_count(), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)

server = Server(Hub(dev=True), port=0)
asyncio.run(server.serve(started))
print(gc.get_freeze_count(), gc.get_threshold()[0])
"""


@pytest.mark.slow
def test_a_process_of_our_own_is_settled_when_it_accepts() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode in (0, -signal.SIGTERM), done.stderr
    during, *after = done.stdout.split()
    assert int(during) > 10_000
    assert after == ["0", "700"]


def objects_of(*kinds: type) -> list[Any]:
    gc.collect()
    return [found for found in gc.get_objects() if issubclass(type(found), kinds)]


@pytest.mark.parametrize("data_plane", ["portable", "native"])
async def test_nothing_of_a_request_is_kept_behind_its_upgrade(data_plane: Any) -> None:
    async with front_door(data_plane=data_plane) as server:
        marks = {"X-Mark": "kept" * 50}
        before = len(objects_of(HttpToolsProtocol, RequestResponseCycle))
        async with server.connect("/ws", additional_headers=marks) as client:
            await client.send('{"type":"ping"}')
            await client.recv()
            # The client's own copy of the head would be found too.
            del client.request
            await asyncio.sleep(0.05)
            assert len(objects_of(HttpToolsProtocol, RequestResponseCycle)) == before
            heads = [found for found in objects_of(list, tuple, dict) if _holds_mark(found)]
            assert heads == []


def _holds_mark(found: Any) -> bool:
    values = found.values() if isinstance(found, dict) else found
    return any(isinstance(value, bytes) and value == b"kept" * 50 for value in values)


async def test_a_session_that_is_over_is_kept_by_nobody() -> None:
    async with front_door(data_plane="portable") as server:
        client = await server.connect("/ws")
        await client.send('{"type":"connect","id":1,"name":"Mayfly"}')
        await client.recv()
        await client.close()
        async with asyncio.timeout(5):
            while server.lobby.links:  # noqa: ASYNC110 - the hub tells nobody that it is empty
                await asyncio.sleep(0.01)
        # The wheel knows the link for some seconds more; what hangs on it must be gone.
        assert [session for session in objects_of(Session) if session.name == "Mayfly"] == []
