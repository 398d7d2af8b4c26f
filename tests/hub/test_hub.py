"""The hub as carriers and backends use it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chappe.hub.contracts import Claims
from chappe.hub.hub import _KNOWN_CHANNELS
from chappe.hub.namespaces import Level
from chappe.hub.permissions import APPLICATION, Actor
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError, ConfigurationError
from chappe.model.member import Member
from chappe.model.publication import Kind
from chappe.protocols import base
from tests.hub.harness import RecordingLink, World, namespace


class Told:
    """Keeps the one answer to a backend."""

    def __init__(self) -> None:
        self.answers: list[tuple[Any, Any]] = []

    def __call__(self, result: Any, error: ChappeError | None) -> None:
        self.answers.append((result, error))

    @property
    def result(self) -> Any:
        assert [error for _, error in self.answers] == [None]
        return self.answers[0][0]

    @property
    def error(self) -> ChappeError:
        assert len(self.answers) == 1
        assert isinstance(self.answers[0][1], ChappeError)
        return self.answers[0][1]


def publish(world: World, channel: str = "a", data: bytes = b"1", actor: Actor = APPLICATION, **fields: Any) -> Told:
    told = Told()
    world.hub.publish(actor, base.Publish(0, channel, data, **fields), told)
    world.settle()
    return told


def test_a_session_speaks_over_another_link_from_the_moment_it_is_given_one(world: World) -> None:
    client, other = world.client(name="Ada"), world.client(name="Blaise")
    client.ask("subscribe", channel="a", presence=True)
    client.ask("subscribe", channel="b/#")
    publish(world, "a", b"1")
    old, new = client.link, RecordingLink(world)
    seen = len(old.frames)
    world.hub.relink(client.session, new)
    publish(world, "a", b"2")
    publish(world, "b/c", b"3")
    other.ask("subscribe", channel="a")
    assert len(old.frames) == seen
    client.link = new
    assert client.data() == [2, 3]
    assert client.kinds()[-1] == "join"
    client.session.lost(1006)
    publish(world, "a", b"4")
    assert client.data() == [2, 3]


def test_a_session_in_background_gets_nothing_ephemeral_over_another_link(world: World) -> None:
    client = world.client(name="Ada")
    client.ask("subscribe", channel="cursor/a")
    client.ask("state", background=True)
    new = RecordingLink(world)
    world.hub.relink(client.session, new)
    publish(world, "cursor/a")
    assert new.frames == []


def test_a_promise_that_the_broker_cannot_keep_is_refused_at_the_start() -> None:
    with pytest.raises(ConfigurationError, match="'default' is durable, but the broker 'memory' keeps nothing on disk"):
        World(namespaces=[namespace("default", level=Level.DURABLE)])


def test_a_backend_publishes_anywhere_and_is_nobody(world: World) -> None:
    world.hub.hooks.add_publish("#", lambda session, draft: pytest.fail("the application does not ask itself"))
    client = world.client(name="Ada")
    client.ask("subscribe", channel="a")
    outcome = publish(world, headers={"h": "v"}).result
    publish(world, "closed/a")
    publication = client.publications()[0]
    assert publication["from"] is None
    assert (publication["offset"], publication["epoch"]) == (outcome.position.offset, outcome.position.epoch)


def test_a_backend_publishes_raw_bytes(world: World) -> None:
    client = world.client("raw")
    world.settle()
    publish(world, "broadcast", b"\xff", kind=Kind.BINARY)
    assert client.received() == [b"\xff"]


def test_a_backends_key_and_expectation_are_kept(world: World) -> None:
    first = publish(world, key="k").result
    assert publish(world, key="k").result.position == first.position
    assert publish(world, expect=first.position).result.position.offset > first.position.offset
    error = publish(world, expect=first.position.offset).error
    assert error.code == Code.CONFLICT
    assert [each["data"] for each in error.detail["publications"]] == [1]


@pytest.mark.parametrize(("channel", "data", "code"), [("a/+", b"1", 107), ("", b"1", 107), ("a", b"1" * 70_000, 113)])
def test_what_a_backend_may_not_publish_is_raised(world: World, channel: str, data: bytes, code: int) -> None:
    with pytest.raises(ChappeError) as caught:
        publish(world, channel, data)
    assert caught.value.code == code


def test_a_broker_that_is_away_is_told_to_a_backend(world: World) -> None:
    world.stop()
    assert publish(world).error.code == Code.NOT_AVAILABLE


def test_a_backend_reads_history_and_members(world: World) -> None:
    client = world.client(name="Ada")
    client.ask("subscribe", channel="a")
    publish(world)
    told = Told()
    world.hub.read_history(APPLICATION, base.History(0, "a"), told)
    world.settle()
    assert [each.payload for each in told.result.publications] == [b"1"]
    found: list[tuple[list[Member], int]] = []
    world.hub.list_members(APPLICATION, "a", lambda *listed: found.append(listed))
    [(members, count)] = found
    assert ([member.name for member in members], count) == (["Ada"], 1)
    with pytest.raises(ChappeError):
        world.hub.list_members(APPLICATION, "live/a", lambda *listed: None)


def test_a_history_of_another_epoch_is_told_to_a_backend(world: World) -> None:
    told = Told()
    world.hub.read_history(APPLICATION, base.History(0, "a", since=base.SincePosition("x", 1)), told)
    world.settle()
    assert told.error.code == Code.UNRECOVERABLE_POSITION


def test_an_operator_disconnects_and_others_may_not(world: World) -> None:
    client = world.client(name="Ada")
    with pytest.raises(ChappeError):
        world.hub.disconnect(Actor(Claims(user="ada")), client.session)
    assert client.session.is_open
    world.hub.disconnect(APPLICATION, client.session)
    assert client.link.closed == (Code.DISCONNECTED, "disconnected by an operator")


@pytest.mark.parametrize("kind", ["json", "msgpack", "classic"])
def test_one_session_is_told_something(world: World, kind: str) -> None:
    client, other = world.client(kind, name="Ada"), world.client(kind, name="Blaise")
    other.take()
    world.hub.send_direct(client.session, {"x": [1]})
    assert client.received()[-1]["data"] == {"x": [1]}
    assert other.take() == []
    client.cut()
    world.hub.send_direct(client.session, 1)


def test_a_shutdown_asks_everybody_to_come_back(world: World) -> None:
    clients = [world.client(kind, name=kind) for kind in ("json", "msgpack", "classic")]
    world.hub.shutdown(list(world.hub.sessions.values()), "back in 3 s")
    assert [client.link.closed for client in clients] == [(Code.SHUTDOWN, "back in 3 s")] * 3
    assert world.hub.sessions == {}


def test_a_session_that_ended_leaves_nothing_behind(world: World) -> None:
    quiet = world.clock.pending
    for kind in ("json", "msgpack", "classic"):
        client = world.client(kind, name="Ada")
        if kind != "classic":
            client.ask("subscribe", channel="a", presence=True)
            client.ask("subscribe", channel="a/#")
        client.send({"type": "lock", "id": 90, "resource": "r"})
        client.cut()
    world.clock.advance(200)
    hub = world.hub
    assert (hub.sessions, len(hub.names), len(hub.channels), len(hub.locking.table)) == ({}, 0, 0, 0)
    assert len(hub.resumption) == 0
    assert world.clock.pending == quiet


def test_who_connects_and_leaves_is_logged_with_the_code(world: World) -> None:
    client = world.client(name="Ada", address="192.0.2.1")
    client.cut(1001)
    lines = [line for level, line in world.log if level == "INFO"]
    assert lines == [
        f"session {client.session.id} connects from 192.0.2.1",
        f"session {client.session.id} is Ada from 192.0.2.1",
        f"session {client.session.id} (Ada) ends with 1001",
    ]


def test_names_of_channels_are_checked_once_and_not_remembered_without_end(world: World) -> None:
    world.hub.check_known_channel("a")
    assert "a" in world.hub._known_channels
    world.hub._known_channels.update(map(str, range(_KNOWN_CHANNELS)))
    world.hub.check_known_channel("b")
    assert world.hub._known_channels == {"b"}
    with pytest.raises(ChappeError):
        world.hub.check_known_channel("a/+")


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"no JSON", 107),
        (b"[]x", 107),
        (b"5", 107),
        (b'{"type":"publish","id":1}', 107),
        (b'{"type":"publish","id":1,"channel":5,"data":1}', 107),
        (b'{"type":"publish","id":"x","channel":"a","data":1}', 107),
        (b'{"type":"nonsense","id":1}', 104),
        (b'{"id":1}', 107),
        (b'{"type":"subscribe","id":1,"channel":"a\\u0000"}', 107),
        (b'{"type":"publish","id":1,"channel":"a","data":' + b"[" * 100 + b"]" * 100 + b"}", 107),
        (b'{"type":"publish","id":1,"channel":"a","data":"' + b"x" * 70_000 + b'"}', 113),
    ],
)
def test_bad_input_gets_a_coded_answer_and_others_notice_nothing(
    make_world: Callable[..., World], frame: bytes, code: int
) -> None:
    world = make_world()
    client, other = world.client(name="Ada"), world.client(name="Blaise")
    other.ask("subscribe", channel="a")
    client.take()
    client.send_raw(frame, True)
    world.settle()
    told = client.take()
    assert [each["code"] for each in told] == [code]
    assert client.ask("publish", channel="a", data="fine")["type"] == "reply"
    assert other.data() == ["fine"]
