"""A channel lives here as long as somebody is subscribed, and is attached to the broker for just as long."""

from __future__ import annotations

from collections.abc import Callable

from chappe.hub.contracts import Broker
from tests.hub.harness import SpyBroker, World


def spied(make_world: Callable[..., World]) -> tuple[World, SpyBroker]:
    spies: list[SpyBroker] = []

    def wrap(broker: Broker) -> Broker:
        spies.append(SpyBroker(broker))
        return spies[0]

    return make_world(wrap=wrap), spies[0]


def test_the_first_subscriber_attaches_a_channel_and_the_last_detaches_it(make_world: Callable[..., World]) -> None:
    world, spy = spied(make_world)
    one, two = world.client(name="Ada"), world.client(name="Blaise")
    one.ask("subscribe", channel="a")
    two.ask("subscribe", channel="a")
    one.ask("unsubscribe", channel="a")
    assert (spy.count("attach"), spy.count("detach")) == (1, 0)
    assert len(world.hub.channels) == 1
    two.cut()
    assert (spy.count("attach"), spy.count("detach")) == (1, 1)
    assert len(world.hub.channels) == 0


def test_a_channel_is_attached_before_it_is_read(make_world: Callable[..., World]) -> None:
    world, spy = spied(make_world)
    client = world.client(name="Ada")
    for name in ("a", "a/#"):
        client.ask("subscribe", channel=name)
    assert spy.calls == [("attach", "a"), ("read", "a"), ("attach", "a/#"), ("read_log", "a/#")]


def test_patterns_are_found_for_channels_that_nobody_named(world: World) -> None:
    client = world.client(name="Ada")
    client.ask("subscribe", channel="a/+")
    assert [channel.name for channel in world.hub.channels.matching("a/b")] == ["a/+"]
    assert world.hub.channels.matching("a/b/c") == []
    client.ask("unsubscribe", channel="a/+")
    assert world.hub.channels.matching("a/b") == []


def test_a_channel_and_a_pattern_are_told_together_for_a_name(world: World) -> None:
    client = world.client(name="Ada")
    for name in ("a/b", "a/+", "a/#", "c"):
        client.ask("subscribe", channel=name)
    assert sorted(channel.name for channel in world.hub.channels.all(["a/b"])) == ["a/#", "a/+", "a/b"]
    assert len(world.hub.channels.all(None)) == 4
    assert [channel.name for channel in world.hub.channels] == ["a/b", "c"]


def test_a_subscription_that_is_over_is_not_found_and_not_discarded_twice(world: World) -> None:
    client = world.client(name="Ada")
    client.ask("subscribe", channel="a")
    subscription = client.session.subscriptions["a"]
    client.ask("unsubscribe", channel="a")
    client.ask("subscribe", channel="a")
    assert world.hub.channels.find(subscription) is None
    assert world.hub.channels.discard(subscription) is None
    assert world.hub.channels.get("a") is not None


def test_a_channel_that_is_given_up_leaves_no_timer(world: World) -> None:
    clients = [world.client("classic", name=name) for name in ("Ada", "Blaise")]
    for client in clients:
        client.cut()
    world.settle()
    before = world.clock.pending
    world.clock.advance(5)
    assert world.clock.pending == before
