"""What all links over ASGI messages share."""

from __future__ import annotations

import asyncio
from typing import Any

from chappe.model.error_codes import Code
from chappe.model.frame import Bundle, Frame, SlowConsumer
from chappe.model.limits import Limits
from chappe.transports.asgi_stream import AsgiStreamLink


class Receiver:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.ends: list[int] = []
        self.missed: dict[str, int] = {}

    def receive(self, payload: bytes, text: bool) -> None:
        raise AssertionError("a stream receives nothing")

    def lost(self, code: int) -> None:
        self.ends.append(code)

    def dropped(self, channel: str, count: int) -> None:
        self.missed[channel] = self.missed.get(channel, 0) + count


class Server:
    """The server's side: keeps what is sent, as long as it takes anything."""

    def __init__(self) -> None:
        self.taking = asyncio.Event()
        self.taking.set()
        self.bodies: list[bytes] = []

    async def send(self, message: Any) -> None:
        await self.taking.wait()
        self.bodies.append(message["body"])


def event(text: str, policy: SlowConsumer = SlowConsumer.DISCONNECT) -> Frame:
    return Frame(text.encode(), True, "a", policy=policy)


async def test_frames_and_the_parts_of_bundles_are_sent_in_order_before_the_goodbye() -> None:
    link, server, receiver = AsgiStreamLink(Limits()), Server(), Receiver()
    link.begin(receiver)
    writing = link.start(server.send)
    link.send(event("1"))
    link.send(Bundle.of([event("2"), event("3")]))
    link.close(3001)
    link.close(3001)
    link.send(event("late"))
    await writing
    await link.detach(1006)
    assert server.bodies == [b"1", b"2", b"3", b""]
    assert receiver.ends == [1006]


async def test_the_rest_of_a_gap_that_is_being_written_is_not_held_against_its_reader() -> None:
    link, server = AsgiStreamLink(Limits(send_queue_bytes=100)), Server()
    server.taking.clear()
    writing = link.start(server.send)
    link.send(Bundle.of([event("x" * 80) for _ in range(10)]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    link.send(event("live"))
    assert not link.closing
    server.taking.set()
    link.close(3001)
    await writing
    await link.detach(1006)
    assert server.bodies == [b"x" * 80] * 10 + [b"live", b""]


async def test_over_the_cap_the_link_closes_and_the_end_is_told_once() -> None:
    link, server, receiver = AsgiStreamLink(Limits(send_queue_bytes=10)), Server(), Receiver()
    link.begin(receiver)
    server.taking.clear()
    link.start(server.send)
    for _ in range(4):
        link.send(event("x" * 8))
    assert link.closing
    await asyncio.sleep(0)
    await link.detach(1006)
    assert receiver.ends == [Code.SLOW_CONSUMER]


async def test_what_is_dropped_for_a_slow_reader_is_told() -> None:
    link, server, receiver = AsgiStreamLink(Limits(send_queue_bytes=10)), Server(), Receiver()
    link.begin(receiver)
    server.taking.clear()
    link.start(server.send)
    for _ in range(5):
        link.send(event("x" * 8, SlowConsumer.DROP_OLDEST))
        await asyncio.sleep(0)
    server.taking.set()
    async with asyncio.timeout(2):
        while not receiver.missed:  # noqa: ASYNC110 - the link tells its receiver only
            await asyncio.sleep(0.01)
    await link.detach(1006)
    assert len(server.bodies) + receiver.missed["a"] == 5
