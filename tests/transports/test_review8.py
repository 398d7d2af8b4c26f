"""Proofs of the review of 734b477..main; each fails there."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import time
from typing import Any

import pytest

import chappe
from chappe.config import load
from chappe.model.limits import Limits
from chappe.serving import Server
from chappe.transports.front_door import FrontDoor, Lobby
from chappe.transports.mqtt_listener import MqttDoor
from tests.transports.front_door_harness import front_door
from tests.transports.native.place import Listener, a_place
from tests.transports.sse_harness import served
from tests.transports.test_front_door import masked, upgrade

HELLO = b"GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


class Busy:
    """A connection whose parsing takes 5 ms, as heads of sixteen others would."""

    def go_on(self) -> None:
        until = time.perf_counter() + 0.005
        while time.perf_counter() < until:
            pass


def besiege(lobby: Lobby, count: int) -> None:
    """Let so many connections wait before whoever comes now."""
    lobby.turns.has_time()
    for _ in range(count):
        lobby.turns.postpone(Busy())
    Busy().go_on()


@pytest.mark.loops("asyncio", "uvloop")
async def test_of_who_waits_for_its_turn_nothing_is_read(event_loop_name: str) -> None:
    async with front_door(limits=Limits(address_connects_per_s=0.3, address_connects_burst=1)) as server:
        assert await server.raw(b"GET /hello HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
        with socket.create_connection(("127.0.0.1", server.port)) as flood:
            flood.setblocking(False)
            until = time.monotonic() + 1.0
            while time.monotonic() < until:
                with contextlib.suppress(BlockingIOError):
                    flood.send(b"x" * 65_536)
                await asyncio.sleep(0.001)
            doors = [door for door in gc.get_objects() if isinstance(door, FrontDoor) and door._turn is not None]
            kept = max(len(door._unread) for door in doors)
            assert kept <= 262_144


async def test_the_time_for_a_head_does_not_run_while_the_hub_lets_it_wait() -> None:
    async with front_door(head_timeout_s=0.2) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.sleep(0.05)
        besiege(server.lobby, 100)
        writer.write(HELLO)
        answer = await asyncio.wait_for(reader.read(15), 5)
        writer.close()
        assert [answer, server.lobby.head_timeouts] == [b"HTTP/1.1 200 OK", 0]


async def test_a_connection_is_not_idle_while_its_request_waits_for_us() -> None:
    async with front_door() as server:
        server.server.config.timeout_keep_alive = 0.3  # type: ignore[assignment]
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(HELLO)
        await reader.readuntil(b"hello")
        besiege(server.lobby, 200)
        writer.write(HELLO)
        answer = await asyncio.wait_for(reader.read(15), 5)
        writer.close()
        assert answer == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize("native", [True, False], ids=["native", "portable"])
async def test_a_stream_that_was_taken_over_is_left_alone_by_what_waited(
    native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(app: Any) -> Any:
        """Middleware that looks something up first."""

        async def call(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                await asyncio.sleep(0.05)
            await app(scope, receive, send)

        return call

    async with served(native=native, wrap=slow) as server:
        sock = socket.create_connection(("127.0.0.1", server.port))
        sock.setblocking(False)
        serve = FrontDoor._serve

        def serve_and_hear_more(door: Any) -> None:
            serve(door)
            besiege(server.lobby, 50)
            sock.send(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")

        monkeypatch.setattr(FrontDoor, "_serve", serve_and_hear_more)
        sock.send(b"GET /events?channel=a HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        reader, writer = await asyncio.open_connection(sock=sock)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        said = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                while part := await reader.read(100_000):
                    said += part
        await server.hub.publish("a", 1)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                while part := await reader.read(100_000):
                    said += part
        assert b'"data":1' in said
        # A reader that goes is noticed at once: its connection is read, whatever waited.
        writer.close()
        await server.until(lambda: not server.hub.core.sessions)


@pytest.mark.parametrize("native", [True, False], ids=["native", "portable"])
async def test_an_echo_is_read_at_its_rate(native: bool) -> None:
    plane: Any = "native" if native else "portable"
    limits = Limits(messages_per_s=50.0, messages_burst=50, address_connects_per_s=0.0)
    async with front_door(limits=limits, data_plane=plane) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(upgrade(b"/echo"))
        await reader.readuntil(b"\r\n\r\n")
        writer.write(masked(b"x") * 200_000)
        told = 0
        until = time.monotonic() + 2.0
        while time.monotonic() < until:
            with contextlib.suppress(TimeoutError):
                told += len(await asyncio.wait_for(reader.read(1 << 20), 0.1))
        writer.transport.abort()
        # One piece of 64 KiB may have come before reading stopped.
        assert told // 3 <= 65_536 // 7 + 50 + 2.0 * 50


@pytest.mark.loops("asyncio", "uvloop")
async def test_mqtt_keeps_little_of_who_waits_and_the_end_ends_it_too(event_loop_name: str) -> None:
    flags = {"limits.address_connects_per_s": 0.3, "limits.address_connects_burst": 1}
    hub = chappe.Hub(settings=load(os.devnull, {}, flags).settings)
    server = Server(hub, "127.0.0.1", 0, mqtt_port=0)
    await server.start()
    try:
        _, first = await asyncio.open_connection("127.0.0.1", server.mqtt_port)
        await asyncio.sleep(0.05)
        with socket.create_connection(("127.0.0.1", server.mqtt_port or 0)) as flood:
            flood.setblocking(False)
            until = time.monotonic() + 1.0
            while time.monotonic() < until:
                with contextlib.suppress(BlockingIOError):
                    flood.send(b"x" * 65_536)
                await asyncio.sleep(0.001)
            doors = [door for door in gc.get_objects() if isinstance(door, MqttDoor) and door._turn is not None]
            assert max(len(door._unread) for door in doors) <= 262_144
        first.close()
    finally:
        await server.stop()
    assert all(door._transport.is_closing() for door in doors)


async def test_those_who_are_quick_do_not_take_all_turns_from_those_who_are_new() -> None:
    """Ten publishers of 0.2 ms that go on at once; a hundred others come meanwhile and say one word each."""
    heard: list[int] = []
    served = 0

    def publisher(theirs: list[socket.socket]) -> Any:
        def take(payload: bytes) -> None:
            nonlocal served
            served += 1
            until = time.perf_counter() + 0.0002
            while time.perf_counter() < until:
                pass
            theirs[0].send(masked(b"p"))

        return take

    with a_place() as place:
        for _ in range(10):
            theirs: list[socket.socket] = []
            _, ours = place.connect(Listener(publisher(theirs)))
            theirs.append(ours)
            ours.send(masked(b"p"))
        for _ in range(50):
            place.reactor.process()
        for number in range(100):
            _, new = place.connect(Listener(lambda payload, number=number: heard.append(number)))
            new.send(masked(b"n"))
        before, turns = served, 0
        began = time.monotonic()
        while len(heard) < 100 and turns < 1_000:
            place.reactor.process()
            turns += 1
        print(f"{turns} turns, {time.monotonic() - began:.3f} s, {served - before} messages of publishers meanwhile")
        # Served in the order in which they ask, ten publishers would have had about ten to thirty.
        assert served - before < 100
