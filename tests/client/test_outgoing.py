"""Batches of what is sent: one message of the phone's radio instead of ten."""

import asyncio
from typing import Any

import msgspec
import pytest
from websockets.asyncio.server import ServerConnection, serve

from chappe.client import classic
from chappe.client.client import connect
from chappe.client.messages import Codec, Encoding
from chappe.client.outgoing import SMALL_BYTES, Outgoing
from tests.client.scripted_hub import scripted_hub


async def test_one_frame_after_the_other_leaves_where_nothing_is_gathered() -> None:
    outgoing = Outgoing()
    outgoing.put("a")
    outgoing.put("b")
    assert [await outgoing.take(), await outgoing.take()] == [["a"], ["b"]]


async def test_what_waited_for_a_request_leaves_as_one() -> None:
    outgoing = Outgoing(gathers=True)
    for frame in ("a", "b", "x" * 1_000_000, "c"):
        outgoing.put(frame)
    assert [await outgoing.take() for _ in range(3)] == [["a", "b"], ["x" * 1_000_000], ["c"]]


@pytest.mark.parametrize("last", ["urgent", "large", "tenth"])
async def test_a_window_ends_early_for_what_cannot_wait(last: str) -> None:
    outgoing = Outgoing(window_s=1_000, window_frames=10)
    taking = asyncio.ensure_future(outgoing.take())
    frames = ["small"] * (9 if last == "tenth" else 3)
    for frame in frames:
        outgoing.put(frame)
    await asyncio.sleep(0)
    assert not taking.done()
    end = "x" * SMALL_BYTES if last == "large" else "end"
    outgoing.put(end, urgent=last == "urgent")
    assert await taking == [*frames, end]


async def test_a_window_ends_by_itself_and_by_a_flush() -> None:
    outgoing = Outgoing(window_s=0.02, window_frames=10)
    outgoing.put("a")
    assert await outgoing.take() == ["a"]
    slow = Outgoing(window_s=1_000, window_frames=10)
    slow.put("b")
    slow.flush()
    assert await slow.take() == ["b"]
    following = asyncio.ensure_future(slow.take())
    await slow.left()
    following.cancel()


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
@pytest.mark.parametrize("count", [1, 2, 20, 70_000])
def test_joined_commands_are_an_array_and_one_alone_is_plain(encoding: Encoding, count: int) -> None:
    codec = Codec(encoding)
    frame = codec.join([codec.encode({"type": "ping", "id": number}) for number in range(count)])
    decoded = msgspec.msgpack.decode(frame) if isinstance(frame, bytes) else msgspec.json.decode(frame)
    assert decoded == ([{"type": "ping", "id": number} for number in range(count)] if count > 1 else decoded)
    assert isinstance(decoded, dict) is (count == 1)


async def test_publications_in_a_window_travel_in_one_frame_in_order() -> None:
    async with scripted_hub() as hub:
        async with connect(hub.url, batch_ms=60_000, batch_max=10, heartbeat_interval_s=0) as client:
            await asyncio.gather(*(client.publish("news", number) for number in range(10)))
            frames = hub.frames
            assert len(frames[-1]) == 10
            assert [command["data"] for command in frames[-1]] == list(range(10))
            late = asyncio.ensure_future(client.publish("news", "late"))
            await asyncio.sleep(0)
        await asyncio.gather(late, return_exceptions=True)
        await hub.wait_for("publish", 11)
        assert [command["data"] for command in hub.frames[-1]] == ["late"], "what is gathered leaves at close"


async def test_classic_gathers_messages_in_a_batch() -> None:
    frames: list[dict[str, Any]] = []
    done = asyncio.Event()

    async def room(socket: ServerConnection) -> None:
        async for frame in socket:
            fields = msgspec.json.decode(frame)
            if fields["type"] == "login":
                await socket.send('{"type":"join","username":"Ada"}')
            else:
                frames.append(fields)
                if len(frames) == 2:
                    done.set()

    async with serve(room, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with classic.connect(f"ws://127.0.0.1:{port}/", "Ada", batch_ms=60_000, batch_max=3) as ada:
            for number in range(4):
                await ada.send(str(number))
        await done.wait()
    assert frames[0]["type"] == "batch"
    assert [msgspec.json.decode(text)["content"] for text in frames[0]["messages"]] == ["0", "1", "2"]
    assert frames[1] == {"type": "message", "content": "3"}


def test_a_batch_of_classic_keeps_within_its_size() -> None:
    texts = ['{"content":"' + '\\"' * 4_000 + '"}'] * 10
    frames = list(classic.batches(texts))
    assert len(frames) > 1
    assert all(len(frame.encode()) <= 65_536 for frame in frames)
    assert [text for frame in frames for text in msgspec.json.decode(frame)["messages"]] == texts
