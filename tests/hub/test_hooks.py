"""Hooks run in the order in which they were added, one after the other, and the first that raises decides."""

from __future__ import annotations

from typing import Any

import pytest

from chappe.hub.hooks import Draft, Hooks
from chappe.hub.session import Session
from chappe.model.error_codes import Code
from chappe.model.errors import Refused
from chappe.model.publication import Kind
from tests.hub.harness import Gate, World


def test_the_data_of_a_draft_is_its_payload_as_a_value() -> None:
    assert Draft("a", b'{"x":1}', Kind.JSON, None, None).data == {"x": 1}
    assert Draft("a", "é".encode(), Kind.TEXT, None, None).data == "é"
    assert Draft("a", b"\xff", Kind.BINARY, None, None).data == b"\xff"


def test_setting_the_data_of_a_draft_sets_payload_and_kind() -> None:
    draft = Draft("a", b"1", Kind.TEXT, None, None)
    draft.data = {"x": [1]}
    assert (draft.payload, draft.kind) == (b'{"x":[1]}', Kind.JSON)
    draft.data = b"\x00"
    assert (draft.payload, draft.kind) == (b"\x00", Kind.BINARY)


def test_hooks_concern_the_channels_that_match_their_pattern() -> None:
    hooks = Hooks(lambda *_: None)
    every, one = (lambda *_: None), (lambda *_: None)
    hooks.add_subscribe("#", every)
    hooks.add_subscribe("chat/+", one)
    assert hooks.for_subscribe("chat/a") == [every, one]
    assert hooks.for_subscribe("chat/+") == [every, one]
    assert hooks.for_subscribe("news") == [every]
    assert hooks.for_publish("chat/a") == ()


def test_several_hooks_run_one_after_the_other_and_stop_at_the_first_refusal(world: World) -> None:
    ran: list[str] = []
    gate = Gate()

    async def first(session: Session, draft: Draft) -> None:
        ran.append("first")
        await gate
        draft.data = "changed"

    def second(session: Session, draft: Draft) -> None:
        ran.append(f"second sees {draft.data}")
        raise Refused(1001, "no")

    for hook in (first, second, lambda session, draft: ran.append("third")):
        world.hub.hooks.add_publish("#", hook)
    client = world.client(name="Ada")
    command = client.command("publish", channel="a", data="said")
    world.settle()
    assert ran == ["first"]
    gate.open()
    world.settle()
    assert ran == ["first", "second sees changed"]
    assert client.answer(command)["code"] == 1001
    assert world.memory.sequence == 0


def test_a_hook_changes_what_is_stored(world: World) -> None:
    def moderate(session: Session, draft: Draft) -> None:
        draft.data = {"clean": draft.data}

    world.hub.hooks.add_publish("a/#", moderate)
    client = world.client(name="Ada")
    client.ask("subscribe", channel="a/b")
    client.ask("subscribe", channel="b")
    client.ask("publish", channel="a/b", data=1)
    client.ask("publish", channel="b", data=2)
    assert client.data() == [{"clean": 1}, 2]


def test_a_hook_that_makes_a_publication_too_large_gets_it_refused(world: World) -> None:
    def swell(session: Session, draft: Draft) -> None:
        draft.data = "x" * 70_000

    world.hub.hooks.add_publish("#", swell)
    assert world.client(name="Ada").code("publish", channel="a", data=1) == Code.MESSAGE_TOO_LARGE


@pytest.mark.parametrize("what", ["publish", "subscribe"])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_unforeseen_exception_refuses_with_100_and_is_logged(world: World, what: str, asynchronous: bool) -> None:
    told: list[BaseException] = []

    def fails(*_: Any) -> None:
        raise ZeroDivisionError("by zero")

    async def fails_later(*_: Any) -> None:
        raise ZeroDivisionError("by zero")

    add = world.hub.hooks.add_publish if what == "publish" else world.hub.hooks.add_subscribe
    add("#", fails_later if asynchronous else fails)
    world.hub.hooks.error.append(told.append)
    client = world.client(name="Ada")
    assert client.code(what, channel="a", **({"data": 1} if what == "publish" else {})) == Code.INTERNAL_ERROR
    assert world.take_errors() == ["a hook failed: ZeroDivisionError: by zero"]
    assert [type(error) for error in told] == [ZeroDivisionError]
    assert client.ask("ping")["type"] == "pong"


def test_an_error_hook_that_fails_itself_is_logged_and_ends_there(world: World) -> None:
    def fails(*_: Any) -> None:
        raise ZeroDivisionError("by zero")

    world.hub.hooks.error.append(fails)
    world.hub.hooks.disconnect.append(fails)
    world.hub.report(KeyError("x"), "something")
    world.client(name="Ada").cut()
    assert [line.partition(":")[0] for line in world.take_errors()] == ["something", "a hook failed", "a hook failed"]


def test_a_subscription_waits_for_its_hook_and_may_be_refused(world: World) -> None:
    gate = Gate()

    async def ask(session: Session, channel: str) -> None:
        await gate
        if channel.endswith("secret"):
            raise Refused(Code.PERMISSION_DENIED, "members only")

    world.hub.hooks.add_subscribe("asked/#", ask)
    client = world.client(name="Ada")
    secret = client.command("subscribe", channel="asked/secret")
    public = client.command("subscribe", channel="asked/public")
    world.settle()
    assert client.answers(public) == []
    gate.open()
    world.settle()
    assert client.answer(secret)["reason"] == "members only"
    assert client.answer(public)["type"] == "reply"
    assert list(client.session.subscriptions) == ["asked/public"]


def test_a_client_that_is_cut_while_its_hook_thinks_is_not_subscribed(world: World) -> None:
    gate = Gate()

    async def ask(session: Session, channel: str) -> None:
        await gate

    world.hub.hooks.add_subscribe("#", ask)
    client = world.client(name="Ada")
    client.command("subscribe", channel="a")
    world.settle()
    client.cut()
    gate.open()
    world.settle()
    assert len(world.hub.channels) == 0


def test_a_namespace_that_asks_a_hook_refuses_where_there_is_none(world: World) -> None:
    client = world.client(name="Ada")
    assert client.code("subscribe", channel="asked/a") == Code.PERMISSION_DENIED
    assert client.code("publish", channel="asked/a", data=1) == Code.PERMISSION_DENIED
    world.hub.hooks.add_subscribe("asked/#", lambda session, channel: None)
    world.hub.hooks.add_publish("asked/#", lambda session, draft: None)
    client.ask("subscribe", channel="asked/a")
    client.ask("publish", channel="asked/a", data=1)
    assert client.data() == [1]


def test_disconnect_hooks_hear_of_every_end_with_its_code(world: World) -> None:
    ended: list[tuple[str, int]] = []
    world.hub.hooks.disconnect.append(lambda session, code: ended.append((session.name, code)))
    world.client(name="Ada").cut(1001)
    world.client(name="Blaise").session.close(Code.SHUTDOWN)
    world.settle()
    assert ended == [("Ada", 1001), ("Blaise", Code.SHUTDOWN)]


@pytest.mark.parametrize("refused", [False, True])
def test_disconnect_hooks_hear_nothing_of_who_never_came_in(world: World, refused: bool) -> None:
    ended: list[int] = []
    world.hub.hooks.disconnect.append(lambda session, code: ended.append(code))

    def refuse(session: Session) -> None:
        raise Refused(4_001, "members only")

    world.hub.hooks.connect.append(refuse)
    client = world.client()
    if refused:
        client.ask("connect", name="Ada")
        assert client.link.closed is not None
    else:
        client.cut()
    world.settle()
    assert ended == []
