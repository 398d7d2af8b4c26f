"""Nothing reaches the broker, a presence list or a lock before `authorize` agreed: every command, every backend method.

A command or method that this file does not know fails it: whoever adds one says here how it is asked.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any

import pytest

from chappe.hub import channels
from chappe.hub.contracts import Broker, Claims
from chappe.hub.hub import HubCore
from chappe.hub.locks import LockTable
from chappe.hub.permissions import Action, Actor, Permissions
from chappe.hub.presence import ChannelPresence
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.model.publication import Kind
from chappe.protocols import base
from tests.hub.harness import Client, SpyBroker, World

CHANNEL = "a"
#: What gives something up, or tells only the hub itself when to look again.
HARMLESS_CALLS = {"detach", "release_all", "next_deadline", "expire", "remove"}

#: How each command is asked; None: it reaches nothing that needs a right.
COMMANDS: dict[type, Any] = {
    base.Connect: None,
    base.Login: None,  # enters a room by `Subscribe`
    base.Subscribe: base.Subscribe(1, CHANNEL, since=1, presence=True),
    base.Follow: base.Follow(1, CHANNEL, since=base.SincePosition("e", 1)),
    base.Unsubscribe: None,
    base.Publish: base.Publish(1, CHANNEL, b"1"),
    base.History: base.History(1, CHANNEL),
    base.Presence: base.Presence(1, CHANNEL),
    base.ListNames: base.ListNames(CHANNEL),
    base.Lock: base.Lock(1, "r"),
    base.Unlock: base.Unlock(1, "r"),
    base.LockOwner: base.LockOwner("r"),
    base.Rpc: base.Rpc(1, "add"),
    base.Cancel: None,
    base.ServiceRequest: base.ServiceRequest("s", "a"),
    base.Refresh: None,
    base.State: None,
    base.Ping: None,
    base.PongReceived: None,
    base.Leave: None,
    base.Rejected: None,
}
#: What is a `Publish` by the time it is carried out.
RESOLVED = {base.Say, base.Relay}
ASKING = [command for command in COMMANDS.values() if command is not None] + [
    base.Subscribe(1, "a/#"),
    base.Publish(1, CHANNEL, b"1", kind=Kind.BINARY, transient=True),
    base.Publish(1, CHANNEL, b"1", expect=7),
    base.Publish(1, CHANNEL, b"1", retain=True),
    base.Lock(1, "r", wait=1.0),
]

#: Methods for backends, each with an actor.
BACKEND: dict[str, Callable[[HubCore, Actor], object]] = {
    "publish": lambda hub, actor: hub.publish(actor, base.Publish(0, CHANNEL, b"1", expect=7), lambda *_: None),
    "read_history": lambda hub, actor: hub.read_history(actor, base.History(0, CHANNEL), lambda *_: None),
    "list_members": lambda hub, actor: hub.list_members(actor, CHANNEL, lambda *_: None),
    "disconnect": lambda hub, actor: hub.disconnect(actor, next(iter(hub.sessions.values()))),
    "calling.call": lambda hub, actor: hub.calling.call(actor, "add", None, lambda *_: None),
}
#: Methods without an actor: they are called by the hub's own parts, by carriers, or reach only what they are given.
WITHOUT_ACTOR = {
    "as_refusal",
    "as_rpc_error",
    "check_known_channel",
    "find_sessions",
    "forget",
    "members_of",
    "new_handle",
    "open",
    "relink",
    "reroute",
    "report",
    "revoke_here",
    "send_direct",
    "shutdown",
    "stored_as",
    "tell",
    "too_fast",
}


class Watch:
    """Notes in one list who was asked for a right and what was reached."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, str]] = []

    @property
    def reached(self) -> list[str]:
        return [what for step, what in self.steps if step == "reach"]

    def reach(self, what: str) -> None:
        if what.rpartition(".")[2] not in HARMLESS_CALLS:
            self.steps.append(("reach", what))

    def clear(self) -> None:
        self.steps.clear()


class WatchedPermissions(Permissions):
    watch: Watch

    def authorize(self, actor: Actor, action: Action, channel: str) -> None:
        super().authorize(actor, action, channel)
        self.watch.steps.append(("authorize", action.value))


def watched(kind: type, watch: Watch) -> type:
    """Return a kind of presence list or lock table whose every public use is noted."""

    def noted(name: str, method: Any) -> Any:
        def call(self: object, *args: Any, **kwargs: Any) -> Any:
            watch.reach(f"{kind.__name__}.{name}")
            return method(self, *args, **kwargs)

        return call

    methods = {
        name: noted(name, method)
        for name, method in vars(kind).items()
        if inspect.isfunction(method) and not name.startswith("_")
    }
    return type(f"Watched{kind.__name__}", (kind,), {"__slots__": (), **methods})


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def guarded(make_world: Callable[..., World], watch: Watch, monkeypatch: pytest.MonkeyPatch) -> World:
    """Make a hub in which every way to the broker, to presence and to locks is watched."""

    def wrap(broker: Broker) -> Broker:
        spy = SpyBroker(broker)
        spy.on_call = lambda call, channel: watch.reach(f"broker.{call}")
        return spy

    monkeypatch.setattr(channels, "ChannelPresence", watched(ChannelPresence, watch))
    world = make_world(wrap=wrap)
    world.hub.locking.table = watched(LockTable, watch)(first_token=1)
    permissions = WatchedPermissions(world.namespaces, True)
    permissions.watch = watch
    world.hub.permissions = permissions
    world.hub.hooks.rpc["add"] = lambda session: watch.reach("rpc.add")
    return world


def prepared(world: World, watch: Watch) -> Client:
    """Return an open session beside one that is in the channel and has something published."""
    other = world.client(name="Blaise")
    other.ask("subscribe", channel=CHANNEL, presence=True)
    other.ask("publish", channel=CHANNEL, data=1)
    client = world.client(name="Ada")
    watch.clear()
    return client


def test_every_command_is_known_here() -> None:
    assert set(COMMANDS) | RESOLVED == set(typing.get_args(base.Command))


def test_every_handler_of_the_hub_is_for_a_command_known_here(world: World) -> None:
    assert set(world.hub.handlers) == set(COMMANDS)


@pytest.mark.parametrize("command", ASKING, ids=lambda command: type(command).__name__)
def test_a_command_reaches_nothing_before_it_is_authorized(guarded: World, watch: Watch, command: Any) -> None:
    client = prepared(guarded, watch)
    client.session.execute(command)
    guarded.settle()
    assert watch.steps, "the example reaches what it is an example of"
    assert watch.steps[0][0] == "authorize", watch.steps


@pytest.mark.parametrize("command", ASKING, ids=lambda command: type(command).__name__)
def test_a_command_without_the_right_reaches_nothing(guarded: World, watch: Watch, command: Any) -> None:
    client = prepared(guarded, watch)
    guarded.hub.permissions.anonymous = False
    client.session.actor = Actor(Claims())
    client.session.execute(command)
    guarded.settle()
    assert client.received()[-1]["code"] == Code.PERMISSION_DENIED
    assert watch.reached == []


@pytest.mark.parametrize("command", [kind for kind, command in COMMANDS.items() if command is None])
def test_a_command_that_asks_for_no_right_reaches_nothing(guarded: World, watch: Watch, command: type) -> None:
    examples: dict[type, Any] = {
        base.Connect: base.Connect(1),
        base.Login: base.Login("Cyd", CHANNEL),
        base.Unsubscribe: base.Unsubscribe(1, "elsewhere"),
        base.Cancel: base.Cancel(1),
        base.Refresh: base.Refresh(1, "token"),
        base.State: base.State(1, True),
        base.Ping: base.Ping(1),
        base.PongReceived: base.PongReceived(),
        base.Leave: base.Leave(1),
        base.Rejected: base.Rejected(1, ChappeError(Code.BAD_REQUEST)),
    }
    prepared(guarded, watch)
    client = guarded.client()
    watch.clear()
    client.session.execute(examples[command])
    guarded.settle()
    if command is base.Login:
        assert watch.steps[0] == ("authorize", "subscribe")
    else:
        assert watch.reached == []


def test_every_method_of_the_hub_is_known_here(world: World) -> None:
    public = {
        name: inspect.signature(method).parameters
        for name, method in inspect.getmembers(HubCore, inspect.isfunction)
        if not name.startswith("_")
    }
    with_actor = {name for name, parameters in public.items() if "actor" in parameters}
    for part, value in vars(world.hub).items():
        if type(value).__module__.startswith("chappe.hub.") and not isinstance(value, Permissions):
            for name, method in inspect.getmembers(type(value), inspect.isfunction):
                if not name.startswith("_") and "actor" in inspect.signature(method).parameters:
                    with_actor.add(f"{part}.{name}")
    assert with_actor == set(BACKEND)
    assert set(public) - with_actor == WITHOUT_ACTOR


@pytest.mark.parametrize("name", BACKEND)
def test_a_backend_reaches_nothing_before_it_is_authorized(guarded: World, watch: Watch, name: str) -> None:
    prepared(guarded, watch)
    actor = Actor(Claims(scopes=frozenset({"api"})), trusted=True)
    BACKEND[name](guarded.hub, actor)
    guarded.settle()
    assert watch.steps[0][0] == "authorize", watch.steps


@pytest.mark.parametrize("name", BACKEND)
def test_a_backend_without_the_right_reaches_nothing(guarded: World, watch: Watch, name: str) -> None:
    prepared(guarded, watch)
    with pytest.raises(ChappeError) as caught:
        BACKEND[name](guarded.hub, Actor(Claims(), trusted=True))
    assert caught.value.code == Code.PERMISSION_DENIED
    assert watch.reached == []
    assert all(session.is_open for session in guarded.hub.sessions.values())


def test_the_watch_sees_what_it_must(guarded: World, watch: Watch) -> None:
    client = prepared(guarded, watch)
    for command in (base.Publish(1, CHANNEL, b"1"), base.ListNames(CHANNEL), base.Lock(1, "r"), base.Rpc(1, "add")):
        client.session.execute(command)
    guarded.settle()
    assert {"broker.append", "ChannelPresence.names", "LockTable.acquire", "rpc.add"} <= set(watch.reached)
