"""Who comes and goes is told as differences, as lists of names or as a count, and never more often than promised."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from chappe.hub.contracts import Claims
from tests.hub.harness import Client, Tokens, World

LOBBY = "chat/lobby"


def of_kind(client: Client, kind: str) -> list[Any]:
    return [each for each in client.received() if each["type"] == kind]


@pytest.mark.parametrize("kind", ["json", "msgpack"])
def test_who_asks_gets_the_state_then_the_differences(world: World, kind: str) -> None:
    other = world.client(name="Blaise")
    other.ask("subscribe", channel="a")
    watcher = world.client(kind, name="Ada")
    watcher.ask("subscribe", channel="a", presence=True)
    third = world.client(name="Cyd")
    third.ask("subscribe", channel="a")
    other.ask("unsubscribe", channel="a")
    third.cut()
    told = [each for each in watcher.received() if each["type"] != "reply"]
    assert [each["type"] for each in told] == ["presence", "join", "join", "leave", "leave"]
    assert (told[0]["count"], [each["name"] for each in told[0]["members"]]) == (1, ["Blaise"])
    assert [each["member"]["name"] for each in told[1:]] == ["Ada", "Cyd", "Blaise", "Cyd"]
    assert of_kind(other, "join") == []


def test_a_member_of_a_pattern_is_in_no_room(world: World) -> None:
    watcher = world.client(name="Ada")
    watcher.ask("subscribe", channel="a/b", presence=True)
    other = world.client(name="Blaise")
    other.ask("subscribe", channel="a/+", presence=True)
    assert [each["member"]["name"] for each in of_kind(watcher, "join")] == ["Ada"]
    assert of_kind(other, "presence") == []


def test_sessions_of_one_user_join_once_and_leave_once(make_world: Callable[..., World]) -> None:
    world = make_world(authenticator=Tokens(ada=Claims(user="ada", info=7)))
    watcher = world.client(name="Blaise")
    watcher.ask("subscribe", channel="a", presence=True)
    watcher.take()
    first, second = world.client(token="ada"), world.client("msgpack", token="ada")
    for client in (first, second):
        client.ask("subscribe", channel="a")
    first.cut()
    assert [(each["type"], each["member"]["user"]) for each in watcher.take()] == [("join", "ada")]
    second.cut()
    left = watcher.take()
    assert [(each["type"], each["member"]["session"]) for each in left] == [("leave", first.session.id)]


def test_a_second_session_of_a_user_in_classic_gets_the_list_that_others_have(make_world: Callable[..., World]) -> None:
    world = make_world(authenticator=Tokens(ada=Claims(user="ada")))
    world.client("classic", name="ada", token="ada")
    second = world.client("classic", name="ada", token="ada")
    assert second.received() == [{"type": "userlist", "users": ["ada"]}]


def test_cl_2_5_a_second_session_of_a_user_gets_no_list_of_a_large_room(make_world: Callable[..., World]) -> None:
    tokens = Tokens(**{f"u{number}": Claims(user=f"u{number}") for number in range(6)})
    world = make_world(presence_members=3, authenticator=tokens)
    first, *_ = [world.client("classic", name=f"u{number}", token=f"u{number}") for number in range(6)]
    first.take()
    second = world.client("classic", name="u0", token="u0")
    assert second.received() == [{"type": "join", "username": "u0"}]
    assert first.take() == []
    second.send({"type": "userlist"})
    assert second.received()[-1] == {"type": "userlist", "users": [f"u{number}" for number in range(6)]}


def test_classic_hears_join_then_userlist_the_newcomer_included(world: World) -> None:
    ada = world.client("classic", name="Ada")
    blaise = world.client("classic", name="Blaise")
    assert ada.received() == [
        {"type": "join", "username": "Ada"},
        {"type": "userlist", "users": ["Ada"]},
        {"type": "join", "username": "Blaise"},
        {"type": "userlist", "users": ["Ada", "Blaise"]},
    ]
    assert blaise.received() == ada.received()[2:]
    blaise.cut()
    world.settle()
    assert ada.received()[4:] == [{"type": "leave", "username": "Blaise"}, {"type": "userlist", "users": ["Ada"]}]


def test_lists_of_names_come_at_most_every_100_ms_and_the_last_state_always(world: World) -> None:
    watcher = world.client("classic", name="Ada")
    watcher.take()
    times: list[float] = []
    watcher.link.on_frame = lambda frame: times.append(world.clock.now()) if b"userlist" in frame.payload else None
    clients = []
    for number in range(30):
        client = world.client("classic")
        client.send({"type": "login", "content": f"c{number}"})
        clients.append(client)
        world.clock.advance(0.01)
    world.settle()
    assert len(times) < 10
    assert all(later - earlier >= 0.1 - 1e-9 for earlier, later in itertools.pairwise(times))
    lists = of_kind(watcher, "userlist")
    assert len(lists[-1]["users"]) == 31
    for client in clients:
        client.cut()
    world.settle()
    assert of_kind(watcher, "userlist")[-1]["users"] == ["Ada"]


def test_who_has_no_name_is_not_in_classics_list(world: World) -> None:
    ada = world.client("classic", name="Ada")
    ada.take()
    dashboard = world.client()
    dashboard.ask("subscribe", channel=LOBBY)
    dashboard.cut()
    world.settle()
    assert [each for each in ada.take() if each["type"] != "userlist"] == []
    assert of_kind(ada, "userlist")[-1]["users"] == ["Ada"]


def test_above_the_limit_only_counts_are_told_at_most_once_a_second(make_world: Callable[..., World]) -> None:
    world = make_world(presence_members=10)
    watcher = world.client(name="watcher")
    watcher.ask("subscribe", channel="a", presence=True)
    clients = [world.client() for _ in range(30)]
    times: list[float] = []
    watcher.link.on_frame = lambda frame: times.append(world.clock.now()) if b'"presence"' in frame.payload else None
    watcher.take()
    for client in clients:
        client.command("subscribe", channel="a")
        world.clock.advance(0.1)
    world.clock.advance(2)
    told = watcher.take()
    assert [each["type"] for each in told].count("join") == 9
    counts = [each for each in told if each["type"] == "presence"]
    assert 2 <= len(counts) <= 4
    assert all("members" not in each for each in counts)
    assert counts[-1]["count"] == 31
    assert all(later - earlier >= 1.0 - 1e-9 for earlier, later in itertools.pairwise(times))


def test_a_room_that_shrinks_to_the_limit_tells_its_members_again(make_world: Callable[..., World]) -> None:
    # Who had come while only counts were told stayed unknown, and left as a stranger.
    world = make_world(presence_members=3)
    watcher = world.client(name="watcher")
    watcher.ask("subscribe", channel="a", presence=True)
    clients = [world.client(name=f"c{number}") for number in range(4)]
    for client in clients:
        client.ask("subscribe", channel="a")
    world.clock.advance(2)
    watcher.take()
    for client in clients[:2]:
        client.cut()
    world.clock.advance(2)
    told = watcher.take()
    assert [each["type"] for each in told] == ["presence"]
    assert [each["name"] for each in told[0]["members"]] == ["watcher", "c2", "c3"]
    clients[3].cut()
    assert [each["member"]["name"] for each in watcher.take()] == ["c3"]


def test_at_two_hundred_members_joins_are_told_and_above_they_are_not(world: World) -> None:
    watcher = world.client(name="watcher")
    watcher.ask("subscribe", channel="a", presence=True)
    for _ in range(199):
        world.client().command("subscribe", channel="a")
    world.settle()
    assert len(of_kind(watcher, "join")) == 200
    world.client().command("subscribe", channel="a")
    world.clock.advance(2)
    assert len(of_kind(watcher, "join")) == 200
    assert watcher.received()[-1] == {"type": "presence", "channel": "a", "count": 201}


def test_a_newcomer_in_a_large_room_still_learns_that_it_is_in(make_world: Callable[..., World]) -> None:
    world = make_world(presence_members=2)
    for number in range(3):
        world.client("classic", name=f"c{number}")
    newcomer = world.client("classic", name="Ada")
    assert newcomer.received() == [{"type": "join", "username": "Ada"}]


def test_the_state_of_a_large_room_is_its_count(make_world: Callable[..., World]) -> None:
    world = make_world(presence_members=2)
    for _ in range(3):
        world.client().ask("subscribe", channel="a")
    watcher = world.client(name="Ada")
    watcher.ask("subscribe", channel="a", presence=True)
    assert of_kind(watcher, "presence")[0] == {"type": "presence", "channel": "a", "count": 3}


def test_a_room_without_presence_tells_nothing(world: World) -> None:
    watcher = world.client(name="Ada")
    watcher.ask("subscribe", channel="live/a", presence=True)
    world.client().ask("subscribe", channel="live/a")
    assert watcher.kinds() == ["reply", "reply"]


def test_who_vanishes_leaves_at_once(world: World) -> None:
    ada, blaise = world.client("classic", name="Ada"), world.client("classic", name="Blaise")
    blaise.cut(1006)
    assert ada.kinds()[-2:] == ["leave", "userlist"]
