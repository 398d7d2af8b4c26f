"""Compression over real sockets, by the native and by the portable links."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
import websockets
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from chappe.wire.deflate import compress
from tests.transports.front_door_harness import FrontDoorServer, front_door

PLANES = pytest.mark.parametrize("data_plane", ["native", "portable"])
LONG = json.dumps([{"name": f"user {n}"} for n in range(100)])


async def extensions_of(server: FrontDoorServer, *offers: str) -> list[bytes]:
    """Return the extensions of the answer to a handshake with these headers."""
    offered = "".join(f"Sec-WebSocket-Extensions: {offer}\r\n" for offer in offers)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(
        f"GET /echo HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{offered}\r\n".encode()
    )
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    assert head.startswith((b"HTTP/1.1 101 ", b"HTTP/1.1 400 "))
    if head.startswith(b"HTTP/1.1 400 "):
        return [b"400"]
    lines = head.split(b"\r\n")
    return [line.partition(b": ")[2] for line in lines if line.lower().startswith(b"sec-websocket-extensions")]


@PLANES
async def test_ws_3_the_answer_keeps_no_context_and_names_a_window_only_if_asked(data_plane: Any) -> None:
    both = b"permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    async with front_door(data_plane=data_plane) as server:
        assert await extensions_of(server) == []
        assert await extensions_of(server, "permessage-deflate; client_max_window_bits") == [both]
        window = "permessage-deflate; server_max_window_bits=12"
        assert await extensions_of(server, window) == [both + b"; server_max_window_bits=12"]
        # Two headers are one list (RFC 9110, 5.3).
        assert await extensions_of(server, "permessage-deflate; server_max_window_bits=9", "permessage-deflate") == [
            both
        ]
        assert await extensions_of(server, "permessage-deflate; server_max_window_bits=9") == []
        assert await extensions_of(server, "permessage-deflate; =") == [b"400"]


async def test_compression_may_be_off() -> None:
    async with front_door(compression=False) as server:
        assert await extensions_of(server, "permessage-deflate") == []


@PLANES
@pytest.mark.parametrize("bits", [9, 12, 15])
async def test_messages_return_compressed_and_plain(data_plane: Any, bits: int) -> None:
    offer = ClientPerMessageDeflateFactory(client_max_window_bits=bits)
    async with (
        front_door(data_plane=data_plane) as server,
        server.connect("/echo", compression=None, extensions=[offer]) as client,
    ):
        for message in ("", "é" * 3_000, LONG, "short", b"\xff" * 5_000, LONG):
            await client.send(message)
            assert await client.recv() == message


@PLANES
async def test_a_publication_is_deflated_once_for_all_who_agreed(
    data_plane: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def counted(payload: bytes, breathe: Callable[[], None] | None = None) -> bytes:
        calls.append(len(payload))
        return compress(payload, breathe)

    monkeypatch.setattr("chappe.transports.encoding.compress", counted)
    async with front_door(data_plane=data_plane) as server:
        readers = [await server.connect("/ws", compression=how) for how in ("deflate", None, "deflate", "deflate")]
        for reader in readers:
            await reader.send('{"type": "subscribe", "id": 1, "channel": "news"}')
            await reader.recv()
        await readers[0].send(json.dumps({"type": "publish", "id": 2, "channel": "news", "data": LONG}))
        for reader in readers:
            heard: dict[str, Any] = {}
            while heard.get("type") != "publication":
                heard = json.loads(await asyncio.wait_for(reader.recv(), 5))
            assert heard["data"] == LONG
        for reader in readers:
            await reader.close()
    assert len(calls) == 1


@PLANES
async def test_a_recovered_gap_comes_compressed(data_plane: Any) -> None:
    async with front_door(data_plane=data_plane) as server, server.connect() as client:
        await client.send('{"type": "subscribe", "id": 1, "channel": "news"}')
        answer = json.loads(await client.recv())
        for number in range(5):
            await client.send(json.dumps({"type": "publish", "id": 2, "channel": "news", "data": f"{number} {LONG}"}))
        async with server.connect() as late:
            since = {"epoch": answer["epoch"], "offset": answer["offset"]}
            await late.send(json.dumps({"type": "subscribe", "id": 1, "channel": "news", "since": since}))
            data: list[str] = []
            while len(data) < 5:
                heard = json.loads(await asyncio.wait_for(late.recv(), 5))
                if heard["type"] == "publication":
                    data.append(heard["data"])
            assert data == [f"{number} {LONG}" for number in range(5)]


@PLANES
async def test_the_limit_of_a_message_counts_what_it_becomes(data_plane: Any) -> None:
    async with front_door(data_plane=data_plane) as server, server.connect("/echo") as client:
        await client.send(" {}" * 400_000)
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await client.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009
