"""Calls of the application's methods by a backend."""

import asyncio
from typing import Any

import pytest

from chappe.model.errors import ChappeError
from tests.api.rig import Api


async def test_a_method_is_called_without_a_session() -> None:
    api = Api()
    seen: list[Any] = []

    def add(session: Any, a: int, b: int) -> int:
        seen.append(session)
        return a + b

    api.hub.hooks.rpc["add"] = add
    assert await api.post("rpc", {"method": "add", "params": {"a": 1, "b": 2}}) == {"result": 3}
    assert await api.post("rpc", {"method": "add", "params": [3, 4]}) == {"result": 7}
    assert seen == [None, None]


async def test_a_slow_method_is_waited_for() -> None:
    api = Api()

    async def slow(session: Any) -> None:
        await api.world.sleep(1.0)

    api.hub.hooks.rpc["slow"] = slow
    answer = await api.while_time_passes(api.post("rpc", {"method": "slow"}))
    assert answer == {"result": None}


async def test_an_error_of_the_application_keeps_its_code() -> None:
    api = Api()

    def refuse(session: Any) -> None:
        raise ChappeError(1042, "no stock left", detail={"left": 0, "kind": ChappeError})

    api.hub.hooks.rpc["buy"] = refuse
    refused = await api.refused("rpc", {"method": "buy"})
    assert (refused["status"], refused["code"], refused["detail"]) == (422, 1042, "no stock left")
    assert refused["parameters"]["left"] == 0


async def test_anything_else_it_raises_stays_inside() -> None:
    api = Api()

    def fail(session: Any) -> None:
        raise RuntimeError("secret")

    api.hub.hooks.rpc["fail"] = fail
    refused = await api.refused("rpc", {"method": "fail"})
    assert (refused["status"], refused["code"]) == (500, 100)
    assert "secret" not in str(refused)
    assert api.world.errors.pop().endswith("RuntimeError: secret")


async def test_a_result_that_is_no_json_is_our_fault() -> None:
    api = Api()
    api.hub.hooks.rpc["odd"] = lambda session: asyncio.sleep
    refused = await api.refused("rpc", {"method": "odd"})
    assert refused["code"] == 100
    assert "cannot be encoded" in api.world.errors.pop()


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"method": "nope"}, 104, "method"),
        ({"method": ""}, 107, "method"),
        ({"params": 7}, 107, "params"),
        ({"params": [1, 2, 3]}, 107, "params"),
        ({"params": {"c": 1}}, 107, "params"),
        ({"args": []}, 107, "args"),
    ],
)
async def test_a_wrong_call_is_named(fields: dict[str, Any], code: int, field: str) -> None:
    api = Api()

    def add(session: Any, a: int, b: int) -> int:
        return a + b

    api.hub.hooks.rpc["add"] = add
    refused = await api.refused("rpc", {"method": "add"} | fields)
    assert (refused["code"], refused["parameters"]["field"]) == (code, field)


async def test_params_that_are_too_deep_or_too_wide_are_refused() -> None:
    api = Api()
    deep: Any = 1
    for _ in range(33):
        deep = [deep]
    for params in (deep, {str(n): n for n in range(1_001)}):
        refused = await api.refused("rpc", {"method": "add", "params": params})
        assert refused["parameters"]["field"] in ("params", "body")
