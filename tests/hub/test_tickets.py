"""Tickets: good once, for half a minute, for the one they were given to; a model tells what each is worth."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.hub.contracts import Claims
from chappe.hub.session import Peer
from chappe.hub.tickets import PREFIX, TICKET_S
from chappe.model.errors import ChappeError
from tests.hub.cluster.rig import GONE_S, Nodes
from tests.hub.harness import Client, World


def take(world: World, ticket: str) -> Any:
    """Return what a ticket stands for, or the code of its refusal."""
    told: list[Any] = []
    world.hub.authentication.verify(ticket, lambda claims, error: told.append(error.code if error else claims))
    world.settle()
    assert len(told) == 1
    return told[0]


def issue(world: World, **claims: Any) -> str:
    return world.hub.authentication.tickets.issue(Claims(**{"user": "ada"} | claims))[0]


def test_a_ticket_is_good_once() -> None:
    world = World(anonymous=False)
    ticket = issue(world, subscribe=("chat/#",))
    given = world.clock.wall_ms() / 1_000
    assert take(world, ticket) == Claims(user="ada", subscribe=("chat/#",), issued_at=given)
    assert take(world, ticket) == 101


def test_a_ticket_is_good_for_half_a_minute_whatever_the_wall_clock_does() -> None:
    world = World(anonymous=False)
    early, late = issue(world), issue(world)
    world.clock.set_wall(0)
    world.clock.advance(TICKET_S - 0.01)
    assert isinstance(take(world, early), Claims)
    world.clock.advance(0.02)
    assert take(world, late) == 101


def test_a_ticket_ends_with_the_token_that_it_stands_for() -> None:
    world = World(anonymous=False)
    now = world.clock.wall_ms() / 1_000
    ticket = issue(world, expires_at=now + 5)
    world.clock.advance(6)
    assert take(world, ticket) == 109
    assert take(world, ticket) == 101
    with pytest.raises(ChappeError, match="expired"):
        issue(world, expires_at=now)


@pytest.mark.parametrize(
    "change", [lambda t: t[:-1], lambda t: t + "0", lambda t: PREFIX, lambda t: t.upper(), lambda t: t + "\ud800"]
)
def test_a_ticket_that_was_not_given_out_is_none(change: Any) -> None:
    world = World(anonymous=False)
    ticket = issue(world)
    assert take(world, change(ticket)) == 101
    assert isinstance(take(world, ticket), Claims)


def test_one_user_cannot_hold_all_tickets() -> None:
    world = World(anonymous=False)
    for _ in range(64):
        issue(world)
    with pytest.raises(ChappeError) as caught:
        issue(world)
    assert caught.value.code == 111
    issue(world, user="bob")
    world.clock.advance(TICKET_S)
    issue(world)
    assert world.hub.authentication.tickets.metrics()["chappe_tickets_open"] == 1


@given(st.lists(st.tuples(st.sampled_from(["issue", "take", "wait"]), st.integers(0, 20)), max_size=40))
def test_a_ticket_is_worth_what_a_model_says(steps: list[tuple[str, int]]) -> None:
    world = World(anonymous=False)
    given_out: list[str] = []
    good_until: dict[str, float] = {}
    for step, number in steps:
        if step == "issue":
            given_out.append(issue(world))
            good_until[given_out[-1]] = world.clock.now() + TICKET_S
        elif step == "wait":
            world.clock.advance(number)
        elif given_out:
            ticket = given_out[number % len(given_out)]
            good = world.clock.now() < good_until.get(ticket, 0.0)
            assert (take(world, ticket) != 101) is good
            good_until.pop(ticket, None)


def test_a_session_opens_with_a_ticket_of_its_connection_and_no_second_one_does() -> None:
    world = World(anonymous=False)
    ticket = issue(world)
    first, second = (Client(world, "json", Peer(token=ticket)) for _ in range(2))
    assert first.ask("connect")["user"] == "ada"
    assert second.ask("connect")["code"] == 101
    assert second.link.closed is not None
    assert second.link.closed[0] == 3500


def test_a_ticket_is_good_on_any_node_and_on_one_only() -> None:
    nodes = Nodes(3)
    nodes.beat_until(5)
    first, second, third = nodes.worlds
    ticket = issue(first, user="Ada", info={"color": "red"}, scopes=frozenset({"api"}))
    told: list[Any] = []
    for world in (second, third, second):
        world.hub.authentication.verify(ticket, lambda claims, error: told.append(error.code if error else claims))
    nodes.beat_until(5)
    assert told.count(101) == 2
    (found,) = (each for each in told if each != 101)
    assert (found.user, found.info, found.scopes) == ("Ada", {"color": "red"}, frozenset({"api"}))


def test_a_revoked_ticket_is_refused_whatever_the_clocks_of_nodes_say() -> None:
    nodes = Nodes(2)
    nodes.beat_until(5)
    first, second = nodes.worlds
    wall_ms, end = nodes.clock.wall_ms(), nodes.clock.wall_ms() / 1_000 + 60
    nodes.clock.set_wall(wall_ms + 2_000)
    ticket, kept = issue(first, user="Ada"), issue(first, user="Bob")
    first.hub.revoke_here("Ada", None, None, end)
    nodes.clock.set_wall(wall_ms)
    second.hub.revoke_here("Ada", None, None, end)
    told: list[Any] = []
    for each in (ticket, kept):
        second.hub.authentication.verify(each, lambda claims, error: told.append(claims.user if claims else error))
    nodes.beat_until(5)
    assert [getattr(each, "code", each) for each in told] == [101, "Bob"]


def test_a_ticket_of_a_node_that_is_gone_lets_nobody_in() -> None:
    nodes = Nodes(2)
    nodes.beat_until(5)
    first, second = nodes.worlds
    ticket = issue(first)
    nodes.kill(0)
    told: list[Any] = []
    second.hub.authentication.verify(ticket, lambda claims, error: told.append(error.code if error else claims))
    nodes.beat_until(5)
    assert told == [108]
    nodes.beat_until(GONE_S)
    second.hub.authentication.verify(ticket, lambda claims, error: told.append(error.code if error else claims))
    assert told == [108, 101]
