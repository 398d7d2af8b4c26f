"""Methods of the application are called with what the caller sent, and every way they can go wrong is told."""

from __future__ import annotations

from typing import Any

import pytest

from chappe.hub.permissions import APPLICATION
from chappe.hub.session import Session
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError, Refused
from tests.hub.harness import Gate, World


def add(session: Session, a: int, b: int) -> int:
    return a + b


@pytest.mark.parametrize("kind", ["json", "msgpack"])
@pytest.mark.parametrize("params", [{"a": 1, "b": 2}, [1, 2]])
def test_parameters_come_by_name_or_by_place(world: World, kind: str, params: Any) -> None:
    world.hub.hooks.rpc["add"] = add
    client = world.client(kind, name="Ada")
    assert client.ask("rpc", method="add", params=params)["result"] == 3


def test_a_method_without_parameters_gets_the_session_alone(world: World) -> None:
    world.hub.hooks.rpc["who"] = lambda session: session.name
    assert world.client(name="Ada").ask("rpc", method="who")["result"] == "Ada"


def test_a_coroutine_answers_when_it_is_done_and_later_calls_need_not_wait(world: World) -> None:
    gate = Gate()

    async def slow(session: Session) -> str:
        return str(await gate)

    world.hub.hooks.rpc |= {"slow": slow, "add": add}
    client = world.client(name="Ada")
    call = client.command("rpc", method="slow")
    assert client.ask("rpc", method="add", params=[1, 2])["result"] == 3
    assert client.answers(call) == []
    gate.open("done")
    world.settle()
    assert client.answer(call)["result"] == "done"


@pytest.mark.parametrize("params", [[1], [1, 2, 3], {"a": 1}, {"a": 1, "c": 2}, {"session": 1, "a": 1, "b": 2}])
def test_arguments_that_do_not_fit_are_the_callers_fault(world: World, params: Any) -> None:
    world.hub.hooks.rpc["add"] = add
    answer = world.client(name="Ada").ask("rpc", method="add", params=params)
    assert answer["code"] == Code.BAD_REQUEST
    assert answer["detail"]["field"] == "params"


@pytest.mark.parametrize("params", [1, "text", True])
def test_parameters_that_are_neither_object_nor_array_are_refused(world: World, params: Any) -> None:
    world.hub.hooks.rpc["add"] = add
    assert world.client(name="Ada").code("rpc", method="add", params=params) == Code.BAD_REQUEST


def test_an_unknown_method_is_104_and_named(world: World) -> None:
    answer = world.client(name="Ada").ask("rpc", method="x" * 1_000)
    assert answer["code"] == Code.UNKNOWN_COMMAND
    assert answer["detail"]["type"] == "x" * 64


def test_what_a_method_refuses_reaches_the_caller_as_it_is(world: World) -> None:
    def refuse(session: Session) -> None:
        raise Refused(1001, "not on sundays")

    world.hub.hooks.rpc["refuse"] = refuse
    answer = world.client(name="Ada").ask("rpc", method="refuse")
    assert (answer["code"], answer["reason"]) == (1001, "not on sundays")


@pytest.mark.parametrize("asynchronous", [False, True])
def test_any_other_exception_is_told_as_100_and_logged(world: World, asynchronous: bool) -> None:
    def fails(session: Session) -> None:
        raise KeyError("secret")

    async def fails_later(session: Session) -> None:
        raise KeyError("secret")

    world.hub.hooks.rpc["fails"] = fails_later if asynchronous else fails
    answer = world.client(name="Ada").ask("rpc", method="fails")
    assert answer["code"] == Code.INTERNAL_ERROR
    assert "secret" not in str(answer)
    assert world.take_errors() == ["a hook failed: KeyError: 'secret'"]
    assert world.hub.counters.hook_errors == 1


def test_a_type_error_inside_a_method_is_not_the_callers_fault(world: World) -> None:
    def confused(session: Session) -> int:
        return len(3)  # type: ignore[arg-type]

    world.hub.hooks.rpc["confused"] = confused
    assert world.client(name="Ada").code("rpc", method="confused") == Code.INTERNAL_ERROR
    assert len(world.take_errors()) == 1


@pytest.mark.parametrize("kind", ["json", "msgpack"])
def test_a_result_that_cannot_be_encoded_is_told_as_100(world: World, kind: str) -> None:
    world.hub.hooks.rpc["odd"] = lambda session: object()
    assert world.client(kind, name="Ada").code("rpc", method="odd") == Code.INTERNAL_ERROR
    assert world.take_errors()[0].startswith("a result cannot be encoded: TypeError")


def test_streams_and_cancel_come_later_and_say_so(world: World) -> None:
    world.hub.hooks.rpc["add"] = add
    client = world.client(name="Ada")
    assert client.code("rpc", method="add", params=[1, 2], stream=True) == Code.NOT_AVAILABLE
    assert client.code("cancel") == Code.NOT_AVAILABLE


def test_a_caller_that_is_gone_gets_nothing_and_nothing_breaks(world: World) -> None:
    gate = Gate()

    async def slow(session: Session) -> None:
        await gate

    world.hub.hooks.rpc["slow"] = slow
    client = world.client(name="Ada")
    client.command("rpc", method="slow")
    world.settle()
    client.cut()
    gate.open()
    world.settle()
    assert client.kinds() == ["reply"]


def test_a_backend_calls_without_a_session(world: World) -> None:
    world.hub.hooks.rpc |= {"who": lambda session, name: f"{name} by {session}", "add": add}
    told: list[Any] = []
    world.hub.calling.call(APPLICATION, "who", {"name": "ada"}, lambda *answer: told.append(answer))
    world.hub.calling.call(APPLICATION, "add", [1], lambda *answer: told.append(answer))
    assert told[0] == ("ada by None", None)
    assert isinstance(told[1][1], ChappeError)
    assert told[1][1].code == Code.BAD_REQUEST
    with pytest.raises(ChappeError):
        world.hub.calling.call(APPLICATION, "nobody", None, lambda *answer: None)


def test_a_service_is_not_available_yet_and_the_answer_names_the_request(world: World) -> None:
    client = world.client("classic", name="Ada")
    client.take()
    client.send({"service": "billing", "action": "quote", "requestId": "r1"}, {"service": 1, "action": "quote"})
    world.settle()
    first, second = client.take()
    assert (first["code"], first["requestId"]) == (Code.SERVICE_NOT_AVAILABLE, "r1")
    assert second["code"] == Code.BAD_SERVICE_REQUEST
