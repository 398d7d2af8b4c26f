"""What the client does differently from the library: a goodbye inside a message, and short messages left alone."""

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import NegotiationError
from websockets.frames import Frame, Opcode

from chappe.client.errors import ConnectionLost
from chappe.client.options import Settings
from chappe.client.peer import COMPRESSION_MIN_BYTES, DeflateOffer
from chappe.client.websocket_transport import dial


async def test_autobahn_7_1_5_a_goodbye_inside_a_message_is_answered_with_its_code() -> None:
    codes: list[int | None] = []

    async def leave(server: ServerConnection) -> None:
        server.protocol.send_text(b"never finished", fin=False)
        # The library itself would finish the message first.
        server.protocol.expect_continuation_frame = False
        await server.close(4_000, "bye")
        codes.append(server.protocol.close_rcvd.code if server.protocol.close_rcvd else None)

    async with serve(leave, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        connection = await dial(Settings(url=f"ws://127.0.0.1:{port}", proxy=None))
        with pytest.raises(ConnectionLost) as lost:
            await connection.receive()
    assert lost.value.close_code == 4_000
    assert codes == [4_000]


def test_short_messages_are_left_alone_and_long_ones_are_compressed() -> None:
    deflate = DeflateOffer().process_response_params([], [])
    short = Frame(Opcode.TEXT, b"x" * (COMPRESSION_MIN_BYTES - 1))
    assert deflate.encode(short) is short
    for _ in range(2):
        long = deflate.encode(Frame(Opcode.TEXT, b"x" * COMPRESSION_MIN_BYTES))
        assert long.rsv1
        assert len(long.data) < 30


def test_a_fragmented_message_is_compressed_from_its_first_piece_on() -> None:
    deflate = DeflateOffer().process_response_params([], [])
    pieces = [deflate.encode(Frame(Opcode.TEXT, b"a", fin=False)), deflate.encode(Frame(Opcode.CONT, b"b"))]
    assert [piece.rsv1 for piece in pieces] == [True, False]
    read = [bytes(deflate.decode(piece).data) for piece in pieces]
    assert b"".join(read) == b"ab"


def test_what_was_not_offered_is_refused() -> None:
    with pytest.raises(NegotiationError):
        DeflateOffer().process_response_params([("unknown", None)], [])


async def test_a_message_over_the_limit_is_refused_when_it_is_inflated() -> None:
    async def send(server: ServerConnection) -> None:
        await server.send("x" * 100_000)
        await server.wait_closed()

    async with serve(send, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        connection = await dial(Settings(url=f"ws://127.0.0.1:{port}", proxy=None, max_message_bytes=10_000))
        with pytest.raises(ConnectionLost) as lost:
            await connection.receive()
    assert lost.value.close_code == 1009
