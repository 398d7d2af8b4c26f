"""What portable links have in common, for both of their carriers: one write a tick, windows, and slow peers."""

import asyncio
from typing import Any

import pytest

from chappe.model.frame import Frame
from chappe.model.limits import Limits
from chappe.transports.flush import Flush
from chappe.transports.portable import Commons, LinkCounters, PortableLink
from chappe.transports.sse_link import SseLink
from chappe.transports.websocket import WebSocketLink

Carrier = type[WebSocketLink] | type[SseLink]
FILE_BYTES = 300_000
both_carriers = pytest.mark.parametrize("carrier", [WebSocketLink, SseLink], ids=["websocket", "sse"])


class Wire(asyncio.Transport):
    """A transport that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.waiting_bytes = 0
        self.ended = False

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return self.waiting_bytes

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        pass

    def is_closing(self) -> bool:
        return self.ended

    def close(self) -> None:
        self.ended = True


class Listener:
    """A receiver that keeps what it is told."""

    def __init__(self) -> None:
        self.lost_with: list[int] = []
        self.missed: dict[str, int] = {}

    def receive(self, payload: bytes, text: bool) -> None:
        pass

    def lost(self, code: int) -> None:
        self.lost_with.append(code)

    def dropped(self, channel: str, count: int) -> None:
        self.missed[channel] = count


def connect(
    carrier: Carrier, window_s: float = 0.0, **limits: Any
) -> tuple[PortableLink, Wire, Listener, LinkCounters]:
    loop, counters = asyncio.get_running_loop(), LinkCounters()
    commons = Commons(
        loop, Limits(**limits), counters, Flush(loop, window_s), lambda link, seconds: None, lambda link: None
    )
    link, wire, listener = carrier(commons), Wire(), Listener()
    link.attach(wire)
    link.begin(listener)
    return link, wire, listener, counters


def frame(size: int = 10) -> Frame:
    return Frame(bytes(size), False)


@both_carriers
async def test_what_a_tick_sends_is_one_write(carrier: Carrier) -> None:
    link, wire, _, counters = connect(carrier)
    for _ in range(5):
        link.send(frame())
    assert wire.written == []
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(wire.written) == 1
    assert counters.messages_out == 5
    assert counters.bytes_out == len(wire.written[0])


@both_carriers
async def test_a_window_holds_what_is_sent_back_until_it_is_over(carrier: Carrier) -> None:
    link, wire, _, _ = connect(carrier, window_s=0.05)
    link.send(frame())
    for _ in range(3):
        await asyncio.sleep(0)
    link.send(frame())
    assert wire.written == []
    async with asyncio.timeout(5):
        while not wire.written:  # noqa: ASYNC110 - a transport tells nobody
            await asyncio.sleep(0.01)
    assert len(wire.written) == 1


@both_carriers
async def test_a_large_frame_is_written_as_it_is_and_keeps_its_place(carrier: Carrier) -> None:
    link, wire, _, _ = connect(carrier)
    link.send(frame(1))
    link.send(frame(100_000))
    link.send(frame(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    sizes = [len(data) for data in wire.written]
    assert len(sizes) == 3
    assert sizes[1] > 100_000


@both_carriers
async def test_a_slow_peer_is_given_up_at_its_cap_but_not_for_one_large_frame(carrier: Carrier) -> None:
    link, wire, listener, counters = connect(carrier, send_queue_bytes=1_000)
    link.send(frame(FILE_BYTES))
    wire.waiting_bytes = FILE_BYTES
    link.pause_writing()
    for _ in range(10):
        link.send(frame(100))
    was_closing = link.closing
    link.send(frame(100))
    link.send(frame(100))
    assert (was_closing, link.closing) == (False, True)
    await asyncio.sleep(0)
    assert listener.lost_with == [3_008]
    assert counters.slow_consumers == 1
    assert link.queued_bytes <= FILE_BYTES + 100


@both_carriers
async def test_a_lost_connection_keeps_nothing_and_is_told_once(carrier: Carrier) -> None:
    link, wire, listener, _ = connect(carrier)
    link.send(frame())
    link.connection_lost(None)
    link.connection_lost(None)
    link.send(frame())
    link.abort()
    await asyncio.sleep(0)
    assert listener.lost_with == [1006]
    assert link.queued_bytes == 0
    assert wire.written == []
