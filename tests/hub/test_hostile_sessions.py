"""What one session may not do to the hub, to its memory or to the others; each was possible once."""

from __future__ import annotations

from typing import Any

import pytest

from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from tests.hub.harness import Client, Gate, World


def is_closed(client: Client) -> bool:
    return client.link.closed is not None


def is_paused(client: Client) -> bool:
    return client.link.paused


def refuse(*arguments: Any) -> None:
    raise ChappeError(Code.PERMISSION_DENIED)


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**40])
def test_ch_2_7_a_number_that_some_reader_cannot_have_is_refused_at_the_door(world: World, number: int) -> None:
    # It was stored, and the fan-out broke at the first MessagePack subscriber: nobody after it got anything.
    readers = [world.client(kind) for kind in ("json", "msgpack", "json")]
    for reader in readers:
        reader.ask("subscribe", channel="news")
    speaker = world.client()
    text = b'{"type":"publish","id":99,"channel":"news","data":%d}' % number
    speaker.send(text)
    world.settle()
    assert [answer["code"] for answer in speaker.answers(99)] == [107]
    assert speaker.ask("publish", channel="news", data="after")["type"] == "reply"
    for reader in readers:
        assert reader.data("news") == ["after"]


def test_a_hook_cannot_store_what_a_reader_cannot_have(world: World) -> None:
    def spoil(session: Any, draft: Any) -> None:
        draft.data = {"n": 2**64}

    world.hub.hooks.add_publish("#", spoil)
    assert world.client().code("publish", channel="news", data=1) == 107


@pytest.mark.parametrize(("kind", "fields"), [("history", {}), ("presence", {})])
def test_who_the_hook_did_not_let_in_cannot_look(world: World, kind: str, fields: dict[str, Any]) -> None:
    # History and presence were open to everybody where a hook decides about subscribing.
    world.hub.hooks.add_subscribe("asked/#", lambda session, channel: None if session.name == "Ada" else refuse())
    ada, eve = world.client(name="Ada"), world.client(name="Eve")
    assert eve.code("subscribe", channel="asked/x") == 103
    assert eve.code(kind, channel="asked/x", **fields) == 103
    assert ada.code(kind, channel="asked/x", **fields) == 103
    assert ada.ask("subscribe", channel="asked/x")["type"] == "reply"
    assert ada.ask(kind, channel="asked/x", **fields)["type"] == "reply"


@pytest.mark.parametrize("pattern", ["team/+", "team/#", "#", "+/secret"])
def test_a_pattern_asks_the_hooks_of_all_it_may_bring(world: World, pattern: str) -> None:
    world.hub.hooks.add_subscribe("team/secret", refuse)
    client = world.client()
    assert client.code("subscribe", channel=pattern) == 103
    assert client.ask("subscribe", channel="team/open")["type"] == "reply"


def test_long_names_are_refused_before_anything_remembers_them(world: World) -> None:
    client = world.client()
    for number in range(300):
        name = f"{number}/" + "x" * 60_000
        client.command("publish", channel=name, data=1)
        client.command("unlock", resource=name)
        world.settle()
    codes = [answer["code"] for answer in client.received()]
    assert len(codes) == 600
    assert set(codes[::2]) == {107}
    assert set(codes[1::2]) <= {107, 118}
    decisions = client.session.actor.decisions
    assert decisions is not None
    assert sum(len(channel) for _, channel in decisions.by_action) + sum(map(len, decisions.outlets)) < 40_000


def test_while_answers_are_late_reading_stops() -> None:
    world = World("faulty", hook_queue_frames=10)
    client = world.client(name="Ada")
    sent = 0
    while not is_paused(client) and sent < 1_000:
        client.command("publish", channel="news", data=sent)
        sent += 1
    assert sent <= 12
    world.settle()
    assert not is_paused(client)
    assert len(client.answers(client.command("ping"))) == 1


def test_hooks_on_messages_see_them_one_by_one_and_hold_the_session(world: World) -> None:
    gates: list[Gate] = []
    seen: list[str] = []

    async def look(session: Any, message: str) -> None:
        seen.append(message)
        gates.append(Gate())
        await gates[-1]

    world.hub.hooks.message.append(look)
    client = world.client()
    for _ in range(3):
        client.command("ping")
        world.settle()
        assert len(seen) == 1
    for number in range(3):
        assert len(client.kinds()) == number
        gates[number].open()
        world.settle()
    assert client.kinds() == ["pong"] * 3


def test_an_idempotency_key_is_its_sessions_own_and_no_claimed_names(world: World) -> None:
    first = world.client(name="Ada")
    first.ask("publish", channel="news", data=1, key="k")
    first.cut()
    second = world.client(name="Ada")
    second.ask("publish", channel="news", data=2, key="k")
    reader = world.client()
    reader.ask("subscribe", channel="news", since=10)
    assert reader.data("news") == [1, 2]


def test_a_forgotten_epoch_is_a_conflict_and_never_any_epoch(world: World) -> None:
    client = world.client()
    client.ask("publish", channel="c0", data=1)
    for number in range(1, 600):
        client.ask("publish", channel=f"c{number}", data=1)
    assert client.code("publish", channel="c0", data=2, expect=1) == 114
    assert client.ask("publish", channel="c0", data=2, expect=1)["type"] == "reply"


def test_who_was_disconnected_while_a_hook_thought_publishes_nothing(world: World) -> None:
    gate = Gate()

    async def think(session: Any, draft: Any) -> None:
        await gate

    world.hub.hooks.add_publish("news", think)
    reader, ada = world.client(), world.client(name="Ada")
    reader.ask("subscribe", channel="news")
    ada.command("publish", channel="news", data="late")
    ada.session.close(Code.DISCONNECTED)
    gate.open()
    world.settle()
    assert reader.data("news") == []


def test_who_is_refused_without_end_is_disconnected(world: World) -> None:
    client = world.client()
    for _ in range(20_000):
        client.send(b"1")
    assert not is_closed(client)
    client.send(b"1")
    assert client.link.closed is not None
    assert client.link.closed[0] == 3501


def test_over_its_rate_a_session_is_read_no_faster_than_its_rate() -> None:
    world = World(messages_per_s=10.0, messages_burst=5)
    client = world.client()
    for _ in range(6):
        client.command("ping")
    assert client.received()[-1]["code"] == 111
    assert is_paused(client)
    world.clock.advance(0.2)
    assert not is_paused(client)
    assert client.ask("ping")["type"] == "pong"


def test_who_goes_on_too_fast_is_read_the_later_the_more_was_refused_and_heard_again() -> None:
    # 90 such connections took the whole hub: 200 refusals were answered, and 20 ms later the next 200.
    world = World(messages_per_s=10.0, messages_burst=5)
    client, neighbour = world.client(), world.client()
    for _ in range(55):
        client.command("ping")
    assert client.received()[-1]["code"] == 111
    world.clock.advance(0.9)
    assert is_paused(client)
    assert neighbour.ask("ping")["type"] == "pong"
    world.clock.advance(0.3)
    assert not is_paused(client)
    # What waited on its way is welcome.
    for _ in range(5):
        assert client.ask("ping")["type"] == "pong"
    for _ in range(5_000):
        client.command("ping")
    world.clock.advance(5.1)
    assert not is_paused(client)
    assert client.ask("ping")["type"] == "pong"
