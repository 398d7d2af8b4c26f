"""Requests that come at once are parsed in turns, in their order, and the loop goes on in between."""

import asyncio
import contextlib
import socket
import time
from typing import Any

import pytest

from chappe.transports.front_door import FrontDoor
from chappe.transports.head_turns import TURN_S, HeadTurns
from chappe.transports.lobby import Lobby
from tests.transports.front_door_harness import front_door
from tests.transports.sse_harness import served


class Door:
    """Takes a whole turn to parse what it has."""

    def __init__(self, number: int, gone_on: list[int]) -> None:
        self._number = number
        self._gone_on = gone_on

    def go_on(self) -> None:
        until = time.perf_counter() + TURN_S
        while time.perf_counter() < until:
            pass
        self._gone_on.append(self._number)


async def test_one_in_a_turn_where_each_takes_all_of_it_and_in_order() -> None:
    breathed: list[int] = []
    turns, gone_on, turned = HeadTurns(asyncio.get_running_loop(), lambda: breathed.append(1)), list[int](), list[int]()
    assert turns.has_time()
    for number in range(5):
        turns.postpone(Door(number, gone_on))
    while len(gone_on) < 5:
        await asyncio.sleep(0)
        turned.append(len(gone_on))
    assert gone_on == [0, 1, 2, 3, 4]
    assert set(turned) >= {1, 2, 3, 4}
    assert turns.postponed == 5
    # Those who ask for little had a turn behind each.
    assert len(breathed) == 5


async def test_a_turn_has_its_time_and_the_next_one_its_own() -> None:
    breathed: list[int] = []
    turns = HeadTurns(asyncio.get_running_loop(), lambda: breathed.append(1))
    assert turns.has_time()
    Door(0, []).go_on()
    assert not turns.has_time()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert turns.has_time()


@pytest.mark.parametrize("requests", [1, 5])
async def test_a_flood_of_requests_is_answered_whole_and_in_order(requests: int) -> None:
    fields = "".join(f"X{number}: {'a' * 140}\r\n" for number in range(90))
    ask = f"GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\n{fields}\r\n".encode()
    async with front_door() as server:

        async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
            answers = 0
            while answers < requests:
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200 ")
                assert await reader.readexactly(5) == b"hello"
                answers += 1
            writer.close()
            return answers

        connections = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(50)]
        for _, writer in connections:
            writer.write(ask * requests)
        assert await asyncio.gather(*(answered(*each) for each in connections)) == [requests] * 50
        assert server.lobby.turns.postponed > 0


async def test_who_leaves_while_it_waits_is_left_out() -> None:
    async with front_door() as server:
        turns = server.lobby.turns
        while turns.has_time():
            pass
        writers = []
        for _ in range(20):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            writers.append(writer)
        for writer in writers:
            writer.transport.abort()
        async with asyncio.timeout(5):
            while server.lobby.admission.others.taken:  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0.01)
        answer = await server.raw(b"GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        assert answer.endswith(b"hello")


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
