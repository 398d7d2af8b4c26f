"""What a subscription knows of its own place."""

from __future__ import annotations

import pytest

from chappe.hub.subscription import Stage, Subscription
from tests.hub.harness import World


@pytest.mark.parametrize(
    ("brought", "after", "place", "expected"),
    [(0, 5, 5, False), (3, 5, 2, False), (3, 5, 3, True), (3, 5, 5, True), (3, 5, 6, False), (0, 0, 0, False)],
)
def test_the_answer_brought_what_lies_between_its_first_publication_and_its_place(
    brought: int, after: int, place: int, expected: bool
) -> None:
    subscription = Subscription(World().client().session, "a", watches=False)
    subscription.brought, subscription.after = brought, after
    assert subscription.has_brought(place) is expected


def test_a_subscription_begins_by_reading(world: World) -> None:
    subscription = Subscription(world.client().session, "a", watches=True)
    assert subscription.stage is Stage.READING
    assert subscription.waiting is None


def test_a_subscription_goes_live_when_the_feed_has_caught_up(world: World) -> None:
    client = world.client(name="Ada")
    world.append("a", 1)
    client.ask("subscribe", channel="a")
    subscription = client.session.subscriptions["a"]
    stages = [subscription.stage]
    world.append("a", 2)
    stages.append(subscription.stage)
    assert stages == [Stage.FOLLOWING, Stage.LIVE]
    assert client.data() == [2]
