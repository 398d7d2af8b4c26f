"""History comes in pages with its position, presence with its members, and both say what they cannot tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chappe.hub.contracts import Broker, Claims
from chappe.model.error_codes import Code
from tests.hub.harness import SpyBroker, Tokens, World, since


def fill(world: World, channel: str = "a", count: int = 5) -> list[int]:
    return [world.append(channel, number).position.offset for number in range(count)]


@pytest.mark.parametrize("kind", ["json", "msgpack"])
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"limit": 2}, [3, 4]),
        ({"limit": 2, "reverse": True}, [4, 3]),
        ({"limit": 0}, []),
        ({"since": 1}, [2, 3, 4]),
        ({"since": 1, "limit": 2}, [2, 3]),
        ({"since": 3, "reverse": True}, [2, 1, 0]),
        ({"since": 4}, []),
    ],
)
def test_a_page_of_history(world: World, kind: str, fields: dict[str, Any], expected: list[int]) -> None:
    offsets = fill(world)
    client = world.client(kind, name="Ada")
    if "since" in fields:
        epoch = client.ask("history", channel="a", limit=0)["epoch"]
        fields = fields | {"since": {"epoch": epoch, "offset": offsets[fields["since"]]}}
    page = client.ask("history", channel="a", **fields)
    assert [each["data"] for each in page["publications"]] == expected
    assert page["offset"] == offsets[-1]
    assert [each["offset"] for each in page["publications"]] == [offsets[number] for number in expected]


def test_a_history_of_another_epoch_is_112_and_tells_where_the_channel_is(world: World) -> None:
    offsets = fill(world)
    answer = world.client(name="Ada").ask("history", channel="a", since={"epoch": "x", "offset": 1})
    assert answer["code"] == Code.UNRECOVERABLE_POSITION
    assert answer["detail"]["offset"] == offsets[-1]


def test_history_needs_no_subscription_and_tells_the_epoch_for_expect(world: World) -> None:
    client = world.client(name="Ada")
    page = client.ask("history", channel="a")
    assert page["publications"] == []
    assert client.ask("publish", channel="a", data=1, expect=since(page))["type"] == "reply"


@pytest.mark.parametrize("limit", [-1, 1_001])
def test_a_limit_out_of_range_is_refused_and_named(world: World, limit: int) -> None:
    answer = world.client(name="Ada").ask("history", channel="a", limit=limit)
    assert (answer["code"], answer["detail"]["field"]) == (Code.BAD_REQUEST, "limit")


@pytest.mark.parametrize("command", ["history", "presence"])
@pytest.mark.parametrize("channel", ["", "a/+", "a\n", "x" * 300])
def test_a_name_that_is_no_channel_is_refused_and_named(world: World, command: str, channel: str) -> None:
    answer = world.client(name="Ada").ask(command, channel=channel)
    assert (answer["code"], answer["detail"]["field"]) == (Code.BAD_REQUEST, "channel")


@pytest.mark.parametrize("command", ["history", "presence"])
def test_who_may_not_subscribe_may_not_read(world: World, command: str) -> None:
    assert world.client(name="Ada").code(command, channel="closed/a") == Code.PERMISSION_DENIED


def test_a_late_page_keeps_later_commands_waiting(make_world: Callable[..., World]) -> None:
    spies: list[SpyBroker] = []

    def wrap(broker: Broker) -> Broker:
        spies.append(SpyBroker(broker))
        return spies[0]

    world = make_world(wrap=wrap)
    client = world.client(name="Ada")
    spies[0].holds = {"read"}
    page = client.command("history", channel="a")
    ping = client.command("ping")
    world.settle()
    assert client.answers(ping) == []
    spies[0].let_go()
    world.settle()
    assert client.received()[-2:] == [client.answer(page), client.answer(ping)]


def test_a_broker_that_is_away_is_told_as_108(world: World) -> None:
    client = world.client(name="Ada")
    world.stop()
    assert client.code("history", channel="a") == Code.NOT_AVAILABLE


def test_presence_lists_the_members_of_a_channel(make_world: Callable[..., World]) -> None:
    world = make_world(authenticator=Tokens(ada=Claims(user="ada", info={"colour": "red"})))
    ada, blaise = world.client(token="ada"), world.client(name="Blaise")
    for client in (ada, blaise):
        client.ask("subscribe", channel="a")
    answer = world.client(name="Cyd").ask("presence", channel="a")
    assert answer["count"] == 2
    assert answer["members"] == [
        {"session": ada.session.id, "user": "ada", "name": "ada", "info": {"colour": "red"}},
        {"session": blaise.session.id, "user": None, "name": "Blaise"},
    ]


def test_nobody_is_in_a_channel_nobody_knows(world: World) -> None:
    answer = world.client(name="Ada").ask("presence", channel="a")
    assert (answer["members"], answer["count"]) == ([], 0)


def test_a_namespace_without_presence_says_so(world: World) -> None:
    answer = world.client(name="Ada").ask("presence", channel="live/a")
    assert (answer["code"], answer["detail"]) == (Code.NOT_AVAILABLE, {"feature": "presence"})


def test_above_the_limit_only_the_count_is_told(make_world: Callable[..., World]) -> None:
    world = make_world(presence_members=3)
    for number in range(4):
        world.client(name=f"c{number}").ask("subscribe", channel="a")
    answer = world.client(name="Ada").ask("presence", channel="a")
    assert (answer["members"], answer["count"]) == ([], 4)


def test_classic_gets_all_names_on_demand(make_world: Callable[..., World]) -> None:
    world = make_world(presence_members=1)
    clients = [world.client("classic", name=name) for name in ("Cyd", "ada", "Blaise")]
    clients[0].take()
    clients[0].send({"type": "userlist"})
    assert clients[0].take() == [{"type": "userlist", "users": ["ada", "Blaise", "Cyd"]}]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [({}, [3, 4]), ({"reverse": True}, [4, 3]), ({"since": 1}, [2, 3]), ({"since": 3, "reverse": True}, [2, 1])],
)
def test_a_page_is_cut_where_it_would_take_too_many_bytes(fields: dict[str, Any], expected: list[int]) -> None:
    world = World(history_page_bytes=450)
    offsets = fill(world)
    client = world.client(name="Ada")
    if "since" in fields:
        epoch = client.ask("history", channel="a", limit=0)["epoch"]
        fields = fields | {"since": {"epoch": epoch, "offset": offsets[fields["since"]]}}
    page = client.ask("history", channel="a", **fields)
    assert [each["data"] for each in page["publications"]] == expected
    assert page["offset"] == offsets[-1]
    assert world.hub.counters.history_cut == 1


def test_a_page_is_never_empty_because_of_its_bytes() -> None:
    world = World(history_page_bytes=1)
    client = world.client(name="Ada")
    start = since(client.ask("history", channel="a"))
    fill(world, count=3)
    read = []
    while page := client.ask("history", channel="a", since=start)["publications"]:
        assert len(page) == 1
        read.append(page[0]["data"])
        start = since(page[0])
    assert read == [0, 1, 2]
