"""A publication is stored once or refused with a reason, under its publisher's name, where its publisher expects."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from chappe.hub.contracts import Broker, Claims
from chappe.model.error_codes import Code
from chappe.testing.faulty_broker import FaultyBroker
from tests.hub.harness import SpyBroker, Tokens, World, namespace, since


def spied(make_world: Callable[..., World], **options: Any) -> tuple[World, SpyBroker]:
    spies: list[SpyBroker] = []

    def wrap(broker: Broker) -> Broker:
        spies.append(SpyBroker(broker))
        return spies[0]

    return make_world(wrap=wrap, **options), spies[0]


# --- The payload -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["json", "msgpack"])
@pytest.mark.parametrize("data", [None, 0, -1.5, "é", [], {"a": [1, {"b": None}]}, "x" * 1_000])
def test_a_value_arrives_as_it_was_published(world: World, kind: str, data: Any) -> None:
    readers = [
        world.client(name=each) if each == "json" else world.client(each, name=each) for each in ("json", "msgpack")
    ]
    for reader in readers:
        reader.ask("subscribe", channel="a")
    world.client(kind, name="Ada").ask("publish", channel="a", data=data)
    assert [reader.data() for reader in readers] == [[data], [data]]


def test_a_publication_tells_who_when_and_where(world: World) -> None:
    client = world.client(name="Ada")
    client.ask("subscribe", channel="a")
    answer = client.ask("publish", channel="a", data=1, key="k1", headers={"h": "v"})
    publication = client.publications()[0]
    assert publication["from"] == {"user": None, "name": "Ada", "session": client.session.id}
    assert (publication["offset"], publication["epoch"]) == (answer["offset"], answer["epoch"])
    assert (publication["id"], publication["headers"]) == ("k1", {"h": "v"})
    assert publication["time"].endswith("Z")


def test_a_message_over_the_limit_is_skipped_and_the_session_goes_on(make_world: Callable[..., World]) -> None:
    world = make_world(message_bytes=200)
    client = world.client(name="Ada")
    answer = client.ask("publish", channel="a", data="x" * 300)
    assert (answer["code"], answer["detail"]["limit"]) == (Code.MESSAGE_TOO_LARGE, 200)
    assert client.ask("publish", channel="a", data="x")["type"] == "reply"
    assert world.memory.sequence == 1


@pytest.mark.parametrize("channel", ["", "a/+", "#", "a\nb", "x" * 256])
def test_a_name_that_is_no_channel_is_refused(world: World, channel: str) -> None:
    answer = world.client(name="Ada").ask("publish", channel=channel, data=1)
    assert answer["code"] in (Code.BAD_REQUEST, Code.PERMISSION_DENIED)
    assert world.memory.sequence == 0


@pytest.mark.parametrize("key", ["", "x" * 129])
def test_a_key_out_of_range_is_refused_and_named(world: World, key: str) -> None:
    answer = world.client(name="Ada").ask("publish", channel="a", data=1, key=key)
    assert (answer["code"], answer["detail"]["field"]) == (Code.BAD_REQUEST, "key")


# --- Compare-and-set -------------------------------------------------------------------------------------------------


def test_expect_stores_only_at_the_position_expected(world: World) -> None:
    client = world.client(name="Ada")
    first = client.ask("publish", channel="a", data=1)
    second = client.ask("publish", channel="a", data=2, expect=since(first))
    assert second["offset"] > first["offset"]
    late = client.ask("publish", channel="a", data=3, expect=since(first))
    assert late["code"] == Code.CONFLICT
    assert (late["detail"]["epoch"], late["detail"]["offset"]) == (second["epoch"], second["offset"])
    assert [each["data"] for each in late["detail"]["publications"]] == [2]


def test_of_rivals_with_one_expectation_one_wins(world: World) -> None:
    clients = [world.client(name=f"c{number}") for number in range(5)]
    position = since(clients[0].ask("publish", channel="a", data=0))
    commands = [client.command("publish", channel="a", data=1, expect=position) for client in clients]
    world.settle()
    answers = [client.answer(command) for client, command in zip(clients, commands, strict=True)]
    assert [answer["type"] for answer in answers].count("reply") == 1


def test_a_bare_offset_is_of_the_epoch_last_told(world: World) -> None:
    client = world.client(name="Ada")
    told = client.ask("history", channel="a")
    assert client.ask("publish", channel="a", data=1, expect=told["offset"])["type"] == "reply"
    assert client.code("publish", channel="a", data=1, expect=told["offset"]) == Code.CONFLICT


def test_a_bare_offset_is_of_the_epoch_of_the_subscription(world: World) -> None:
    client = world.client(name="Ada")
    answer = client.ask("subscribe", channel="a")
    client.session.subscriptions["a"].epoch = "another"
    assert client.code("publish", channel="a", data=1, expect=answer["offset"]) == Code.CONFLICT


def test_an_expectation_of_another_epoch_fails_without_missed_publications(world: World) -> None:
    client = world.client(name="Ada")
    first = client.ask("publish", channel="a", data=1)
    answer = client.ask("publish", channel="a", data=2, expect={"epoch": "x", "offset": first["offset"]})
    assert answer["code"] == Code.CONFLICT
    assert "publications" not in answer["detail"]


def test_at_most_a_hundred_missed_publications_are_told(make_world: Callable[..., World]) -> None:
    world = make_world(namespaces=[namespace("default", history_count=500)])
    client = world.client(name="Ada")
    position = since(client.ask("publish", channel="a", data=0))
    for number in range(1, 151):
        client.command("publish", channel="a", data=number)
    world.settle()
    answer = client.ask("publish", channel="a", data=0, expect=position)
    assert [each["data"] for each in answer["detail"]["publications"]] == list(range(1, 101))


def test_missed_publications_that_are_trimmed_are_not_told_in_part(world: World) -> None:
    client = world.client(name="Ada")
    position = since(client.ask("publish", channel="short/a", data=0))
    for number in range(5):
        client.ask("publish", channel="short/a", data=number)
    answer = client.ask("publish", channel="short/a", data=0, expect=position)
    assert answer["detail"]["publications"] == []


# --- Idempotency -----------------------------------------------------------------------------------------------------


def test_a_key_gets_the_same_answer_again_and_stores_once(world: World) -> None:
    client = world.client(name="Ada")
    client.ask("subscribe", channel="a")
    first = client.ask("publish", channel="a", data=1, key="k")
    again = client.ask("publish", channel="a", data=2, key="k")
    assert (first["offset"], first["epoch"]) == (again["offset"], again["epoch"])
    assert client.data() == [1]


def test_a_repetition_while_the_first_is_on_its_way_stores_once(make_world: Callable[..., World]) -> None:
    world, spy = spied(make_world)
    client = world.client(name="Ada")
    spy.holds = {"append"}
    commands = [client.command("publish", channel="a", data=1, key="k") for _ in range(3)]
    spy.let_go()
    world.settle()
    assert len({client.answer(command)["offset"] for command in commands}) == 1
    assert world.memory.sequence == 1


def test_a_key_is_forgotten_after_five_minutes(world: World) -> None:
    client = world.client(name="Ada")
    first = client.ask("publish", channel="a", data=1, key="k")
    world.clock.advance(290)
    assert client.ask("publish", channel="a", data=1, key="k")["offset"] == first["offset"]
    world.clock.advance(15)
    assert client.ask("publish", channel="a", data=1, key="k")["offset"] > first["offset"]


def test_keys_are_apart_for_each_channel_and_user(make_world: Callable[..., World]) -> None:
    world = make_world(authenticator=Tokens(ada=Claims(user="ada"), blaise=Claims(user="blaise")))
    clients = [world.client(token="ada"), world.client(token="blaise"), world.client(name="Cyd"), world.client()]
    clients.append(world.client())
    for client in clients:
        client.ask("publish", channel="a", data=1, key="k")
        client.ask("publish", channel="b", data=1, key="k")
    assert world.memory.sequence == 10


def test_sessions_of_one_user_share_their_keys(make_world: Callable[..., World]) -> None:
    world = make_world(authenticator=Tokens(ada=Claims(user="ada")))
    first, second = world.client(token="ada"), world.client(token="ada")
    answers = [client.ask("publish", channel="a", data=1, key="k") for client in (first, second)]
    assert answers[0]["offset"] == answers[1]["offset"]


def test_a_name_that_looks_like_a_user_has_keys_of_its_own(make_world: Callable[..., World]) -> None:
    world = make_world(authenticator=Tokens(ada=Claims(user="ada")))
    claimed = world.client(name="user:ada")
    claimed.ask("publish", channel="a", data=1, key="k")
    world.client(token="ada").ask("publish", channel="a", data=1, key="k")
    assert world.memory.sequence == 2


def test_a_compare_and_set_that_succeeded_is_told_so_again(world: World) -> None:
    client = world.client(name="Ada")
    position = since(client.ask("publish", channel="a", data=0))
    first = client.ask("publish", channel="a", data=1, key="k", expect=position)
    assert client.ask("publish", channel="a", data=1, key="k", expect=position)["offset"] == first["offset"]


# --- Failure and retained publications -------------------------------------------------------------------------------


def test_a_broker_that_is_away_is_told_as_108_and_may_be_asked_again(world: World) -> None:
    client = world.client(name="Ada")
    world.stop()
    answer = client.ask("publish", channel="a", data=1)
    assert (answer["code"], answer["retry"]) == (Code.NOT_AVAILABLE, True)


def test_a_failed_append_is_not_delivered(make_world: Callable[..., World]) -> None:
    world = make_world()
    client = world.client(name="Ada")
    client.ask("subscribe", channel="a")
    if isinstance(world.broker, FaultyBroker):
        world.broker.fail_pending(["a"])
    world.stop()
    client.command("publish", channel="a", data=1)
    world.settle()
    assert client.data() == []


def test_a_retained_publication_comes_to_everybody_who_subscribes_later(world: World) -> None:
    client = world.client(name="Ada")
    client.ask("publish", channel="a", data="kept", retain=True)
    client.ask("publish", channel="a", data="passing")
    for name in ("a", "a/#"):
        reader = world.client()
        reader.ask("subscribe", channel=name)
        assert [(each["data"], each["retained"]) for each in reader.publications()] == [("kept", True)]


def test_a_raw_publisher_gets_its_bytes_back_and_others_a_string(world: World) -> None:
    raw, reader = world.client("raw"), world.client(name="Ada")
    reader.ask("subscribe", channel="broadcast")
    for payload, text in ((b'{"x":1}', True), (b"plain", True), (b"\xff\x00", False)):
        raw.send_raw(payload, text)
    world.settle()
    assert raw.received() == [b'{"x":1}', b"plain", b"\xff\x00"]
    assert reader.data() == [{"x": 1}, "plain", {"$base64": "/wA="}]


# --- Rooms -----------------------------------------------------------------------------------------------------------


def said(username: str) -> dict[str, str]:
    return {"type": "message", "content": "x", "username": username}


def as_bytes(data: object) -> dict[str, str]:
    return {"$base64": base64.b64encode(b" " + msgspec.json.encode(data)).decode()}


@pytest.mark.parametrize("wrap", [lambda data: data, as_bytes], ids=["value", "bytes"])
def test_nobody_speaks_in_a_room_under_anothers_name(world: World, wrap: Callable[[object], object]) -> None:
    # As bytes it passed: JSON clients read them as the value, with the other's name in it.
    client, reader = world.client(name="Ada"), world.client(name="Blaise")
    reader.ask("subscribe", channel="chat/lobby")
    assert client.code("publish", channel="chat/lobby", data=wrap(said("Blaise"))) == Code.PERMISSION_DENIED
    assert reader.data() == []
    assert world.hub.counters.impersonations == 1
    warnings = [line for level, line in world.log if level == "WARNING"]
    assert warnings == [f"attempted impersonation: Ada (session {client.session.id}) spoke as Blaise"]
    assert client.ask("publish", channel="chat/lobby", data=wrap(said("Ada")))["type"] == "reply"


def test_in_classic_impersonation_is_refused_and_the_connection_stays(world: World) -> None:
    client, other = world.client("classic", name="Ada"), world.client("classic", name="Blaise")
    client.send(said("Blaise"), said("Ada"))
    world.settle()
    assert [each["username"] for each in other.received() if each["type"] == "message"] == ["Ada"]
    assert Code.PERMISSION_DENIED in [each.get("code") for each in client.received()]


@pytest.mark.parametrize("data", ["bare", {"type": "other", "username": "Zed"}, [said("Zed")], 5, {"$base64": "e30h"}])
def test_what_is_no_chat_message_passes_in_a_room(world: World, data: object) -> None:
    assert world.client(name="Ada").ask("publish", channel="chat/lobby", data=data)["type"] == "reply"


def test_outside_a_room_anything_may_be_said(world: World) -> None:
    assert world.client(name="Ada").ask("publish", channel="a", data=said("Zed"))["type"] == "reply"


@pytest.mark.parametrize("number", ["1e999", "-1e999", "123456789012345678901234567890"])
@pytest.mark.parametrize("channel", ["a", "chat/lobby"])
def test_a_number_beyond_all_bounds_breaks_nothing(world: World, number: str, channel: str) -> None:
    client = world.client(name="Ada")
    client.ask("subscribe", channel=channel)
    client.send(b'{"type":"publish","id":50,"channel":"%b","data":{"n":%b}}' % (channel.encode(), number.encode()))
    client.send(b'{"type":"publish","id":51,"channel":"%b","data":1,"expect":0}' % channel.encode())
    world.settle()
    for command in (50, 51):
        assert client.answer(command).get("code") in (None, Code.BAD_REQUEST, Code.CONFLICT)
    assert client.ask("ping")["type"] == "pong"
