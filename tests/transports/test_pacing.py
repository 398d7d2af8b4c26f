"""Who connects without end waits for its turn; what it said meanwhile is not lost, and others notice nothing."""

import asyncio
import contextlib
import gc
import os
import socket
import time
from collections.abc import AsyncIterator

import pytest

import chappe
from chappe.config import load
from chappe.model.limits import Limits
from chappe.serving import Server
from chappe.transports.front_door import FrontDoor
from chappe.transports.mqtt_listener import MqttDoor
from tests.server.certificate import Certificate
from tests.transports.front_door_harness import FrontDoorServer, front_door
from tests.transports.test_front_door import masked, upgrade

#: Three at once, then one each 100 ms.
PACED = Limits(address_connects_per_s=10.0, address_connects_burst=3)


async def ask(server: FrontDoorServer) -> float:
    """Connect, say all at once, and return after how many seconds the answer was there."""
    began = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=server.tls)
    writer.write(upgrade(b"/echo") + masked(b"one"))
    await reader.readuntil(b"\r\n\r\n")
    assert await reader.readexactly(5) == b"\x81\x03one"
    writer.close()
    return time.monotonic() - began


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("pacing"))


@pytest.fixture(params=["plain", "aiofastnet", "asyncio"])
def shown(
    request: pytest.FixtureRequest, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> Certificate | None:
    """By what the connections come: a certificate for TLS, by aiofastnet or by the loop itself."""
    if request.param == "asyncio":
        monkeypatch.setattr("chappe.server.tls.find_spec", lambda name: None)
    return None if request.param == "plain" else certificate


async def test_beyond_its_burst_an_address_is_served_at_its_rate(shown: Certificate | None) -> None:
    async with front_door(limits=PACED, certificate=shown) as server:
        waited = await asyncio.gather(*(ask(server) for _ in range(12)))
        # Nine of twelve on a machine that connects them all at once.
        assert server.lobby.admission.delayed >= 3
        assert max(waited) >= 0.1
        assert server.lobby.admission.refused["address_connects"] == 0


async def test_who_leaves_before_its_turn_is_forgotten_and_who_drips_is_heard() -> None:
    async with front_door(limits=PACED) as server:
        await asyncio.gather(*(ask(server) for _ in range(6)))
        _, gone = await asyncio.open_connection("127.0.0.1", server.port)
        gone.write(upgrade(b"/echo"))
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for byte in upgrade(b"/echo") + masked(b"one"):
            writer.write(bytes((byte,)))
            await asyncio.sleep(0.001)
        gone.transport.abort()
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(5) == b"\x81\x03one"
        writer.close()


async def test_who_would_wait_too_long_is_cut_and_counted(shown: Certificate | None) -> None:
    limits = Limits(address_connects_per_s=0.01, address_connects_burst=1)
    async with front_door(limits=limits, certificate=shown) as server:
        await ask(server)
        for _ in range(3):
            # By TLS within the handshake, or behind it.
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=server.tls)
                assert await reader.read(1) == b""
                writer.close()
        assert server.lobby.admission.refused["address_connects"] == 3


async def test_a_head_has_its_time_from_its_turn_on() -> None:
    limits = Limits(address_connects_per_s=0.4, address_connects_burst=1)
    async with front_door(limits=limits, head_timeout_s=1.5) as server:
        await asyncio.gather(ask(server), ask(server))
        assert server.lobby.admission.delayed == 1
        assert server.lobby.head_timeouts == 0


@contextlib.asynccontextmanager
async def flooded(port: int) -> AsyncIterator[None]:
    """Send for a second to who does not read; the connection is there until the block ends."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setblocking(False)
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            with contextlib.suppress(BlockingIOError):
                sock.send(b"x" * 65_536)
            await asyncio.sleep(0.001)
        yield


@pytest.mark.loops("asyncio", "uvloop")
async def test_of_who_waits_for_its_turn_nothing_is_read(event_loop_name: str) -> None:
    async with front_door(limits=Limits(address_connects_per_s=0.3, address_connects_burst=1)) as server:
        assert await server.raw(b"GET /hello HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
        async with flooded(server.port):
            doors = [door for door in gc.get_objects() if issubclass(type(door), FrontDoor) and door._turn is not None]
            kept = max(len(door._unread) for door in doors)
            assert kept <= 262_144


@pytest.mark.loops("asyncio", "uvloop")
async def test_mqtt_keeps_little_of_who_waits_and_the_end_ends_it_too(event_loop_name: str) -> None:
    flags = {"limits.address_connects_per_s": 0.3, "limits.address_connects_burst": 1}
    hub = chappe.Hub(settings=load(os.devnull, {}, flags).settings)
    server = Server(hub, "127.0.0.1", 0, mqtt_port=0)
    await server.start()
    try:
        _, first = await asyncio.open_connection("127.0.0.1", server.mqtt_port)
        await asyncio.sleep(0.05)
        async with flooded(server.mqtt_port or 0):
            doors = [door for door in gc.get_objects() if issubclass(type(door), MqttDoor) and door._turn is not None]
            assert max(len(door._unread) for door in doors) <= 262_144
        first.close()
    finally:
        await server.stop()
    assert all(door._transport.is_closing() for door in doors)
