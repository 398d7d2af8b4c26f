"""The hub's side of a stream, with a link that records: opening, waiting, and the cursor behind each event."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from chappe.hub.contracts import Claims
from chappe.hub.fanout import LinkSet
from chappe.hub.session import Peer
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.protocols import base
from chappe.protocols.sse import parse_cursor, place_in
from chappe.transports import sse_stream
from chappe.transports.sse_stream import Stream, Streams
from tests.hub.harness import Gate, RecordingLink, Tokens, World
from tests.protocols.sse.reader import EventReader, Said


class Carrier(RecordingLink):
    """A connection that records."""

    receiver: Any = None

    def begin(self, receiver: Any, behind: bytes = b"") -> None:
        """Note whose end it is."""
        self.session = receiver

    def events(self) -> list[Said]:
        """Return all events so far."""
        return EventReader().feed(b"".join(frame.payload for frame in self.frames))

    def data(self) -> list[Any]:
        """Return what the publications so far say."""
        return [json.loads(said.data)["data"] for said in self.events() if said.name == "message"]


async def opened(world: World, channels: Mapping[str, base.Since], raw: bool = False) -> Stream:
    """Open a stream."""
    return await Streams(world.hub).open(channels, Peer(address="192.0.2.1", carrier="sse"), raw)


def attached(world: World, stream: Stream) -> Carrier:
    """Give a stream its connection."""
    carrier = Carrier(world)
    stream.attach(carrier)
    return carrier


def place(said: Said, channel: str) -> Any:
    return place_in(parse_cursor(said.id), channel)


async def test_a_stream_of_one_channel_is_served_straight_by_the_audience() -> None:
    world = World()
    stream = await opened(world, {"a": None})
    carrier = attached(world, stream)
    assert stream.session is not None
    assert stream.session.link is carrier
    channel = world.hub.channels.get("a")
    assert channel is not None
    (group,) = channel.audience._groups.values()
    assert isinstance(group, LinkSet)
    assert list(group._links) == [carrier]


async def test_what_comes_before_the_connection_waits_and_keeps_its_order() -> None:
    world = World()
    for channels in ({"a": None}, {"a": None, "b": None}):
        stream = await opened(world, channels)
        for number in range(3):
            world.append("a", number)
        world.settle()
        carrier = attached(world, stream)
        world.append("a", 3)
        world.settle()
        assert [said.name for said in carrier.events()] == ["subscribed"] + ["message"] * 4
        assert carrier.data() == [0, 1, 2, 3]


async def test_the_cursor_of_several_channels_moves_in_the_one_that_spoke() -> None:
    world = World()
    carrier = attached(world, await opened(world, {"a": None, "b": None, "c/#": None}))
    world.append("a", 1)
    world.append("c/1", 2)
    world.append("b", 3)
    world.settle()
    start, *said = carrier.events()
    assert carrier.data() == [1, 2, 3]
    assert [place(each, "a").offset for each in said] == [1, 1, 1]
    assert [place(each, "b").offset for each in (start, *said)] == [0, 0, 0, 1]
    logs = [int(place(each, "c/#").position.rpartition(":")[2]) for each in (start, *said)]
    assert logs[0] == logs[1] < logs[2] == logs[3]


async def test_a_pattern_stays_behind_what_other_subscriptions_bring() -> None:
    world = World()
    carrier = attached(world, await opened(world, {"a": None, "a/#": None, "a/+/x": None}))
    for channel in ("a", "a/1/x", "a/2"):
        world.append(channel, 1)
    world.settle()
    start, *said = carrier.events()
    assert len(said) == 3
    assert place(said[1], "a/#") == place(start, "a/#"), "two patterns bring it"
    assert place(said[1], "a/+/x") == place(start, "a/+/x")
    assert place(said[2], "a/#") != place(start, "a/#")


async def test_what_is_no_place_of_its_channel_moves_no_cursor() -> None:
    world = World()
    world.append("a", "kept", retain=True)
    carrier = attached(world, await opened(world, {"a": None, "b": None}))
    start, said = carrier.events()
    assert json.loads(said.data)["retained"] is True
    assert said.id == start.id


async def test_a_refused_channel_refuses_the_stream_and_leaves_no_session() -> None:
    world = World()
    with pytest.raises(ChappeError) as caught:
        await opened(world, {"a": None, "closed/a": None})
    assert caught.value.code == Code.PERMISSION_DENIED
    assert not world.hub.sessions
    assert world.hub.channels.get("a") is None


async def test_a_hook_may_take_its_time() -> None:
    world, gate = World(), Gate()

    async def think(session: Any) -> None:
        await gate

    world.hub.hooks.connect.append(think)
    opening = asyncio.ensure_future(opened(world, {"a": None}))
    await asyncio.sleep(0)
    world.settle()
    assert not opening.done()
    gate.open()
    world.settle()
    assert (await opening).session is not None


async def test_a_stream_that_does_not_open_in_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse_stream, "OPENING_S", 0.01)
    world, gate = World(), Gate()

    async def think(session: Any) -> None:
        await gate

    world.hub.hooks.connect.append(think)
    with pytest.raises(ChappeError) as caught:
        await opened(world, {"a": None})
    assert caught.value.code == Code.NOT_AVAILABLE
    assert not world.hub.sessions
    gate.open()
    world.settle()


async def test_a_session_that_ends_before_its_connection_is_there_ends_that_too() -> None:
    world = World()
    stream = await opened(world, {"a": None})
    assert stream.session is not None
    stream.session.close(Code.DISCONNECTED)
    assert stream.closing
    assert attached(world, stream).closed == (Code.DISCONNECTED, "")
    other = await opened(world, {"a": None})
    other.abandon()
    assert not world.hub.sessions


async def test_too_much_that_waits_for_a_connection_ends_the_session() -> None:
    world = World(send_queue_bytes=2_000)
    stream = await opened(world, {"a": None})
    for _ in range(20):
        world.append("a", "x" * 500)
    world.settle()
    # More than may wait for a slow reader: this one could take nothing yet.
    was_closing = stream.closing
    for _ in range(60):
        world.append("a", "x" * 500)
    world.settle()
    assert (was_closing, stream.closing) == (False, True)
    assert stream.queued_bytes == 0
    await asyncio.sleep(0)
    assert not world.hub.sessions


async def test_an_end_of_a_subscription_for_good_is_told_and_its_channel_leaves_the_cursor() -> None:
    world = World()
    stream = await opened(world, {"a": None, "b": None})
    carrier = attached(world, stream)
    assert stream.session is not None
    subscription = stream.session.subscription("a")
    assert subscription is not None
    world.hub.subscribing.end(subscription, Code.UNSUBSCRIBED_PERMISSION_WITHDRAWN)
    world.append("b", 1)
    world.settle()
    _, ended, said = carrier.events()
    assert (ended.name, json.loads(ended.data)["channel"]) == ("unsubscribed", "a")
    assert place(said, "a") is None
    assert carrier.closed is None


async def test_a_token_that_expires_ends_its_stream() -> None:
    world = World()
    expires_at = world.clock.wall_ms() / 1_000 + 10
    world.hub.authenticator = Tokens(ada=Claims(user="ada", expires_at=expires_at))
    peer = Peer(address="192.0.2.1", carrier="sse", token="ada")
    carrier = attached(world, await Streams(world.hub).open({"a": None}, peer, False))
    world.clock.advance(11)
    assert carrier.closed is not None
    assert carrier.closed[0] == Code.EXPIRED


async def test_a_stream_counts_as_alive_while_it_is_there() -> None:
    world = World()
    stream = await opened(world, {"a": None, "b": None})
    answers: list[bool] = []
    for closing in (False, True):
        stream.closing = closing
        stream.probe(1.0, answers.append)
    await asyncio.sleep(0)
    assert answers == [True, False]


async def test_a_request_that_opens_nothing_is_checked_as_one_that_does() -> None:
    world = World(anonymous=False, authenticator=Tokens(ada=Claims(user="ada")), channels_per_client=2)
    streams = Streams(world.hub)
    for channels, token, code in (
        (("a",), None, Code.UNAUTHORIZED),
        (("a",), "eve", Code.UNAUTHORIZED),
        (("closed/a",), "ada", Code.PERMISSION_DENIED),
        (("",), "ada", Code.BAD_REQUEST),
        (("a", "b", "c"), "ada", Code.LIMIT_EXCEEDED),
    ):
        with pytest.raises(ChappeError) as caught:
            await streams.check(dict.fromkeys(channels), Peer(token=token))
        assert caught.value.code == code
    await streams.check({"a": None, "a/#": None}, Peer(token="ada"))
