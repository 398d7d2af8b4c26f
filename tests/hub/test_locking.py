"""Locks of sessions: granted, waited for, leased, released with their session, and answered as each protocol says."""

from __future__ import annotations

from typing import Any

import pytest

from chappe.hub.session import Session
from chappe.model.error_codes import Code
from chappe.model.errors import Refused
from tests.hub.harness import Gate, World


@pytest.mark.parametrize("kind", ["json", "msgpack"])
def test_a_lock_is_granted_once_with_a_token_and_its_end(world: World, kind: str) -> None:
    ada, blaise = world.client(kind, name="Ada"), world.client(kind, name="Blaise")
    grant = ada.ask("lock", resource="doc", ttl=30)
    assert grant["owner"] == ada.session.id
    assert grant["expires"].endswith("Z")
    denied = blaise.ask("lock", resource="doc")
    assert (denied["code"], denied["detail"]) == (118, {"resource": "doc", "owner": ada.session.id})
    assert ada.ask("lock", resource="doc", ttl=0)["token"] == grant["token"]
    assert ada.ask("lock", resource="doc", ttl=0)["expires"] is None
    assert ada.ask("unlock", resource="doc")["type"] == "reply"
    assert blaise.ask("lock", resource="doc")["token"] > grant["token"]


def test_only_the_holder_unlocks(world: World) -> None:
    ada, blaise = world.client(name="Ada"), world.client(name="Blaise")
    assert ada.ask("unlock", resource="doc")["detail"] == {"resource": "doc", "owner": ""}
    ada.ask("lock", resource="doc")
    assert blaise.ask("unlock", resource="doc")["detail"]["owner"] == ada.session.id


def test_who_waits_is_answered_later_and_its_other_commands_go_on(world: World) -> None:
    ada, blaise = world.client(name="Ada"), world.client(name="Blaise")
    ada.ask("lock", resource="doc")
    waiting = blaise.command("lock", resource="doc", wait=20)
    assert blaise.ask("ping")["type"] == "pong"
    assert blaise.answers(waiting) == []
    ada.ask("unlock", resource="doc")
    assert blaise.answer(waiting)["owner"] == blaise.session.id


def test_a_wait_in_vain_ends_in_time_with_118(world: World) -> None:
    ada, blaise = world.client(name="Ada"), world.client(name="Blaise")
    ada.ask("lock", resource="doc", ttl=0)
    waiting = blaise.command("lock", resource="doc", wait=5)
    world.clock.advance(4.9)
    assert blaise.answers(waiting) == []
    world.clock.advance(0.2)
    assert blaise.answer(waiting)["code"] == Code.LOCKED_BY_ANOTHER


def test_a_lease_that_is_over_goes_to_who_waits(world: World) -> None:
    ada, blaise = world.client(name="Ada"), world.client(name="Blaise")
    ada.ask("lock", resource="doc", ttl=5)
    waiting = blaise.command("lock", resource="doc", wait=20)
    world.clock.advance(5.1)
    assert blaise.answer(waiting)["owner"] == blaise.session.id
    assert ada.code("unlock", resource="doc") == Code.LOCKED_BY_ANOTHER


def test_locks_and_places_in_line_are_free_when_a_session_ends(world: World) -> None:
    ada, blaise, cyd = (world.client(name=name) for name in ("Ada", "Blaise", "Cyd"))
    for resource in ("one", "two"):
        ada.ask("lock", resource=resource, ttl=0)
    blaise.command("lock", resource="one", wait=20)
    waiting = cyd.command("lock", resource="one", wait=20)
    blaise.cut()
    ada.cut()
    assert cyd.answer(waiting)["owner"] == cyd.session.id
    assert cyd.ask("lock", resource="two")["type"] == "reply"
    cyd.cut()
    world.settle()
    assert len(world.hub.locking.table) == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [("resource", ""), ("resource", "x" * 256), ("ttl", -1), ("ttl", 3_601), ("wait", -0.1), ("wait", 1e9)],
)
def test_what_is_out_of_range_is_refused_and_named(world: World, field: str, value: Any) -> None:
    answer = world.client(name="Ada").ask("lock", **{"resource": "doc", field: value})
    assert (answer["code"], answer["detail"]["field"]) == (Code.BAD_REQUEST, field)


def test_a_session_that_wants_too_many_locks_is_stopped_and_others_are_not(world: World) -> None:
    ada, blaise = world.client(name="Ada"), world.client(name="Blaise")
    commands = [ada.command("lock", resource=f"r{number}") for number in range(130)]
    codes = [ada.answer(command).get("code") for command in commands]
    assert codes == [None] * 128 + [Code.LIMIT_EXCEEDED] * 2
    assert blaise.ask("lock", resource="mine")["type"] == "reply"


def test_locks_in_classic(world: World) -> None:
    ada, blaise = world.client("classic", name="Ada"), world.client("classic")
    ada.take()
    lock, unlock = {"type": "lock", "resource": "doc"}, {"type": "unlock", "resource": "doc"}
    ada.send(lock, lock)
    blaise.send(lock, unlock, {"type": "lock_owner", "resource": "doc"})
    ada.send(unlock)
    blaise.send({"type": "lock_owner", "resource": "doc"})
    world.settle()
    result = {"type": "lock_result", "resource": "doc"}
    acquired, released = result | {"status": "acquired"}, result | {"status": "released"}
    denied, owner = result | {"status": "denied", "owner": ada.session.id}, ada.session.id
    assert ada.take() == [acquired, acquired, released]
    assert blaise.take() == [denied, denied, result | {"owner": owner}, result | {"owner": ""}]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_operation_is_carried_out_under_its_lock(world: World, asynchronous: bool) -> None:
    gate, seen = Gate(), list[tuple[str, str, str]]()

    def operate(session: Session, resource: str, operation: str) -> None:
        holder = world.hub.locking.table.holder(resource, world.clock.now())
        seen.append((holder.owner if holder else "", resource, operation))

    async def operate_later(session: Session, resource: str, operation: str) -> None:
        await gate
        operate(session, resource, operation)

    world.hub.hooks.operation.append(operate_later if asynchronous else operate)
    ada = world.client("classic", name="Ada")
    ada.take()
    ada.send({"type": "lock", "resource": "doc", "operation": "print"}, {"type": "ping"})
    if asynchronous:
        world.settle()
        assert ada.take() == []
        gate.open()
    world.settle()
    assert ada.take() == [
        {"type": "lock_result", "resource": "doc", "status": "acquired", "operation": "completed"},
        {"type": "pong"},
    ]
    assert seen == [(ada.session.id, "doc", "print")]


def test_an_operation_that_is_refused_gives_the_lock_back(world: World) -> None:
    def refuse(session: Session, resource: str, operation: str) -> None:
        raise Refused(1001, "out of paper")

    world.hub.hooks.operation.append(refuse)
    ada = world.client(name="Ada")
    assert ada.code("lock", resource="doc", operation="print") == 1001
    assert len(world.hub.locking.table) == 0


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_operation_that_fails_hands_the_lock_to_the_next_in_line(world: World, asynchronous: bool) -> None:
    """The line was forgotten: the next one held the lock, was never told so, and its lease never ended."""
    gate, seen = Gate(), list[str]()

    def operate(session: Session, resource: str, operation: str) -> None:
        seen.append(session.name)
        if session.name == "Ada":
            raise Refused(1001, "out of paper")

    async def operate_later(session: Session, resource: str, operation: str) -> None:
        await gate
        operate(session, resource, operation)

    ada, blaise, cyd = (world.client(name=name) for name in ("Ada", "Blaise", "Cyd"))
    cyd.ask("lock", resource="doc", ttl=0)
    world.hub.hooks.operation.append(operate_later if asynchronous else operate)
    first = ada.command("lock", resource="doc", wait=60, operation="print")
    second = blaise.command("lock", resource="doc", ttl=5, wait=60, operation="print")
    third = cyd.command("unlock", resource="doc")
    gate.open()
    world.clock.advance(0.5)
    assert cyd.answer(third)["type"] == "reply"
    assert ada.answer(first)["code"] == 1001
    assert blaise.answer(second)["owner"] == blaise.session.id
    assert seen == ["Ada", "Blaise"]
    world.clock.advance(6)
    assert len(world.hub.locking.table) == 0


def test_an_operation_that_fails_after_its_lease_takes_nothing_from_the_next(world: World) -> None:
    gate = Gate()

    async def operate(session: Session, resource: str, operation: str) -> None:
        await gate

    world.hub.hooks.operation.append(operate)
    ada, blaise = world.client(name="Ada"), world.client(name="Blaise")
    ada.command("lock", resource="doc", ttl=1, operation="print")
    world.clock.advance(2)
    blaise.ask("lock", resource="doc", ttl=0)
    gate.fail(Refused(1001, "out of paper"))
    world.settle()
    holder = world.hub.locking.table.holder("doc", world.clock.now())
    assert holder is not None
    assert holder.owner == blaise.session.id


def test_without_an_operation_hook_the_lock_is_all_there_is(world: World) -> None:
    ada = world.client("classic", name="Ada")
    ada.send({"type": "lock", "resource": "doc", "operation": "print"})
    assert ada.received()[-1] == {"type": "lock_result", "resource": "doc", "status": "acquired"}


def test_fencing_tokens_grow_over_a_restart(world: World) -> None:
    before = world.client(name="Ada").ask("lock", resource="doc")["token"]
    world.clock.advance(1)
    after = World(clock=world.clock).client(name="Ada").ask("lock", resource="doc")["token"]
    assert after > before
