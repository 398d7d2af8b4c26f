"""Every limit of a hub, crossed: its own code, the session goes on (or ends as said), and nobody else notices.

A limit that is not named here fails the first test: whoever adds one says where it is crossed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chappe.hub.session import Session
from chappe.model.error_codes import Code
from chappe.model.limits import Limits
from tests.hub.harness import Client, Gate, World

#: Limits that carriers keep: their tests are in tests/transports.
OF_CARRIERS = {
    "address_connects_burst",
    "address_connects_per_s",
    "connects_burst",
    "connects_per_s",
    "loop_lag_s",
    "memory_bytes",
    "unauthenticated_connections",
    "unauthenticated_per_address",
    "connections_per_address",
    "message_fragments",
    "frame_bytes",
    "handshake_timeout_s",
    "message_timeout_s",
    "idle_timeout_s",
    "background_idle_s",
    "pong_timeout_s",
    "send_queue_bytes",
    "send_queue_messages",
    "sse_heartbeat_s",
}


def publish(client: Client, data: Any = 1, channel: str = "a") -> Any:
    return client.ask("publish", channel=channel, data=data)


def nested(depth: int) -> Any:
    return [nested(depth - 1)] if depth else 1


def fill(world: World, count: int) -> None:
    for number in range(count):
        world.append("a", number)


def message_bytes(world: World, client: Client) -> Any:
    return publish(client, "x" * 300)


def channels_per_client(world: World, client: Client) -> Any:
    for number in range(2):
        client.ask("subscribe", channel=f"c{number}")
    return client.ask("subscribe", channel="c2")


def messages(world: World, client: Client) -> Any:
    for _ in range(5):
        client.command("ping")
    answer = client.answer(client.command("ping"))
    world.clock.advance(60)
    return answer


def channel_bytes(world: World, client: Client) -> Any:
    return client.ask("subscribe", channel="x" * 21)


def json_depth(world: World, client: Client) -> Any:
    return publish(client, nested(6))


def json_keys(world: World, client: Client) -> Any:
    return publish(client, {str(number): 1 for number in range(20)})


def history_page(world: World, client: Client) -> Any:
    return client.ask("history", channel="a", limit=11)


def batch_commands(world: World, client: Client) -> Any:
    client.take()
    client.send([{"type": "ping", "id": number} for number in range(11)])
    world.settle()
    (answer,) = client.take()
    return answer


def calls_in_flight(world: World, client: Client) -> Any:
    gate = Gate()
    world.hub.hooks.rpc["wait"] = lambda session: gate
    for _ in range(3):
        client.command("rpc", method="wait")
    answer = client.answer(client.command("rpc", method="wait"))
    gate.open()
    world.settle()
    return answer


CROSSED: list[tuple[dict[str, Any], Callable[[World, Client], Any], Code]] = [
    ({"message_bytes": 250}, message_bytes, Code.MESSAGE_TOO_LARGE),
    ({"channels_per_client": 2}, channels_per_client, Code.LIMIT_EXCEEDED),
    ({"messages_per_s": 0.5, "messages_burst": 5}, messages, Code.TOO_MANY_REQUESTS),
    ({"channel_bytes": 20}, channel_bytes, Code.BAD_REQUEST),
    ({"json_depth": 5}, json_depth, Code.BAD_REQUEST),
    ({"json_keys": 10}, json_keys, Code.BAD_REQUEST),
    ({"history_page": 10}, history_page, Code.BAD_REQUEST),
    ({"batch_commands": 10}, batch_commands, Code.BAD_REQUEST),
    ({"calls_in_flight": 3}, calls_in_flight, Code.LIMIT_EXCEEDED),
]
#: Limits that are no error of anybody, or several sessions' together; the tests below and those named cross them.
QUIET = {
    "address_messages_burst",  # test_quotas
    "address_messages_per_s",  # test_quotas
    "user_messages_burst",  # test_quotas
    "user_messages_per_s",  # test_quotas
    "history_page_bytes",  # test_reading
    "hook_queue_frames",
    "name_probe_s",  # test_connecting
    "ping_interval_s",
    "presence_members",  # test_rooms
    "recovery_bytes",  # test_subscribing
    "recovery_cache_bytes",  # test_recovery
    "recovery_publications",
    "relay_bytes",
    "resume_window_s",  # test_connecting
}


def test_every_limit_is_crossed_somewhere() -> None:
    named = {name for limits, _, _ in CROSSED for name in limits} | QUIET | OF_CARRIERS
    assert set(Limits.__struct_fields__) == named


@pytest.mark.parametrize(("limits", "cross", "code"), CROSSED, ids=[",".join(limits) for limits, _, _ in CROSSED])
@pytest.mark.parametrize("kind", ["json", "msgpack"])
def test_a_limit_that_is_crossed_is_told_with_its_code_and_hurts_nobody(
    make_world: Callable[..., World], kind: str, limits: dict[str, Any], cross: Callable[..., Any], code: Code
) -> None:
    world = make_world(**limits)
    other, client = world.client(name="Blaise"), world.client(kind, name="Ada")
    other.ask("subscribe", channel="a")
    world.clock.advance(60)
    answer = cross(world, client)
    assert answer["type"] == "error"
    assert answer["code"] == code
    assert client.link.closed is None
    assert publish(client, "after")["type"] == "reply"
    assert publish(other, "beside")["type"] == "reply"
    assert other.data() == ["after", "beside"]


def test_just_within_the_limits_everything_is_taken(make_world: Callable[..., World]) -> None:
    world = make_world(json_depth=5, json_keys=10, channel_bytes=20, channels_per_client=2, history_page=10)
    client = world.client(name="Ada")
    for answer in (
        publish(client, nested(4)),
        publish(client, {str(number): 1 for number in range(4)}),
        client.ask("subscribe", channel="x" * 20),
        client.ask("subscribe", channel="y"),
        client.ask("history", channel="a", limit=10),
    ):
        assert answer["type"] == "reply", answer


def test_a_gap_longer_than_the_limit_is_not_recovered(make_world: Callable[..., World]) -> None:
    world = make_world(recovery_publications=3)
    client = world.client(name="Ada")
    place = client.ask("subscribe", channel="a")
    client.ask("unsubscribe", channel="a")
    fill(world, 3)
    position = {"epoch": place["epoch"], "offset": place["offset"]}
    assert client.ask("subscribe", channel="a", since=position)["recovered"] is True
    client.ask("unsubscribe", channel="a")
    fill(world, 1)
    assert client.ask("subscribe", channel="a", since=position)["recovered"] is False


def test_a_slow_hook_of_one_session_stops_only_its_reading(make_world: Callable[..., World]) -> None:
    world = make_world(hook_queue_frames=2)
    gate = Gate()

    async def think(session: Session, draft: object) -> None:
        if session.name == "Ada":
            await gate

    world.hub.hooks.add_publish("#", think)
    ada, blaise = world.client(name="Ada"), world.client(name="Blaise")
    for number in range(4):
        ada.command("publish", channel="a", data=number)
    assert ada.link.paused
    assert publish(blaise)["type"] == "reply"
    assert not blaise.link.paused
    gate.open()
    world.settle()
    assert not ada.link.paused


def test_relayed_files_are_bounded_by_what_waits_in_all(make_world: Callable[..., World]) -> None:
    world = make_world(relay_bytes=200_000)
    ada, blaise = world.client("classic", name="Ada"), world.client("classic", name="Blaise")
    ada.send(b"\xff" * 100_000)
    world.settle()
    assert blaise.received()[-1] == b"\xff" * 100_000
    blaise.link.queued_bytes = 150_000
    ada.send(b"\xff" * 100_000)
    world.settle()
    assert ada.received()[-1]["code"] == Code.TOO_MANY_REQUESTS
    assert world.hub.counters.relays_refused == 1
    assert ada.link.closed is None


def test_cl_7_3_a_relayed_file_counts_once_for_each_of_its_readers(make_world: Callable[..., World]) -> None:
    """One file to a full room passed the limit of all readers together many times over."""
    world = make_world(relay_bytes=300_000)
    ada = world.client("classic", name="Ada")
    readers = [world.client("classic", name=f"r{number}") for number in range(2)]
    by_pattern = world.client()
    by_pattern.ask("subscribe", channel="chat/#")
    ada.send(b"\xff" * 100_000)
    world.settle()
    assert all(reader.received()[-1] == b"\xff" * 100_000 for reader in readers)
    readers.append(world.client("classic", name="Blaise"))
    ada.send(b"\xff" * 100_000)
    world.settle()
    assert ada.received()[-1]["code"] == Code.TOO_MANY_REQUESTS
    assert world.hub.counters.relays_refused == 1
    assert readers[-1].received()[-1]["type"] == "userlist"


def test_the_ping_interval_is_told_to_clients(make_world: Callable[..., World]) -> None:
    assert make_world(ping_interval_s=7.0).client().ask("connect")["ping"] == 7.0
