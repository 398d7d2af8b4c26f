"""What the feed brings goes to everybody subscribed, once each and in order, whatever else is on its way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chappe.hub import delivery
from chappe.hub.contracts import Broker
from chappe.hub.subscription import Stage
from chappe.model.error_codes import Code
from chappe.model.position import Position
from chappe.model.publication import Kind, Publication
from chappe.testing.faulty_broker import Faults
from tests.hub.harness import Client, SpyBroker, World


def spied(make_world: Callable[..., World]) -> tuple[World, SpyBroker]:
    spies: list[SpyBroker] = []

    def wrap(broker: Broker) -> Broker:
        spies.append(SpyBroker(broker))
        return spies[0]

    return make_world(wrap=wrap), spies[0]


def publication(channel: str, offset: int, epoch: str, data: bytes = b"1", log: int = 0) -> Publication:
    return Publication(channel, data, Kind.JSON, offset, epoch, 0, log=log)


@pytest.mark.parametrize("kind", ["json", "msgpack"])
def test_every_subscriber_gets_every_publication_the_publisher_included(world: World, kind: str) -> None:
    clients = [world.client(kind, name=name) for name in ("Ada", "Blaise")]
    for client in clients:
        client.ask("subscribe", channel="a")
    for number in range(3):
        clients[0].ask("publish", channel="a", data=number)
    assert [client.data("a") for client in clients] == [[0, 1, 2]] * 2


def test_the_answer_to_a_publish_comes_before_the_publication(world: World) -> None:
    client = world.client(name="Ada")
    client.ask("subscribe", channel="a")
    client.ask("publish", channel="a", data=1)
    assert client.kinds()[-2:] == ["reply", "publication"]


def test_who_matches_by_several_subscriptions_gets_one_copy(world: World) -> None:
    client = world.client(name="Ada")
    for name in ("a/b", "a/+", "a/#"):
        client.ask("subscribe", channel=name)
        world.append("a/b", name)
    world.append("a/b", 4)
    assert client.data() == ["a/b", "a/+", "a/#", 4]


def test_a_new_pattern_beside_a_live_subscription_doubles_nothing(world: World) -> None:
    # A pattern whose feed had brought nothing yet got its copy although the channel's subscription had one.
    world.append("a/b", 0)
    client = world.client(name="Ada")
    client.ask("subscribe", channel="a/b")
    client.ask("subscribe", channel="a/+")
    world.append("a/b", 1)
    assert client.data() == [1]


@pytest.mark.parametrize(("first", "second"), [("a/+", "a/b"), ("a/+", "a/#"), ("a/b", "a/#")])
def test_what_a_second_subscription_was_told_still_comes_by_the_first(
    make_world: Callable[..., World], first: str, second: str
) -> None:
    # Its answer was ahead of the feed, so it skipped the publication; and the first was passed over because of it.
    world, _ = spied(make_world)
    client = world.client(name="Ada")
    epoch = client.ask("subscribe", channel="a/b")["epoch"]
    client.ask("unsubscribe", channel="a/b")
    client.ask("subscribe", channel=first)
    client.ask("subscribe", channel=second)
    for subscription in client.session.subscriptions.values():
        if subscription.name == second:
            channel = world.hub.channels.find(subscription)
            assert channel is not None
            channel.audience.discard(client.protocol.encoder, client.link)
            channel.catching_up[subscription] = None
            subscription.stage = Stage.FOLLOWING
            subscription.epoch, subscription.after = ("" if "#" in second or "+" in second else epoch), 7
    world.hub.delivery.published([publication("a/b", 7, epoch, log=7), publication("a/b", 8, epoch, b"2", log=8)])
    assert client.data() == [1, 2]


@example(names=["#", "a/c", "a/+", "a/b"], turns=[(1, 0.0), (0, 0.0), (0, 0.125), (0, 0.125), (1, 0.0)], seed=0)
@given(
    names=st.lists(st.sampled_from(["a/b", "a/c", "a/+", "a/#", "#", "+/b"]), min_size=1, max_size=5, unique=True),
    turns=st.lists(st.tuples(st.integers(0, 3), st.floats(0.0, 0.3)), min_size=5, max_size=5),
    seed=st.integers(0, 1 << 16),
)
def test_overlapping_subscriptions_lose_and_double_nothing_while_the_broker_is_late(
    names: list[str], turns: list[tuple[int, float]], seed: int
) -> None:
    world = World("faulty", seed=seed, faults=Faults(late=0.7, late_read=0.7, late_s=0.3, gaps=True))
    reader, writer = world.client(name="Ada"), world.client(name="Blaise")
    due: list[int] = []
    for number, (count, seconds) in enumerate(turns):
        if number < len(names):
            reader.command("subscribe", channel=names[number])
        for _ in range(count):
            if matched_by(reader):
                due.append(writer._id)
            writer.command("publish", channel="a/b", data=writer._id)
        world.clock.advance(seconds)
    world.clock.advance(10)
    data = reader.data("a/b")
    assert sorted(set(data)) == data, "once each and in order"
    assert set(due) <= set(data), "whatever was published after a matching subscription was answered came"


def matched_by(client: Client) -> bool:
    """Tell whether an answered subscription of the client matches a/b."""
    told = [each["channel"] for each in client.received() if each["type"] == "reply" and "recovered" in each]
    return bool({"a/b", "a/+", "a/#", "#", "+/b"} & set(told))


def test_a_transient_publication_goes_to_everybody_but_its_sender_and_not_into_history(world: World) -> None:
    ada, blaise = world.client("classic", name="Ada"), world.client("classic", name="Blaise")
    watcher = world.client(name="Cyd")
    watcher.ask("subscribe", channel="chat/lobby")
    watcher.ask("subscribe", channel="chat/#")
    ada.send(b"\x00\xff")
    world.settle()
    assert b"\x00\xff" in blaise.received()
    assert b"\x00\xff" not in ada.received()
    assert watcher.data() == [{"$base64": "AP8="}]
    assert "offset" not in watcher.publications()[0]
    assert watcher.ask("history", channel="chat/lobby")["publications"] == []


def test_a_transient_publication_spares_its_sender_while_its_history_is_read(make_world: Callable[..., World]) -> None:
    world = make_world()
    ada = world.client("classic", name="Ada")
    subscription = ada.session.subscriptions["chat/lobby"]
    channel = world.hub.channels.find(subscription)
    assert channel is not None
    channel.catching_up[subscription] = None
    subscription.stage = Stage.READING
    ada.send(b"\x00")
    world.settle()
    assert subscription.waiting is None


def test_ephemeral_publications_are_held_back_from_sessions_in_background(world: World) -> None:
    clients = [world.client(name=name) for name in ("Ada", "Blaise", "Cyd")]
    clients[0].ask("subscribe", channel="cursor/a")
    clients[1].ask("subscribe", channel="cursor/#")
    clients[2].ask("subscribe", channel="cursor/a")
    for client in clients[:2]:
        client.ask("state", background=True)
        client.ask("subscribe", channel="a")
    world.append("cursor/a", 1)
    world.append("a", 2)
    assert [client.data() for client in clients] == [[2], [2], [1]]
    for client in clients[:2]:
        client.ask("state", background=False)
    world.append("cursor/a", 3)
    assert [client.data("cursor/a") for client in clients] == [[3], [3], [1, 3]]


def test_who_subscribes_in_background_is_held_back_from_the_start(world: World) -> None:
    client = world.client(name="Ada")
    client.ask("state", background=True)
    client.ask("subscribe", channel="cursor/a")
    world.append("cursor/a", 1)
    assert client.data() == []


def test_an_interruption_makes_subscribers_begin_again(world: World) -> None:
    client, other = world.client(name="Ada"), world.client(name="Blaise")
    client.ask("subscribe", channel="a")
    client.ask("subscribe", channel="a/#")
    other.ask("subscribe", channel="b")
    client.take()
    world.hub.delivery.interrupted(["a"])
    told = client.take()
    assert sorted(each["channel"] for each in told) == ["a", "a/#"]
    assert {each["code"] for each in told} == {Code.UNSUBSCRIBED_INSUFFICIENT_STATE}
    assert world.hub.counters.interrupted == 2
    assert client.ask("subscribe", channel="a")["type"] == "reply"
    world.append("b", 1)
    assert other.data() == [1]


def test_an_interruption_of_everything_reaches_everybody(world: World) -> None:
    client = world.client(name="Ada")
    for name in ("a", "b", "c/#"):
        client.ask("subscribe", channel=name)
    world.hub.delivery.interrupted(None)
    assert client.session.subscriptions == {}
    assert client.kinds().count("unsubscribed") == 3


def test_classic_has_no_word_for_it_so_the_connection_ends_and_is_made_anew(world: World) -> None:
    # The session stayed logged in and deaf for ever.
    client = world.client("classic", name="Ada")
    world.hub.delivery.interrupted(["chat/lobby"])
    assert client.link.closed is not None
    assert client.link.closed[0] == Code.INSUFFICIENT_STATE


def test_a_new_epoch_in_the_feed_is_no_silent_gap(make_world: Callable[..., World]) -> None:
    world = make_world()
    client = world.client(name="Ada")
    answer = client.ask("subscribe", channel="a")
    world.append("a", 1)
    world.hub.delivery.published([publication("a", 1, answer["epoch"] + "x")])
    assert client.received()[-1]["type"] == "unsubscribed"
    assert client.data() == [1]


def test_late_news_of_an_epoch_that_is_over_is_not_delivered(make_world: Callable[..., World]) -> None:
    world, spy = spied(make_world)
    first, second = world.client(name="Ada"), world.client(name="Blaise")
    old = first.ask("subscribe", channel="a")["epoch"]
    world.append("a", 1)
    channel = world.hub.channels.get("a")
    assert channel is not None
    spy.holds = {"read"}
    second.command("subscribe", channel="a")
    world.settle()
    subscription = second.session.subscriptions["a"]
    spy.let_go()
    world.settle()
    # As if the answer had been of the next epoch, which the feed has not reached yet.
    subscription.epoch = "next"
    subscription.stage = Stage.FOLLOWING
    channel.catching_up[subscription] = None
    channel.audience.discard(second.protocol.encoder, second.link)
    world.hub.delivery.published([publication("a", channel.fed + 1, old)])
    assert second.data() == []


def test_a_subscription_that_waits_too_long_begins_again(
    make_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "_MOST_WAITING", 3)
    world, spy = spied(make_world)
    client = world.client(name="Ada")
    spy.holds = {"read"}
    client.command("subscribe", channel="a")
    world.settle()
    for number in range(4):
        world.append("a", number)
    assert client.received()[-1]["code"] == Code.NOT_AVAILABLE
    spy.let_go()
    world.settle()
    assert client.session.subscriptions == {}
    assert client.ask("ping")["type"] == "pong"


def test_deliveries_are_counted(world: World) -> None:
    for name in ("Ada", "Blaise"):
        world.client(name=name).ask("subscribe", channel="a/b")
    world.client(name="Cyd").ask("subscribe", channel="a/#")
    world.append("a/b", 1)
    assert world.hub.counters.delivered == 3


def test_the_place_of_a_subscriber_is_that_of_the_feed(world: World) -> None:
    client = world.client(name="Ada")
    answer = client.ask("subscribe", channel="a")
    outcome = world.append("a", 1)
    publication: Any = client.publications()[0]
    assert Position(publication["epoch"], publication["offset"]) == outcome.position
    assert answer["offset"] < publication["offset"]
