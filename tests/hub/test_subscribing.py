"""A subscription begins with the whole gap or says that it does not, and goes on without a hole or a double."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chappe.hub.contracts import Broker, ReadResult
from chappe.model.error_codes import Code
from chappe.model.position import Position
from tests.hub.harness import SpyBroker, World, namespace, since


def spied(make_world: Callable[..., World], **options: Any) -> tuple[World, SpyBroker]:
    spies: list[SpyBroker] = []

    def wrap(broker: Broker) -> Broker:
        spies.append(SpyBroker(broker))
        return spies[0]

    return make_world(wrap=wrap, **options), spies[0]


# --- Many who come back at once --------------------------------------------------------------------------------------


def test_those_who_ask_for_the_same_gap_share_one_read(make_world: Callable[..., World]) -> None:
    world, spy = spied(make_world)
    readers = [world.client("json" if number % 2 else "msgpack") for number in range(5)]
    position = since(readers[0].ask("subscribe", channel="a"))
    readers[0].ask("unsubscribe", channel="a")
    world.append("a", 0)
    reads = spy.count("read")
    spy.holds = {"read"}
    for number, reader in enumerate(readers):
        reader.command("subscribe", channel="a", since=position)
        world.settle()
        # It is not in the answer, and those who come later have not been fed it.
        world.append("a", number + 1)
    spy.let_go()
    world.settle()
    world.append("a", 6)
    assert [reader.data() for reader in readers] == [[0, 1, 2, 3, 4, 5, 6]] * 5
    assert spy.count("read") == reads + 1
    assert not world.hub.channels.all(["a"])[0].flights


def test_another_place_is_another_read(make_world: Callable[..., World]) -> None:
    world, spy = spied(make_world)
    one, other, third = (world.client() for _ in range(3))
    position = since(one.ask("subscribe", channel="a"))
    one.ask("unsubscribe", channel="a")
    world.append("a", 0)
    reads = spy.count("read")
    spy.holds = {"read"}
    one.command("subscribe", channel="a", since=position)
    other.command("subscribe", channel="a", since="latest")
    third.command("subscribe", channel="b", since=position)
    world.settle()
    assert spy.count("read") == reads + 3
    spy.let_go()
    world.settle()
    assert (one.data(), other.data(), third.data()) == ([0], [0], [])


@pytest.mark.parametrize("leaves", ["cut", "unsubscribe"])
def test_nobody_joins_a_read_whose_last_subscriber_is_gone(make_world: Callable[..., World], leaves: str) -> None:
    world, spy = spied(make_world)
    gone, reader = world.client(), world.client()
    position = since(gone.ask("subscribe", channel="a"))
    gone.ask("unsubscribe", channel="a")
    spy.holds = {"read"}
    gone.command("subscribe", channel="a", since=position)
    world.settle()
    if leaves == "cut":
        gone.cut()
    else:
        world.hub.subscribing.end(next(iter(world.hub.channels.all(["a"])[0].subscriptions.values())))
    world.settle()
    # Nobody keeps this aside.
    world.append("a", 0)
    reads = spy.count("read")
    reader.command("subscribe", channel="a", since=position)
    world.settle()
    assert spy.count("read") == reads + 1
    spy.let_go()
    world.settle()
    assert reader.data() == [0]


def test_an_interruption_makes_those_who_share_a_read_share_the_next_one(make_world: Callable[..., World]) -> None:
    world, spy = spied(make_world)
    readers = [world.client() for _ in range(4)]
    position = since(readers[0].ask("subscribe", channel="a"))
    readers[0].ask("unsubscribe", channel="a")
    reads = spy.count("read")
    spy.holds = {"read"}
    for reader in readers[:3]:
        reader.command("subscribe", channel="a", since=position)
    world.settle()
    world.hub.delivery.interrupted(["a"])
    world.append("a", 0)
    # The read on its way may be older than what was lost: whoever comes now must not use it.
    readers[3].command("subscribe", channel="a", since=position)
    world.settle()
    assert spy.count("read") == reads + 2
    spy.let_go()
    world.settle()
    spy.let_go()
    world.settle()
    assert [reader.data() for reader in readers] == [[0]] * 4


def test_a_read_that_fails_fails_for_all_who_share_it(make_world: Callable[..., World]) -> None:
    world, spy = spied(make_world)
    readers = [world.client() for _ in range(3)]
    asked: list[Any] = []
    spy.inner.read = lambda request, done: asked.append((request, done))  # type: ignore[method-assign]
    commands = [reader.command("subscribe", channel="a") for reader in readers]
    ((_, done),) = asked
    done(ReadResult(Code.NOT_AVAILABLE, Position("", 0)))
    world.settle()
    assert [reader.answer(command)["code"] for reader, command in zip(readers, commands, strict=True)] == [108] * 3
    assert len(world.hub.channels) == 0


@pytest.mark.parametrize(("code", "refused"), [(Code.UNSUBSCRIBED, 103), (Code.UNSUBSCRIBED_INSUFFICIENT_STATE, 108)])
def test_a_subscription_that_ends_before_its_history_is_read_is_answered_once(
    make_world: Callable[..., World], code: Code, refused: int
) -> None:
    world, spy = spied(make_world)
    reader = world.client(name="Ada")
    spy.holds = {"read"}
    subscribed, pinged = reader.command("subscribe", channel="a"), reader.command("ping")
    world.settle()
    world.hub.subscribing.end(reader.session.subscriptions["a"], code)
    assert reader.answer(subscribed)["code"] == refused
    spy.let_go()
    world.settle()
    assert reader.answer(subscribed)["code"] == refused
    assert reader.answer(pinged)
    assert "unsubscribed" not in reader.kinds()
    assert not world.hub.subscribing.asked
    assert reader.ask("subscribe", channel="a")["type"] == "reply"


# --- Recovery --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["json", "msgpack"])
def test_the_gap_comes_behind_the_answer_and_before_what_is_new(world: World, kind: str) -> None:
    reader = world.client(kind, name="Ada")
    position = since(reader.ask("subscribe", channel="a"))
    reader.cut()
    for number in range(3):
        world.append("a", number)
    reader = world.client(kind, name="Ada")
    answer = reader.ask("subscribe", channel="a", since=position)
    world.append("a", 3)
    assert answer["recovered"] is True
    assert reader.kinds()[1:] == ["reply", *["publication"] * 4]
    assert reader.data() == [0, 1, 2, 3]
    assert world.hub.counters.recovered == 3


def test_nothing_missed_is_recovered_too(world: World) -> None:
    reader = world.client(name="Ada")
    position = since(reader.ask("subscribe", channel="a"))
    reader.ask("unsubscribe", channel="a")
    assert reader.ask("subscribe", channel="a", since=position)["recovered"] is True


@pytest.mark.parametrize("case", ["unknown epoch", "ahead", "trimmed", "too old", "too long"])
def test_what_cannot_be_whole_is_said_to_be_none_and_nothing_of_it_comes(
    make_world: Callable[..., World], case: str
) -> None:
    world = make_world(recovery_publications=2 if case == "too long" else 10_000)
    channel = "short/a" if case in ("trimmed", "too old") else "a"
    reader = world.client(name="Ada")
    position = since(reader.ask("subscribe", channel=channel))
    reader.ask("unsubscribe", channel=channel)
    for number in range(5 if case == "trimmed" else 3):
        world.append(channel, number)
    if case == "too old":
        world.clock.advance(61)
    if case == "unknown epoch":
        position["epoch"] = "another"
    if case == "ahead":
        position["offset"] = 1_000_000
    answer = reader.ask("subscribe", channel=channel, since=position)
    assert answer["recovered"] is False
    assert reader.data() == []
    world.append(channel, "new")
    assert reader.data() == ["new"]


@pytest.mark.parametrize("kind", ["json", "msgpack"])
def test_a_gap_that_is_too_large_is_not_filled_and_one_just_as_large_as_may_be_is(kind: str) -> None:
    world = World(recovery_bytes=3_000, message_bytes=1_000)
    reader = world.client(kind, name="Ada")
    position = since(reader.ask("subscribe", channel="a"))
    reader.ask("unsubscribe", channel="a")
    for _ in range(3):
        world.append("a", "x" * 798)
    answer = reader.ask("subscribe", channel="a", since=position)
    assert (answer["recovered"], len(reader.data())) == (True, 3)
    reader.ask("unsubscribe", channel="a")
    world.append("a", 0)
    assert reader.ask("subscribe", channel="a", since=position)["recovered"] is False
    assert len(reader.data()) == 3
    assert world.hub.counters.recovery_refused == 1
    world.append("a", "new")
    assert reader.data()[3:] == ["new"]


def test_the_newest_that_are_asked_for_are_no_more_than_a_page_has() -> None:
    world = World(history_page_bytes=1_000)
    for number in range(10):
        world.append("a", f"{number} {'x' * 96}")
    reader = world.client(name="Ada")
    reader.ask("subscribe", channel="a", since=10)
    assert [each[0] for each in reader.data()] == ["7", "8", "9"]
    assert world.hub.counters.history_cut == 1


@pytest.mark.parametrize(
    ("asked", "expected"), [("latest", [4]), (0, []), (1, [4]), (3, [2, 3, 4]), (99, [0, 1, 2, 3, 4])]
)
def test_the_newest_come_on_demand_oldest_first(world: World, asked: Any, expected: list[int]) -> None:
    for number in range(5):
        world.append("a", number)
    reader = world.client(name="Ada")
    answer = reader.ask("subscribe", channel="a", since=asked)
    assert answer["recovered"] is False
    assert reader.data() == expected


def test_without_since_only_what_is_new_comes(world: World) -> None:
    world.append("a", 0)
    reader = world.client(name="Ada")
    reader.ask("subscribe", channel="a")
    world.append("a", 1)
    assert reader.data() == [1]


@pytest.mark.parametrize("asked", ["newest", "", -1, {"offset": 1, "epoch": 3}, [1]])
def test_a_since_that_is_none_is_refused_and_named(world: World, asked: Any) -> None:
    answer = world.client(name="Ada").ask("subscribe", channel="a", since=asked)
    assert answer["code"] == Code.BAD_REQUEST
    assert answer["detail"]["field"].startswith("since")


def test_publications_during_a_late_read_are_merged_once_each(make_world: Callable[..., World]) -> None:
    world, spy = spied(make_world)
    reader = world.client(name="Ada")
    position = since(reader.ask("subscribe", channel="a"))
    reader.ask("unsubscribe", channel="a")
    world.append("a", 0)
    spy.holds = {"read"}
    reader.command("subscribe", channel="a", since=position)
    world.settle()
    world.append("a", 1)
    assert reader.data() == []
    spy.let_go()
    world.settle()
    world.append("a", 2)
    assert reader.data() == [0, 1, 2]


def test_what_the_late_answer_has_already_does_not_come_twice(make_world: Callable[..., World]) -> None:
    world, spy = spied(make_world)
    reader = world.client(name="Ada")
    position = since(reader.ask("subscribe", channel="a"))
    reader.ask("unsubscribe", channel="a")
    asked: list[Any] = []
    read = spy.inner.read
    spy.inner.read = lambda request, done: asked.append((request, done))  # type: ignore[method-assign]
    reader.command("subscribe", channel="a", since=position)
    for number in range(3):
        world.append("a", number)
    spy.inner.read = read  # type: ignore[method-assign]
    for request, done in asked:
        read(request, done)
    world.settle()
    assert reader.data() == [0, 1, 2]


def test_an_interruption_during_a_read_makes_it_read_again(make_world: Callable[..., World]) -> None:
    world, spy = spied(make_world)
    reader = world.client(name="Ada")
    spy.holds = {"read"}
    command = reader.command("subscribe", channel="a")
    world.settle()
    world.hub.delivery.interrupted(["a"])
    reads = spy.count("read")
    spy.let_go()
    world.settle()
    assert reader.answer(command)["type"] == "reply"
    assert spy.count("read") == reads + 1
    world.append("a", 1)
    assert reader.data() == [1]


def test_a_feed_that_is_interrupted_at_every_read_is_given_up_with_108(make_world: Callable[..., World]) -> None:
    world, spy = spied(make_world)
    spy.on_call = lambda call, channel: call == "read" and world.hub.delivery.interrupted(None)  # type: ignore[assignment, func-returns-value]
    reader = world.client(name="Ada")
    answer = reader.ask("subscribe", channel="a")
    assert (answer["code"], answer["retry"]) == (Code.NOT_AVAILABLE, True)
    assert spy.count("read") == 3
    assert len(world.hub.channels) == 0
    assert reader.ask("ping")["type"] == "pong"


def test_a_broker_that_is_away_is_told_and_leaves_nothing(world: World) -> None:
    reader = world.client(name="Ada")
    world.stop()
    for name in ("a", "a/#"):
        assert reader.code("subscribe", channel=name) == Code.NOT_AVAILABLE
    assert reader.session.subscriptions == {}
    assert len(world.hub.channels) == 0


def test_who_is_cut_during_a_read_is_forgotten(make_world: Callable[..., World]) -> None:
    world, spy = spied(make_world)
    reader = world.client(name="Ada")
    spy.holds = {"read"}
    reader.command("subscribe", channel="a")
    world.settle()
    reader.cut()
    spy.let_go()
    world.settle()
    assert len(world.hub.channels) == 0


# --- Patterns --------------------------------------------------------------------------------------------------------


def test_a_pattern_is_answered_with_a_log_position_and_goes_on_from_there(world: World) -> None:
    reader = world.client(name="Ada")
    answer = reader.ask("subscribe", channel="a/+")
    assert set(answer) == {"type", "id", "channel", "position", "recovered"}
    reader.cut()
    for number, channel in enumerate(["a/x", "b", "a/y", "a/x/z", "a/x"]):
        world.append(channel, number)
    reader = world.client(name="Ada")
    again = reader.ask("subscribe", channel="a/+", since={"position": answer["position"]})
    assert again["recovered"] is True
    world.append("a/z", 5)
    assert [(each["channel"], each["data"]) for each in reader.publications()] == [
        ("a/x", 0),
        ("a/y", 2),
        ("a/x", 4),
        ("a/z", 5),
    ]


@pytest.mark.parametrize("position", ["", "nonsense", "0:0", "x:99999999999999999999"])
def test_an_unknown_log_position_is_not_recovered(world: World, position: str) -> None:
    reader = world.client(name="Ada")
    world.append("a/x", 0)
    answer = reader.ask("subscribe", channel="a/+", since={"position": position})
    assert answer["recovered"] is False
    assert reader.data() == []


def test_a_position_of_a_channel_recovers_no_pattern_and_the_other_way_round(world: World) -> None:
    reader = world.client(name="Ada")
    exact = since(reader.ask("subscribe", channel="a/x"))
    log = reader.ask("subscribe", channel="b/+")["position"]
    assert reader.ask("subscribe", channel="a/+", since=exact)["recovered"] is False
    assert reader.ask("subscribe", channel="b/x", since={"position": log})["recovered"] is False


def test_publications_during_a_late_read_of_the_log_are_merged_once_each(make_world: Callable[..., World]) -> None:
    world, spy = spied(make_world)
    reader = world.client(name="Ada")
    position = reader.ask("subscribe", channel="a/+")["position"]
    reader.ask("unsubscribe", channel="a/+")
    world.append("a/x", 0)
    spy.holds = {"read_log"}
    reader.command("subscribe", channel="a/+", since={"position": position})
    world.settle()
    world.append("a/y", 1)
    spy.let_go()
    world.settle()
    world.append("a/x", 2)
    assert reader.data() == [0, 1, 2]


def test_a_pattern_of_a_namespace_without_patterns_is_refused(world: World) -> None:
    assert world.client(name="Ada").code("subscribe", channel="live/#") == Code.PERMISSION_DENIED


@pytest.mark.parametrize("pattern", ["#", "+/a"])
def test_a_pattern_over_several_namespaces_is_refused_without_a_right_of_its_own(world: World, pattern: str) -> None:
    assert world.client(name="Ada").code("subscribe", channel=pattern) == Code.PERMISSION_DENIED


@pytest.mark.parametrize("pattern", ["a/#/b", "a+", "a/b#", "+a/b"])
def test_a_pattern_that_is_none_is_refused_and_named(world: World, pattern: str) -> None:
    answer = world.client(name="Ada").ask("subscribe", channel=pattern)
    assert (answer["code"], answer["detail"]["field"]) == (Code.BAD_REQUEST, "channel")


# --- Limits and ends -------------------------------------------------------------------------------------------------


def test_a_second_subscribe_is_105_and_the_first_stays(world: World) -> None:
    reader = world.client(name="Ada")
    reader.ask("subscribe", channel="a")
    assert reader.code("subscribe", channel="a") == Code.ALREADY_SUBSCRIBED
    world.append("a", 1)
    assert reader.data() == [1]


@pytest.mark.slow
def test_ten_thousand_subscriptions_end_at_the_limit_and_disturb_nobody(world: World) -> None:
    reader, other = world.client(name="Ada"), world.client(name="Blaise")
    other.ask("subscribe", channel="a")
    commands = [reader.command("subscribe", channel=f"c/{number}") for number in range(10_000)]
    for _ in range(200):
        world.clock.advance(10)
        if reader.answers(commands[-1]):
            break
    told = [each.get("code") for each in reader.received() if each.get("id", 0) > 1]
    assert told.count(None) == 128
    assert told.count(Code.LIMIT_EXCEEDED) == 10_000 - 128
    assert reader.answer(commands[-1])["detail"] == {"limit": "channels_per_client", "maximum": 128}
    world.append("a", 1)
    assert other.data() == [1]
    reader.ask("unsubscribe", channel="c/0")
    assert reader.ask("subscribe", channel="d")["type"] == "reply"


@pytest.mark.parametrize("channel", ["", "a\x00", "x" * 256, "é" * 128])
def test_a_name_that_is_no_channel_is_refused_and_named(world: World, channel: str) -> None:
    answer = world.client(name="Ada").ask("subscribe", channel=channel)
    assert (answer["code"], answer["detail"]["field"]) == (Code.BAD_REQUEST, "channel")


def test_after_unsubscribe_nothing_comes_any_more(world: World) -> None:
    reader = world.client(name="Ada")
    reader.ask("subscribe", channel="a")
    assert reader.ask("unsubscribe", channel="a")["type"] == "reply"
    world.append("a", 1)
    assert reader.data() == []
    assert reader.code("unsubscribe", channel="a") == Code.UNKNOWN_CHANNEL


def test_the_hub_ends_a_subscription_with_a_code_that_says_what_to_do(world: World) -> None:
    reader = world.client(name="Ada")
    reader.ask("subscribe", channel="a")
    world.hub.subscribing.end(reader.session.subscriptions["a"], Code.UNSUBSCRIBED)
    told = reader.received()[-1]
    assert (told["type"], told["channel"], told["code"]) == ("unsubscribed", "a", 2000)


def test_a_protocol_without_a_word_for_a_final_end_loses_its_connection(world: World) -> None:
    reader = world.client("classic", name="Ada")
    world.hub.subscribing.end(reader.session.subscriptions["chat/lobby"], Code.UNSUBSCRIBED)
    assert reader.link.closed is not None
    assert reader.link.closed[0] == Code.DISCONNECTED


def test_a_live_namespace_keeps_nothing_and_says_so(make_world: Callable[..., World]) -> None:
    world = make_world(namespaces=[namespace("default", history_count=0)])
    reader = world.client(name="Ada")
    position = since(reader.ask("subscribe", channel="a"))
    reader.ask("unsubscribe", channel="a")
    world.append("a", 0)
    answer = reader.ask("subscribe", channel="a", since=position)
    assert answer["recovered"] is False
    assert reader.data() == []


@pytest.mark.parametrize(("since", "expected"), [("latest", [2]), (5, [1, 2]), (1, [2]), (0, [2]), (None, [2])])
def test_ch_8_7_a_retained_publication_comes_once(world: World, since: Any, expected: list[int]) -> None:
    writer, reader = world.client(), world.client()
    writer.ask("publish", channel="a", data=1)
    writer.ask("publish", channel="a", data=2, retain=True)
    reader.ask("subscribe", channel="a", since=since)
    assert reader.data() == expected


def test_ch_8_7_a_retained_publication_older_than_what_was_asked_for_comes_first(world: World) -> None:
    writer, reader = world.client(), world.client()
    writer.ask("publish", channel="a", data=1, retain=True)
    writer.ask("publish", channel="a", data=2)
    reader.ask("subscribe", channel="a", since="latest")
    assert [(each["data"], each.get("retained", False)) for each in reader.publications()] == [(1, True), (2, False)]
