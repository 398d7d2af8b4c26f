"""Rates that several share: who passes them is told 111 and when to come again, and the others notice nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.hub.contracts import Claims
from chappe.hub.quotas import SharedPace
from chappe.model.error_codes import Code
from tests.hub.harness import NAMESPACES, Client, Tokens, World, namespace

#: A token each 1,000 s: asking and answering takes some time of the fake clock.
SLOW = 0.001
TOKENS = Tokens(ada=Claims(user="ada"), blaise=Claims(user="blaise"))


def at(world: World, address: str, token: str | None = None, kind: str = "json") -> Client:
    """Return an open session that comes from an address."""
    client = world.client(kind, address=address)
    client.ask("connect", **({"token": token} if token else {}))
    return client


def refused(client: Client) -> Any:
    """Send a ping that is refused; return the detail of its error."""
    answer = client.ask("ping")
    assert (answer["type"], answer["code"], answer["retry"]) == ("error", Code.TOO_MANY_REQUESTS, True), answer
    return answer["detail"]


def is_answered(client: Client) -> bool:
    return bool(client.ask("ping")["type"] == "pong")


@pytest.mark.parametrize("kind", ["json", "msgpack"])
def test_the_sessions_of_a_user_share_one_rate(make_world: Callable[..., World], kind: str) -> None:
    world = make_world(authenticator=TOKENS, user_messages_per_s=SLOW, user_messages_burst=5)
    first, second = at(world, "192.0.2.1", "ada", kind), at(world, "192.0.2.2", "ada", kind)
    neighbour = at(world, "192.0.2.1", "blaise")
    for _ in range(4):
        assert is_answered(first)
    assert is_answered(second)
    detail = refused(second)
    assert detail["limit"] == "user_messages_per_s"
    assert 0 < detail["retry_after_s"] <= 1 / SLOW
    assert all(is_answered(neighbour) for _ in range(4))
    assert (first.link.paused, second.link.paused) == (False, True)
    world.clock.advance(1 / SLOW)
    assert (first.link.paused, second.link.paused) == (False, False)
    assert is_answered(second)
    assert world.hub.counters.excesses == {"user_messages_per_s": 1}


@pytest.mark.parametrize(("one", "other"), [("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::2")])
def test_the_sessions_of_an_address_share_one_rate(make_world: Callable[..., World], one: str, other: str) -> None:
    world = make_world(address_messages_per_s=SLOW, address_messages_burst=6)
    first, second = at(world, one), at(world, other)
    neighbour = at(world, "2001:db8:0:1::1")
    assert all(is_answered(first) for _ in range(2))
    assert all(is_answered(second) for _ in range(2))
    assert refused(first)["limit"] == "address_messages_per_s"
    assert all(is_answered(neighbour) for _ in range(4))
    world.clock.advance(1 / SLOW)
    assert is_answered(second)


def test_a_claimed_name_shares_no_rate_with_the_user_of_that_name(make_world: Callable[..., World]) -> None:
    world = make_world(authenticator=TOKENS, user_messages_per_s=SLOW, user_messages_burst=2)
    impostor = world.client(name="blaise")
    assert all(is_answered(impostor) for _ in range(10))
    assert is_answered(at(world, "192.0.2.1", "blaise"))


def test_a_refused_command_is_not_carried_out(make_world: Callable[..., World]) -> None:
    world = make_world(address_messages_per_s=SLOW, address_messages_burst=3)
    client = at(world, "192.0.2.1")
    client.ask("subscribe", channel="a")
    assert client.ask("publish", channel="a", data="taken")["type"] == "reply"
    assert client.code("publish", channel="a", data="refused") == Code.TOO_MANY_REQUESTS
    world.clock.advance(3 / SLOW)
    assert client.data() == ["taken"]


def test_the_publishers_of_a_channel_share_its_rate(make_world: Callable[..., World]) -> None:
    spaces = [*NAMESPACES, namespace("slow", messages_per_s=SLOW, messages_burst=3)]
    world = make_world(namespaces=spaces)
    first, second = world.client(name="Ada"), world.client(name="Blaise")
    first.ask("subscribe", channel="slow/a")
    assert first.ask("publish", channel="slow/a", data=1)["type"] == "reply"
    assert second.ask("publish", channel="slow/a", data=2)["type"] == "reply"
    assert second.ask("publish", channel="slow/a", data=3)["type"] == "reply"
    answer = first.ask("publish", channel="slow/a", data=4)
    assert answer["code"] == Code.TOO_MANY_REQUESTS
    assert answer["detail"]["limit"] == "namespace.messages_per_s"
    assert answer["detail"]["retry_after_s"] > 0
    # Nobody is slowed down elsewhere: not in another channel, and not in what it does besides.
    assert not first.link.paused
    assert first.ask("publish", channel="slow/b", data=1)["type"] == "reply"
    assert first.ask("publish", channel="a", data=1)["type"] == "reply"
    assert is_answered(first)
    world.clock.advance(1 / SLOW)
    assert second.ask("publish", channel="slow/a", data=5)["type"] == "reply"
    assert first.data("slow/a") == [1, 2, 3, 5]


def test_who_may_not_publish_takes_nothing_of_a_channels_rate(make_world: Callable[..., World]) -> None:
    spaces = [*NAMESPACES, namespace("news", publish=NAMESPACES[7].publish, messages_per_s=SLOW, messages_burst=1)]
    world = make_world(namespaces=spaces, authenticator=TOKENS)
    stranger, ada = world.client(), at(world, "192.0.2.1", "ada")
    for _ in range(20):
        assert stranger.code("publish", channel="news/a", data="spam") == Code.PERMISSION_DENIED
    assert ada.ask("publish", channel="news/a", data="news")["type"] == "reply"


def test_without_shared_rates_nobody_is_asked(make_world: Callable[..., World]) -> None:
    assert make_world().hub.quotas is None


@given(
    rate=st.sampled_from([0.5, 1.0, 10.0]),
    burst=st.integers(1, 20),
    steps=st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 3)), max_size=60),
)
def test_a_key_gets_no_more_than_its_rate_and_no_less(rate: float, burst: int, steps: list[tuple[str, float]]) -> None:
    """The model: a bucket for each key that fills up with time."""
    pace, now = SharedPace(rate, burst), 100.0
    tokens = dict.fromkeys("abc", float(burst))
    for key, passed in steps:
        now += passed
        tokens = {each: min(burst, held + passed * rate) for each, held in tokens.items()}
        wait_s = pace.take(key, now)
        if abs(tokens[key] - 1) < 0.01:
            tokens[key] -= wait_s == 0  # rounding decides
        elif tokens[key] >= 1:
            assert wait_s == 0
            tokens[key] -= 1
        else:
            assert wait_s == pytest.approx((1 - tokens[key]) / rate, rel=0.05, abs=0.02)


def test_keys_that_are_full_again_are_forgotten() -> None:
    pace = SharedPace(1.0, 2)
    for number in range(100_000):
        assert pace.take(f"user{number}", number * 0.01) == 0
    assert len(pace) < 4_000
