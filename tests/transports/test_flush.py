"""What a tick brought for a link is written once; a window waits for more; a large fan-out lets the loop turn."""

import asyncio
import json
import time
from typing import Any

import pytest

from chappe.model.frame import Frame
from chappe.model.limits import Limits
from chappe.transports.flush import SLICE, Flush
from chappe.transports.portable import Commons, LinkCounters
from chappe.transports.websocket import WebSocketLink
from tests.transports.front_door_harness import front_door

PING = bytes((0x81, 0x80 | 4)) + bytes(4) + b"ping"


class Pipe(asyncio.Transport):
    """Keeps what is written to it, piece by piece."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Do nothing: the test hands bytes over itself."""

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def get_write_buffer_size(self) -> int:
        return 0


class Repeater:
    """Answers each message with two frames."""

    def __init__(self, link: WebSocketLink) -> None:
        self.link = link

    def receive(self, payload: bytes, text: bool) -> None:
        for answer in (b"1", b"2"):
            self.link.send(Frame(answer, text))

    def lost(self, code: int) -> None:
        """Nothing is kept."""

    def dropped(self, channel: str, count: int) -> None:
        """Nothing is dropped."""


def make_link(window_s: float = 0.0) -> tuple[WebSocketLink, Pipe]:
    loop = asyncio.get_running_loop()
    commons = Commons(loop, Limits(), LinkCounters(), Flush(loop, window_s), lambda link, in_s: None, lambda link: None)
    link, pipe = WebSocketLink(commons), Pipe()
    link.attach(pipe)
    link.receiver = Repeater(link)
    return link, pipe


async def test_the_frames_of_one_tick_are_one_write() -> None:
    link, pipe = make_link()
    for number in range(5):
        link.send(Frame(b"%d" % number, True))
    assert pipe.written == []
    assert link.queued_bytes == 15
    await asyncio.sleep(0)
    assert pipe.written == [b"".join(b"\x81\x01%d" % number for number in range(5))]
    assert link.queued_bytes == 0


async def test_answers_to_the_peer_s_own_bytes_go_out_right_behind_them_as_one_write() -> None:
    link, pipe = make_link()
    link.data_received(PING + PING)
    assert pipe.written == [b"\x81\x011\x81\x012" * 2]
    await asyncio.sleep(0)
    assert len(pipe.written) == 1


async def test_a_window_gathers_over_several_ticks_and_holds_answers_too() -> None:
    link, pipe = make_link(window_s=0.05)
    link.data_received(PING)
    for _ in range(3):
        link.send(Frame(b"x", False))
        await asyncio.sleep(0)
    assert pipe.written == []
    await asyncio.sleep(0.06)
    assert pipe.written == [b"\x81\x011\x81\x012" + b"\x82\x01x" * 3]


async def test_more_than_a_transport_takes_is_not_gathered() -> None:
    link, pipe = make_link(window_s=60)
    small, large = Frame(bytes(30_000), False), Frame(bytes(100_000), False)
    for frame in (small, small, small, large, small):
        link.send(frame)
    # The large one goes as it is, shared with its other readers, behind what came before it.
    assert [len(piece) for piece in pipe.written] == [3 * 30_004, 100_010]
    assert pipe.written[1] == large.websocket
    link.close(1000)
    assert b"".join(pipe.written).endswith(bytes(30_000) + b"\x88\x02\x03\xe8")


async def test_a_goodbye_comes_behind_what_was_gathered() -> None:
    link, pipe = make_link()
    link.send(Frame(b"last", True))
    link.close(1000)
    assert b"".join(pipe.written) == b"\x81\x04last\x88\x02\x03\xe8"


async def test_a_link_that_is_gone_keeps_nothing_to_write() -> None:
    link, pipe = make_link()
    link.send(Frame(b"late", True))
    link.connection_lost(None)
    await asyncio.sleep(0)
    assert pipe.written == []
    assert link.queued_bytes == 0


async def test_a_fan_out_to_everybody_lets_the_loop_turn() -> None:
    loop = asyncio.get_running_loop()
    flush = Flush(loop)
    turns: list[int] = []

    class Slow:
        def flush(self) -> None:
            flushed.append(self)

    flushed: list[Slow] = []
    for _ in range(3 * SLICE):
        flush.add(Slow())
    while len(flushed) < 3 * SLICE:
        await asyncio.sleep(0)
        turns.append(len(flushed))
    assert turns == [SLICE, 2 * SLICE, 3 * SLICE]


@pytest.mark.slow
async def test_a_hub_with_a_window_delivers_within_it() -> None:
    async with front_door(batch_window_s=0.1, data_plane="portable") as server, server.connect() as client:
        await client.send(json.dumps({"type": "subscribe", "id": 1, "channel": "news"}))
        await client.recv()
        began = time.monotonic()
        for number in range(3):
            await client.send(json.dumps({"type": "publish", "id": number, "channel": "news", "data": number}))
        answers = [json.loads(await client.recv()) for _ in range(6)]
        assert 0.05 <= time.monotonic() - began <= 0.5
        assert [answer["data"] for answer in answers if answer["type"] == "publication"] == [0, 1, 2]


async def test_a_link_that_fails_to_write_holds_up_nobody() -> None:
    # One callback writes for all links: when it broke off, nothing was written on the whole server any more.
    loop = asyncio.get_running_loop()
    reported: list[object] = []
    loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))
    flush = Flush(loop)
    flushed: list[str] = []

    class Broken:
        def flush(self) -> None:
            raise MemoryError

    class Sound:
        def flush(self) -> None:
            flushed.append("sound")

    for link in (Broken(), Sound()):
        flush.add(link)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert flushed == ["sound"]
    flush.add(Sound())
    await asyncio.sleep(0)
    assert flushed == ["sound"] * 2
    assert [type(error) for error in reported] == [MemoryError]
