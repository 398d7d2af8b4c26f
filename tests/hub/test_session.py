"""A session answers in order, waits where it must, stops reading when too much waits, and is silent after its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chappe.hub.contracts import Broker, Claims
from chappe.hub.hooks import Draft
from chappe.hub.namespaces import Access
from chappe.hub.session import Session
from chappe.model.error_codes import Code
from chappe.model.errors import Refused
from chappe.model.limits import Limits
from tests.hub.harness import Client, Gate, SpyBroker, Tokens, World, namespace


def answered(client: Client) -> list[int]:
    return [each["id"] for each in client.received() if each["type"] in ("reply", "error", "pong") and "id" in each]


def spied(make_world: Callable[..., World], **options: Any) -> tuple[World, SpyBroker]:
    spies: list[SpyBroker] = []

    def wrap(broker: Broker) -> Broker:
        spies.append(SpyBroker(broker))
        return spies[0]

    return make_world(wrap=wrap, **options), spies[0]


def test_answers_keep_the_order_of_their_commands_when_the_broker_is_late(make_world: Callable[..., World]) -> None:
    world, spy = spied(make_world)
    client = world.client(name="Ada")
    spy.holds = {"append"}
    first = client.command("publish", channel="a", data=1)
    second = client.command("publish", channel="a", data=2)
    third = client.command("ping")
    fourth = client.command("presence", channel="a")
    world.settle()
    assert client.answers(third) == []
    spy.let_go()
    world.settle()
    assert answered(client)[1:] == [first, second, third, fourth]


def test_publishes_overlap_while_the_broker_is_late(make_world: Callable[..., World]) -> None:
    world, spy = spied(make_world)
    client = world.client(name="Ada")
    spy.holds = {"append"}
    for number in range(10):
        client.command("publish", channel="a", data=number)
    world.settle()
    assert spy.count("append") == 10
    spy.let_go()
    world.settle()
    assert [client.answer(number)["type"] for number in range(2, 12)] == ["reply"] * 10


def test_a_refused_publish_waits_its_turn_behind_a_late_one(make_world: Callable[..., World]) -> None:
    world, spy = spied(make_world)
    client = world.client(name="Ada")
    spy.holds = {"append"}
    late = client.command("publish", channel="a", data=1)
    refused = client.command("publish", channel="closed/a", data=1)
    world.settle()
    assert client.answers(refused) == []
    spy.let_go()
    world.settle()
    assert answered(client)[1:] == [late, refused]


def test_commands_behind_a_late_first_subscribe_wait_for_its_answer(make_world: Callable[..., World]) -> None:
    # The implicit connect released the session although the subscribe that it was for still read history.
    world, spy = spied(make_world)
    client = world.client()
    spy.holds = {"read"}
    commands = [
        client.command("subscribe", channel="a"),
        client.command("publish", channel="a", data=1),
        client.command("ping"),
    ]
    world.settle()
    assert answered(client) == []
    spy.let_go()
    world.settle()
    assert answered(client) == commands
    assert client.data() == [1]


def test_commands_behind_a_repeated_read_are_carried_out(make_world: Callable[..., World]) -> None:
    # The second read answered inside the answer of the first, and the session was never released.
    world, spy = spied(make_world)
    client = world.client(name="Ada")
    spy.holds = {"read"}
    client.command("subscribe", channel="a")
    world.settle()
    world.hub.delivery.interrupted(["a"])
    behind = client.command("ping")
    spy.let_go()
    world.settle()
    assert client.answer(behind)["type"] == "pong"


def test_an_async_hook_holds_its_session_and_no_other(make_world: Callable[..., World]) -> None:
    world = make_world()
    gate = Gate()

    async def think(session: Session, draft: Draft) -> None:
        if session.name == "Ada":
            await gate

    world.hub.hooks.add_publish("#", think)
    ada, blaise = world.client(name="Ada"), world.client(name="Blaise")
    first = ada.command("publish", channel="a", data=1)
    second = ada.command("ping")
    other = blaise.ask("publish", channel="a", data=2)
    assert other["type"] == "reply"
    assert ada.answers(first) + ada.answers(second) == []
    gate.open()
    world.settle()
    assert answered(ada)[1:] == [first, second]


def test_reading_stops_when_too_much_waits_for_a_hook_and_goes_on_afterwards(make_world: Callable[..., World]) -> None:
    world = make_world(hook_queue_frames=4)
    gate = Gate()

    async def think(session: Session, draft: Draft) -> None:
        await gate

    world.hub.hooks.add_publish("#", think)
    client = world.client(name="Ada")
    commands = [client.command("publish", channel="a", data=0)]
    for number in range(1, 5):
        commands.append(client.command("publish", channel="a", data=number))
        assert not client.link.paused
    commands.append(client.command("publish", channel="a", data=5))
    assert world.hub.counters.paused == 1
    gate.open()
    world.settle()
    assert not client.link.paused
    assert answered(client)[1:] == commands
    offsets = [client.answer(command)["offset"] for command in commands]
    assert offsets == sorted(offsets)


def test_a_large_batch_behind_a_hook_runs_whole(make_world: Callable[..., World]) -> None:
    # Each lock held and released the session: one drained the backlog inside the other until the stack was full.
    world = make_world()
    gate = Gate()

    async def think(session: Session) -> None:
        await gate

    world.hub.hooks.connect.append(think)
    world.hub.hooks.operation.append(lambda session, resource, operation: None)
    client = world.client()
    client.command("connect", name="Ada")
    locks = [{"type": "lock", "id": 100 + number, "resource": "r", "operation": "o"} for number in range(1_000)]
    client.send(locks)
    gate.open()
    world.settle()
    assert [client.answer(100 + number)["type"] for number in range(1_000)] == ["reply"] * 1_000


def test_nothing_behind_a_closing_command_of_the_same_frame_is_carried_out(make_world: Callable[..., World]) -> None:
    # The subscription of a closed session stayed in the channel for ever.
    world = make_world(authenticator=Tokens())
    client = world.client()
    client.send(
        [
            {"type": "connect", "id": 1, "token": "forged"},
            {"type": "subscribe", "id": 2, "channel": "a"},
            {"type": "publish", "id": 3, "channel": "a", "data": 1},
            {"type": "lock", "id": 4, "resource": "r"},
        ]
    )
    world.settle()
    assert client.link.closed == (Code.INVALID_TOKEN, "invalid token")
    assert world.hub.channels.get("a") is None
    assert world.memory.sequence == 0
    assert len(world.hub.locking.table) == 0


def test_what_comes_after_the_end_is_not_looked_at(make_world: Callable[..., World]) -> None:
    world = make_world()
    client = world.client(name="Ada")
    client.session.close(Code.DISCONNECTED)
    client.session.receive(b'{"type":"publish","id":1,"channel":"a","data":1}', True)
    client.session.close(Code.SHUTDOWN)
    world.settle()
    assert client.link.closed is not None
    assert client.link.closed[0] == Code.DISCONNECTED
    assert world.memory.sequence == 0
    assert world.hub.counters.disconnects == 1


def test_a_frame_of_the_wrong_kind_ends_the_session_with_its_code(make_world: Callable[..., World]) -> None:
    world = make_world()
    client = world.client()
    client.send_raw(b"{}", False)
    assert client.link.closed is not None
    assert client.link.closed[0] == Code.BAD_REQUEST_CLOSE
    assert world.hub.counters.protocol_errors == 1


def test_more_commands_than_the_rate_allows_are_refused_and_may_come_later(make_world: Callable[..., World]) -> None:
    world = make_world(messages_per_s=10.0, messages_burst=3)
    client, other = world.client(), world.client()
    for _ in range(3):
        client.command("ping")
    refused = client.command("ping")
    assert client.answer(refused)["code"] == Code.TOO_MANY_REQUESTS
    assert client.answer(refused)["retry"] is True
    assert client.answer(refused)["detail"]["retry_after_s"] == pytest.approx(0.1)
    assert other.answer(other.command("ping"))["type"] == "pong"
    world.clock.advance(0.1)
    assert client.answer(client.command("ping"))["type"] == "pong"


def test_errors_are_worded_in_the_language_of_the_session(make_world: Callable[..., World]) -> None:
    world = make_world()
    world.client("classic", name="Ada")
    french = world.client("classic", language="fr")
    french.send({"type": "login", "content": "ada"})
    world.settle()
    assert french.received() == [{"type": "error", "content": "Ce nom d'utilisateur est déjà utilisé", "code": 115}]


def test_an_exception_of_ours_is_told_as_100_and_the_session_goes_on(make_world: Callable[..., World]) -> None:
    world = make_world()
    client = world.client(name="Ada")

    def broken(session: Session, command: Any) -> None:
        raise ZeroDivisionError("by zero")

    (cancel,) = client.protocol.receive(b'{"type":"cancel","id":1}', True)
    world.hub.handlers[type(cancel)] = broken
    assert client.code("cancel") == Code.INTERNAL_ERROR
    assert world.take_errors() == ["a command failed: ZeroDivisionError: by zero"]
    assert client.ask("ping")["type"] == "pong"


def test_messages_are_told_to_the_message_hooks_as_text_or_bytes(make_world: Callable[..., World]) -> None:
    world = make_world()
    told: list[Any] = []
    world.hub.hooks.message.append(lambda session, message: told.append(message))
    json, msgpack = world.client(), world.client("msgpack")
    json.send({"type": "ping"})
    msgpack.send({"type": "ping"})
    assert told == ['{"type":"ping"}', b"\x81\xa4type\xa4ping"]


def test_a_dropped_publication_is_told_with_how_many(make_world: Callable[..., World]) -> None:
    world = make_world()
    client = world.client(name="Ada")
    client.session.dropped("a", 3)
    assert client.received()[-1] == {"type": "missed", "channel": "a", "count": 3}
    assert world.hub.counters.dropped == 3


def test_the_limit_of_a_frame_grows_at_the_login_of_classic(make_world: Callable[..., World]) -> None:
    world = make_world()
    client = world.client("classic")
    assert client.link.frame_bytes == Limits().frame_bytes
    client.send({"type": "lock", "resource": "r"})
    world.settle()
    assert client.link.frame_bytes == Limits().frame_bytes
    client.send({"type": "login", "content": "Ada"})
    world.settle()
    assert client.link.frame_bytes == 16 * 1_048_576


def test_last_activity_is_the_time_of_the_last_frame(make_world: Callable[..., World]) -> None:
    world = make_world(authenticator=Tokens(t=Claims(user="ada")))
    client = world.client(token="t")
    world.clock.advance(5)
    client.send({"type": "ping"})
    assert client.session.last_activity == world.clock.now()


# --- Where there is no word for an error -----------------------------------------------------------------------------


def test_ra_4_a_frame_beyond_the_rate_ends_the_connection_of_a_broadcast(make_world: Callable[..., World]) -> None:
    """Of 300 frames 200 went out and nobody was told of the others."""
    world = make_world(messages_per_s=50.0, messages_burst=20)
    sender, reader = world.client("raw"), world.client("raw")
    world.settle()
    sent = 0
    while sender.link.closed is None and not sender.link.paused:
        sender.send_raw(b"%d" % sent, True)
        sent += 1
    world.settle()
    assert sender.link.closed == (Code.INSUFFICIENT_STATE, "too many requests")
    # All but the one that it closed with, and that the peer knows to be lost.
    assert reader.received() == [b"%d" % number for number in range(sent - 1)]
    assert reader.link.closed is None


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(("code", "close"), [(1001, Code.DISCONNECTED), (4555, 4555)])
def test_ra_4_a_frame_that_a_hook_refuses_ends_it(world: World, asynchronous: bool, code: int, close: int) -> None:
    def refuse(session: Session, draft: Any) -> None:
        raise Refused(code, "not today")

    async def refuse_later(session: Session, draft: Any) -> None:
        refuse(session, draft)

    world.hub.hooks.add_publish("broadcast", refuse_later if asynchronous else refuse)
    sender, reader = world.client("raw"), world.client("raw")
    sender.send_raw(b"x", True)
    world.settle()
    assert sender.link.closed == (close, "not today")
    assert reader.received() == []


def test_ra_4_who_may_not_be_there_is_told_by_the_end(make_world: Callable[..., World]) -> None:
    world = make_world(namespaces=[namespace("default", subscribe=Access.NOBODY)])
    assert world.client("raw").link.closed == (Code.DISCONNECTED, "permission denied")
    guarded = make_world(anonymous=False)
    client = guarded.client("raw")
    assert client.link.closed is not None
    assert client.link.closed[0] == Code.INVALID_TOKEN


def test_between_the_commands_of_one_frame_others_have_a_turn(make_world: Callable[..., World]) -> None:
    world = make_world()
    client, other = world.client(name="Ada"), world.client(name="Bob")
    other.command("subscribe", channel="a")
    told: list[int] = []
    world.hub.breathe = lambda: told.append(len([each for each in other.received() if each["type"] == "publication"]))
    client.send([{"type": "publish", "id": number, "channel": "a", "data": number} for number in range(10, 13)])
    world.settle()
    # After the first and the second: behind the last there is nothing that anybody waits for.
    assert len(told) == 2
    client.command("publish", channel="a", data=1)
    assert len(told) == 2


def test_no_look_at_others_lets_a_frame_overtake_one_that_waited_for_a_hook(make_world: Callable[..., World]) -> None:
    world = make_world()
    gate = Gate()

    async def think(session: Session, draft: Draft) -> None:
        await gate

    world.hub.hooks.add_publish("slow", think)
    world.hub.hooks.message.append(lambda session, message: None)
    ada, bob = world.client(name="Ada"), world.client(name="Bob")
    bob.command("subscribe", channel="a")
    world.settle()
    ada.command("publish", channel="slow", data=1)
    ada.send([{"type": "publish", "id": 10 + number, "channel": "a", "data": number} for number in range(3)])
    # The next frame is still in the kernel, where whoever looks finds it.
    later = [[{"type": "publish", "id": 20, "channel": "a", "data": 3}]]
    world.hub.breathe = lambda: ada.send(later.pop()) if later else None
    gate.open()
    world.settle()
    if later:
        ada.send(later.pop())
    world.settle()
    assert [each["data"] for each in bob.received() if each["type"] == "publication"] == [0, 1, 2, 3]
