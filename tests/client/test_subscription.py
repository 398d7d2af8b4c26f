"""Subscriptions over cuts, restarts, refusals and slow readers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from chappe.client import subscription as module
from chappe.client.client import Client, connect
from chappe.client.cursor import Since
from chappe.client.errors import ConnectionLost, QueueFull, TimedOut
from chappe.client.inbox import Item, Join, Leave, PresenceState, Resubscribed
from chappe.client.messages import Publication
from chappe.client.subscription import Subscription
from chappe.model.errors import ChappeError, LocalProtocolError
from chappe.model.position import Position
from tests.client.recorder import Recorder
from tests.client.scripted_hub import Fields, Peer, ScriptedHub, error, scripted_hub


@asynccontextmanager
async def pair(timeout_s: float = 10.0, **options: Any) -> AsyncIterator[tuple[ScriptedHub, Client]]:
    """A scripted hub and a client that comes back quickly."""
    async with (
        scripted_hub() as hub,
        connect(
            hub.url, reconnect_interval_ms=5, reconnect_max_ms=20, command_timeout_s=timeout_s, **options
        ) as client,
    ):
        yield hub, client


async def take(subscription: Subscription, count: int) -> list[Any]:
    return [(await anext(subscription)).data for _ in range(count)]


async def test_publications_come_in_order_and_a_call_inside_the_loop_works() -> None:
    async with pair() as (hub, client), client.subscribe("news") as news:
        for number in range(3):
            await hub.publish("news", number)
        seen = []
        async for publication in news:
            seen.append(publication.data)
            assert await client.call("add", a=1, b=2) == 3
            await client.publish("other", publication.data)
            if len(seen) == 3:
                break
        assert seen == [0, 1, 2]


@pytest.mark.parametrize(("since", "expected"), [("latest", [4]), (3, [2, 3, 4]), (Position("e1", 3), [3, 4])])
async def test_a_subscriber_may_begin_earlier(since: Since, expected: list[int]) -> None:
    async with pair() as (hub, client):
        for number in range(5):
            await hub.publish("news", number)
        async with client.subscribe("news", since=since) as news:
            assert await take(news, len(expected)) == expected
            assert news.recovered is isinstance(since, Position)


async def test_what_was_published_during_a_cut_is_recovered_and_said_to_be() -> None:
    async with pair() as (hub, client), client.subscribe("news") as news:
        events = Recorder(client)
        await hub.publish("news", "before")
        assert await take(news, 1) == ["before"]
        hub.cut()
        await events.wait("disconnected")
        await hub.publish("news", "during")
        await events.wait("resubscribed")
        await hub.publish("news", "after")
        assert await take(news, 2) == ["during", "after"]
        assert news.recovered is True
        assert news.position == Position("e1", 3)
        assert events.of("resubscribed") == [("news", True)]


async def test_a_gap_that_cannot_be_filled_is_an_item_a_flag_an_event_and_a_log_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with pair() as (hub, client), client.subscribe("news") as news:
        events = Recorder(client)
        await hub.publish("news", "before")
        hub.cut()
        await events.wait("disconnected")
        hub.forget("news")
        await events.wait("resubscribed")
        await hub.publish("news", "after")
        items = news.items()
        seen: list[Item] = []
        async for item in items:
            seen.append(item)
            if len(seen) == 3:
                break
        first, gap, last = seen
        assert isinstance(first, Publication)
        assert gap == Resubscribed(False, Position("e1'", 0))
        assert isinstance(last, Publication)
        assert (news.recovered, news.position) == (False, Position("e1'", 1))
        assert events.of("resubscribed") == [("news", False)]
        assert "may be missing" in caplog.text


async def test_the_flag_belongs_to_the_publication_that_was_taken_and_not_to_what_comes() -> None:
    async with pair() as (hub, client), client.subscribe("news", since=Position("e1", 0)) as news:
        events = Recorder(client)
        await hub.publish("news", "before")
        hub.cut()
        await events.wait("disconnected")
        hub.forget("news")
        await events.wait("resubscribed")
        await hub.publish("news", "after")
        assert await take(news, 1) == ["before"]
        assert news.recovered is True
        assert await take(news, 1) == ["after"]
        assert news.recovered is False


async def test_duplicates_are_dropped() -> None:
    async with pair() as (hub, client), client.subscribe("news") as news:
        publication = await hub.publish("news", 1)
        await hub.push("news", {"type": "publication", **publication})
        await hub.publish("news", 2)
        assert await take(news, 2) == [1, 2]


async def test_a_new_epoch_without_a_word_is_reported_as_a_gap() -> None:
    async with pair() as (hub, client), client.subscribe("news") as news:
        await hub.publish("news", 1)
        hub.forget("news")
        await hub.publish("news", 2)
        assert await take(news, 2) == [1, 2]
        assert news.recovered is False


async def test_a_second_subscription_to_a_channel_is_refused_and_the_first_goes_on() -> None:
    async with pair() as (hub, client), client.subscribe("news") as news:
        with pytest.raises(ChappeError) as caught:
            await client.subscribe("news")
        assert caught.value.code == 105
        await hub.publish("news", 1)
        assert await take(news, 1) == [1]
        assert dict(client.subscriptions) == {"news": news}


async def test_a_channel_can_be_left_and_entered_again() -> None:
    async with pair() as (hub, client):
        for number in range(3):
            async with client.subscribe("news") as news:
                await hub.publish("news", number)
                assert await take(news, 1) == [number]
        assert [command["type"] for command in hub.commands].count("unsubscribe") == 3
        assert not client.subscriptions


async def test_what_is_queued_can_be_taken_after_leaving() -> None:
    async with pair() as (hub, client):
        news = await client.subscribe("news")
        await hub.publish("news", 1)
        await client.ping()
        await news.unsubscribe()
        await news.unsubscribe()
        assert [publication.data async for publication in news] == [1]


async def test_a_refusal_is_raised_where_one_subscribes() -> None:
    async with pair() as (hub, client):
        hub.script["subscribe"] = lambda peer, command: _send(peer, error(command, 103, "permission denied"))
        with pytest.raises(ChappeError, match="permission denied") as caught:
            async with client.subscribe("secret"):
                pass
        assert caught.value.code == 103
        assert not client.subscriptions


async def test_a_hub_that_does_not_answer_a_subscribe_is_not_waited_for_for_ever() -> None:
    async with pair(timeout_s=0.05) as (hub, client):
        hub.script["subscribe"] = lambda peer, command: True
        with pytest.raises(TimedOut, match="subscribe to news"):
            await client.subscribe("news")
        assert not client.subscriptions


async def test_a_subscribe_that_was_cancelled_leaves_the_channel_free() -> None:
    async with pair() as (hub, client):
        answering = asyncio.Event()

        async def answer_late(peer: Peer, command: Fields) -> bool:
            await answering.wait()
            return False

        hub.script["subscribe"] = answer_late
        entering = asyncio.ensure_future(client.subscribe("news").__aenter__())
        await hub.wait_for("subscribe")
        entering.cancel()
        await asyncio.gather(entering, return_exceptions=True)
        answering.set()
        async with client.subscribe("news") as news:
            assert news.active


async def test_a_subscribe_survives_a_cut_before_its_answer() -> None:
    async with pair() as (hub, client):

        def cut_once(peer: Peer, command: dict[str, Any]) -> bool:
            del hub.script["subscribe"]
            peer.cut()
            return True

        hub.script["subscribe"] = cut_once
        async with client.subscribe("news") as news:
            await hub.publish("news", 1)
            assert await take(news, 1) == [1]


async def test_unsubscribed_for_good_ends_the_loop_with_the_hubs_error() -> None:
    async with pair() as (hub, client), client.subscribe("news") as news:
        await hub.publish("news", 1)
        await hub.push("news", {"type": "unsubscribed", "channel": "news", "code": 2001, "reason": "withdrawn"})
        assert await take(news, 1) == [1], "what came before is still there"
        with pytest.raises(ChappeError, match="withdrawn") as caught:
            await anext(news)
        assert caught.value.code == 2001
        assert not client.subscriptions


async def test_unsubscribed_for_now_subscribes_again_and_recovers() -> None:
    async with pair() as (hub, client), client.subscribe("news") as news:
        events = Recorder(client)
        await hub.publish("news", 1)
        for _ in range(3):
            peer = hub.peers[0]
            del peer.channels["news"]
            await hub.publish("news", "unseen")
            await peer.send({"type": "unsubscribed", "channel": "news", "code": 2500, "reason": "insufficient state"})
            await events.wait("resubscribed", len(events.of("resubscribed")) + 1)
        assert await take(news, 4) == [1, "unseen", "unseen", "unseen"]
        assert news.recovered is True


async def test_a_refusal_that_may_pass_is_tried_again() -> None:
    async with pair() as (hub, client), client.subscribe("news") as news:
        events = Recorder(client)
        refusals = iter([True, True, False])

        async def refuse_twice(peer: Peer, command: dict[str, Any]) -> bool:
            if next(refusals):
                await peer.send(error(command, 108, retry=True))
                return True
            return False

        hub.script["subscribe"] = refuse_twice
        hub.cut()
        await events.wait("resubscribed")
        await hub.publish("news", 1)
        assert await take(news, 1) == [1]


async def test_where_only_recovery_is_refused_the_subscription_goes_on_with_a_gap() -> None:
    async with pair() as (hub, client), client.subscribe("news") as news:
        events = Recorder(client)

        async def refuse_recovery(peer: Peer, command: dict[str, Any]) -> bool:
            if "since" in command:
                await peer.send(error(command, 103))
                return True
            return False

        hub.script["subscribe"] = refuse_recovery
        hub.cut()
        assert await events.wait("resubscribed") == ("news", False)
        await hub.publish("news", 1)
        assert await take(news, 1) == [1]


async def test_a_right_lost_during_a_cut_ends_the_loop() -> None:
    async with pair() as (hub, client), client.subscribe("news") as news:
        hub.script["subscribe"] = lambda peer, command: _send(peer, error(command, 103))
        hub.cut()
        with pytest.raises(ChappeError) as caught:
            await anext(news)
        assert caught.value.code == 103


async def test_a_client_that_gives_up_ends_its_loops_with_the_reason() -> None:
    async with pair(max_attempts=1) as (hub, client), client.subscribe("news") as news:
        await hub.stop()
        with pytest.raises(ConnectionLost, match="cannot connect"):
            await anext(news)


async def test_a_client_that_is_closed_ends_its_loops_quietly() -> None:
    async with pair() as (hub, client), client.subscribe("news") as news:
        await hub.publish("news", 1)
        await client.ping()
        await client.close()
        assert [publication.data async for publication in news] == [1]
        assert [item async for item in news.items()] == []


async def test_a_slow_reader_leaves_and_recovers_all_of_it() -> None:
    async with pair() as (hub, client), client.subscribe("news", queue_size=8) as news:
        for number in range(100):
            await hub.publish("news", number)
        await client.ping()
        assert not news.active
        assert hub.of_type("unsubscribe"), "the hub need not send what nobody takes"
        assert await take(news, 100) == list(range(100))
        assert news.recovered is True
        assert len(hub.of_type("subscribe")) == 2, "the gap is taken whole, however small the queue"


async def test_a_gap_larger_than_anybody_should_keep_is_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_GAP", 10)
    async with pair() as (hub, client), client.subscribe("news", queue_size=8) as news:
        for number in range(100):
            await hub.publish("news", number)
        await client.ping()
        assert await take(news, 100) == list(range(100))
        assert len(hub.of_type("subscribe")) > 3


async def test_a_burst_larger_than_the_queue_is_no_slow_reader() -> None:
    async with pair() as (hub, client), client.subscribe("news", queue_size=128) as news:

        async def follow() -> list[Any]:
            return await take(news, 2_000)

        following = asyncio.create_task(follow())
        for number in range(2_000):
            await hub.publish("news", number)
        assert await following == list(range(2_000))
        assert not hub.of_type("unsubscribe")


async def test_a_slow_reader_of_a_channel_without_history_is_told_of_the_gap() -> None:
    async with pair() as (hub, client), client.subscribe("news", queue_size=4) as news:
        events = Recorder(client)
        hub.history_size = 0
        for number in range(10):
            await hub.publish("news", number)
        await client.ping()
        assert await take(news, 4) == [0, 1, 2, 3]
        await events.wait("resubscribed")
        await hub.publish("news", "now")
        assert await take(news, 1) == ["now"]
        assert news.recovered is False


async def test_a_slow_reader_may_prefer_the_newest() -> None:
    async with pair() as (hub, client), client.subscribe("news", queue_size=4, overflow="drop_oldest") as news:
        events = Recorder(client)
        for number in range(10):
            await hub.publish("news", number)
        await client.ping()
        assert news.active
        last = 0
        while last != 9:
            last = (await anext(news)).data
        assert news.missed > 0
        assert len(events.of("missed")) == news.missed


async def test_a_slow_reader_may_prefer_to_fail() -> None:
    async with pair() as (hub, client), client.subscribe("news", queue_size=4, overflow="fail") as news:
        for number in range(10):
            await hub.publish("news", number)
        assert await take(news, 4) == [0, 1, 2, 3]
        with pytest.raises(QueueFull):
            await anext(news)


async def test_a_cut_while_lagging_asks_again_only_when_there_is_room() -> None:
    async with pair() as (hub, client), client.subscribe("news", queue_size=4) as news:
        events = Recorder(client)
        for number in range(20):
            await hub.publish("news", number)
        await client.ping()
        hub.cut()
        await events.wait("connected")
        await client.ping()
        assert len(hub.of_type("subscribe")) == 1
        assert await take(news, 20) == list(range(20))


async def test_what_the_hub_dropped_is_counted_and_told() -> None:
    async with pair() as (hub, client), client.subscribe("news") as news:
        events = Recorder(client)
        await hub.push("news", {"type": "missed", "channel": "news", "count": 12})
        await hub.publish("news", 1)
        assert await take(news, 1) == [1]
        assert news.missed == 12
        assert events.of("missed") == [("news", 12)]


async def test_presence_is_told_from_scratch_and_then_by_differences() -> None:
    async with (
        pair(name="Ada") as (hub, client),
        connect(hub.url, name="Blaise") as other,
        other.subscribe("news"),
        client.subscribe("news", presence=True) as news,
    ):
        items = news.items()
        state, own = [await anext(items) for _ in range(2)]
        assert isinstance(state, PresenceState)
        assert [member.name for member in state.members or ()] == ["Blaise"]
        assert isinstance(own, Join)
        assert own.member.session == client.session
        assert sorted(member.name for member in news.members) == ["Ada", "Blaise"]
        left = {"type": "leave", "channel": "news", "member": {"session": other.session, "user": None}}
        await hub.push("news", left)
        assert isinstance(await anext(items), Leave)
        assert [member.name for member in news.members] == ["Ada"]
        assert news.count == 1
        await items.aclose()  # type: ignore[attr-defined]


async def test_sessions_of_one_user_are_one_member() -> None:
    async with pair() as (hub, client), client.subscribe("news", presence=True) as news:
        for session in ("s1", "s2"):
            member = {"session": session, "user": "ada", "name": "Ada"}
            await hub.push("news", {"type": "join", "channel": "news", "member": member})
        await client.ping()
        assert news.count == 2, "Ada, and we"


async def test_above_two_hundred_members_only_their_number_is_told() -> None:
    async with pair() as (hub, client), client.subscribe("news", presence=True) as news:
        await hub.push("news", {"type": "presence", "channel": "news", "count": 4_000})
        await client.ping()
        assert (news.members, news.count) == ((), 4_000)


async def test_a_pattern_gets_what_matches_and_an_exact_subscription_its_own_copy() -> None:
    async with (
        pair() as (hub, client),
        client.subscribe("chat/+") as rooms,
        client.subscribe("chat/lobby") as lobby,
    ):
        await hub.publish("chat/lobby", 1)
        assert (await anext(rooms)).channel == "chat/lobby"
        assert await take(lobby, 1) == [1]
        assert rooms.position is None


async def test_an_ephemeral_publication_has_no_place_and_is_never_a_duplicate() -> None:
    async with pair() as (hub, client), client.subscribe("news") as news:
        for _ in range(2):
            await hub.push("news", {"type": "publication", "channel": "news", "data": "typing"})
        assert await take(news, 2) == ["typing", "typing"]
        assert news.position == Position("e1", 0)


async def test_a_cancelled_loop_loses_nothing() -> None:
    async with pair() as (hub, client), client.subscribe("news") as news:
        waiting = asyncio.ensure_future(anext(news))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await hub.publish("news", 1)
        assert await take(news, 1) == [1]


@pytest.mark.parametrize("option", [{"queue_size": 0}, {"overflow": "explode"}])
async def test_an_option_that_cannot_be_is_named(option: dict[str, Any]) -> None:
    async with pair() as (_, client):
        with pytest.raises(LocalProtocolError, match=next(iter(option))):
            client.subscribe("news", **option)


async def _send(peer: Peer, message: dict[str, Any]) -> bool:
    await peer.send(message)
    return True
