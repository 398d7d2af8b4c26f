"""What streams of events and MQTT have in common over asyncio: their ends, probes and limits."""

import asyncio
from typing import Any

import pytest

from chappe.model.error_codes import Code
from chappe.model.frame import Bundle, Frame
from chappe.model.limits import Limits
from chappe.transports.flush import Flush
from chappe.transports.mqtt_link import MqttLink
from chappe.transports.portable import Commons, LinkCounters
from chappe.transports.sse_link import SseLink
from chappe.transports.stream_link import StreamLink

LINKS = pytest.mark.parametrize("make", [MqttLink, SseLink])


class Receiver:
    def __init__(self) -> None:
        self.lost_with: list[int] = []

    def receive(self, payload: bytes, text: bool) -> None:
        raise AssertionError("nothing was sent")

    def lost(self, code: int) -> None:
        self.lost_with.append(code)

    def dropped(self, channel: str, count: int) -> None:
        raise AssertionError("nothing was dropped")


async def connected(make: type[StreamLink]) -> tuple[Any, Receiver, asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a link on a real connection, its receiver, and the peer's end."""
    loop, receiver, made = asyncio.get_running_loop(), Receiver(), loop_future()
    commons = Commons(
        loop, Limits(), LinkCounters(), Flush(loop, 0.0), lambda link, seconds: None, lambda link: None, 1_024
    )

    class Door(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            link = make(commons)
            link.attach(transport)
            link.begin(receiver)
            made.set_result(link)

    server = await loop.create_server(Door, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
    server.close()
    return await made, receiver, reader, writer


def loop_future() -> "asyncio.Future[Any]":
    return asyncio.get_running_loop().create_future()


@LINKS
async def test_what_is_queued_goes_before_the_end_and_the_end_is_told_once(make: type[StreamLink]) -> None:
    link, receiver, reader, writer = await connected(make)
    link.send(Frame(b"one", True))
    link.send(Bundle.of([Frame(b"two", True), Frame(b"three", True)]))
    link.close(1000)
    link.close(1001)
    link.fail(1008, "")
    data = await reader.read()
    assert [data.count(word) for word in (b"one", b"two", b"three")] == [1, 1, 1]
    assert data.index(b"one") < data.index(b"two") < data.index(b"three")
    assert data.endswith(make.LAST)
    assert receiver.lost_with == [1000]
    writer.close()


@LINKS
async def test_a_peer_that_half_closes_is_gone(make: type[StreamLink]) -> None:
    _, receiver, reader, writer = await connected(make)
    writer.write_eof()
    assert (await reader.read()) == make.LAST
    assert receiver.lost_with == [1006]
    writer.close()


@LINKS
async def test_a_probe_tells_whether_the_connection_is_there(make: type[StreamLink]) -> None:
    link, receiver, _, writer = await connected(make)
    told: list[bool] = []
    link.limit(1)
    link.probe(5.0, told.append)
    await asyncio.sleep(0.01)
    link.close(Code.SHUTDOWN)
    link.probe(5.0, told.append)
    await asyncio.sleep(0.01)
    assert told == [True, False]
    assert receiver.lost_with == [Code.SHUTDOWN]
    writer.close()
