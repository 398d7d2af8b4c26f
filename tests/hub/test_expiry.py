"""Tokens end, are refreshed and forgotten in any order; one timer serves them all."""

import math
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from chappe.hub.contracts import Claims
from chappe.model.error_codes import Code
from tests.hub.harness import Client, Tokens, World

LIVES_S = (5, 20, 20, 60)

steps = st.lists(
    st.one_of(
        st.tuples(st.just("open"), st.integers(0, 4)),
        st.tuples(st.just("refresh"), st.integers(0, 4)),
        st.tuples(st.just("leave"), st.integers(0, 30)),
        st.tuples(st.just("wait"), st.integers(0, 25)),
    ),
    max_size=40,
)


class Lives:
    """Tokens by how long they live from when they are shown: 0 to 3, and 4 for ever."""

    def __init__(self, world: World) -> None:
        self._world = world

    def authenticate(self, token: str, wall_s: float) -> Claims:
        kind = int(token)
        return Claims(user="ada", expires_at=None if kind == 4 else wall_s + LIVES_S[kind])


@given(steps)
def test_each_session_ends_when_its_last_token_does_and_not_before(drawn: list[tuple[str, int]]) -> None:
    world = World(anonymous=False)
    world.hub.authenticator = Lives(world)
    open_now: list[tuple[Client, float]] = []
    for action, number in drawn:
        now = world.clock.now()
        deadline = math.inf if number > 3 else now + LIVES_S[min(number, 3)]
        if action == "open":
            open_now.append((world.client(token=str(number)), deadline))
        elif action == "refresh" and open_now:
            client, _ = open_now.pop(0)
            assert client.ask("refresh", token=str(number))["type"] == "reply"
            open_now.append((client, deadline))
        elif action == "leave" and open_now:
            client, _ = open_now.pop(number % len(open_now))
            client.cut()
        elif action == "wait":
            world.clock.advance(number)
            world.settle()
        now = world.clock.now()
        for client, ends in open_now:
            expected = Code.EXPIRED if ends <= now else None
            closed = client.link.closed
            assert (closed[0] if closed is not None else None) == expected
        open_now = [(client, ends) for client, ends in open_now if ends > now]
    assert len(world.hub.expiry) <= 2 * len(world.hub.sessions) + 65


def test_refreshing_for_ever_keeps_no_more_entries_than_sessions_need(make_world: Callable[..., World]) -> None:
    world = make_world(anonymous=False)
    world.hub.authenticator = Lives(world)
    client = world.client(token="3")
    for _ in range(1_000):
        client.ask("refresh", token="3")
    assert len(world.hub.expiry) <= 2 + 65


def test_one_timer_serves_all_tokens_and_goes_with_the_last(make_world: Callable[..., World]) -> None:
    world = make_world(anonymous=False)
    expires_at = world.clock.wall_ms() / 1_000
    world.hub.authenticator = Tokens(**{f"t{n}": Claims(user="ada", expires_at=expires_at + 60 + n) for n in range(5)})
    before = world.clock.pending
    clients = [world.client(token=f"t{n}") for n in range(5)]
    assert world.clock.pending == before + 1
    for client in clients:
        client.session.close(Code.DISCONNECTED)
    world.settle()
    assert world.clock.pending == before
