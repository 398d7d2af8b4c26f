"""Batches: in order, each with its own rights, one failure alone."""

from typing import Any

import pytest

from chappe.hub.contracts import Broker
from chappe.testing.faulty_broker import Faults
from tests.api.rig import Api, Tokens
from tests.hub.harness import World


async def run(api: Api, *commands: Any, credential: str = "") -> list[Any]:
    body = {"commands": list(commands)}
    answer = await (api.post("batch", body, credential) if credential else api.post("batch", body))
    return list(answer["results"])


async def test_results_are_in_the_order_of_the_commands() -> None:
    results = await run(
        Api(),
        {"type": "publish", "channel": "a", "data": 1},
        {"type": "publish", "channel": "a", "data": {"b": [2]}},
        {"type": "history", "channel": "a"},
        {"type": "presence", "channel": "a"},
        {"type": "info"},
    )
    assert [each["data"] for each in results[2]["result"]["publications"]] == [1, {"b": [2]}]
    assert results[3]["result"]["count"] == 0
    assert results[4]["result"]["broker"] == "memory"


async def test_a_command_that_fails_stands_alone() -> None:
    results = await run(
        Api(),
        {"type": "publish", "channel": "a", "data": 1},
        {"type": "publish", "channel": "a"},
        {"type": "nope"},
        {"channel": "a"},
        7,
        [],
        {"type": 7},
        {"type": "batch", "commands": []},
        {"type": "publish", "channel": "a", "data": 1, "x": 1},
        {"type": "publish", "channel": "a", "data": 2},
    )
    assert [each.get("error", {}).get("code") for each in results] == [
        None,
        107,
        104,
        107,
        107,
        107,
        107,
        104,
        107,
        None,
    ]
    assert results[1]["error"]["detail"]["field"] == "data"
    assert results[3]["error"]["detail"]["field"] == "type"
    assert results[8]["error"]["detail"]["field"] == "x"
    assert set(results[2]["error"]) == {"code", "reason", "retry", "detail"}


async def test_each_command_has_its_own_right() -> None:
    commands = [{"type": "publish", "channel": "a", "data": 1}, {"type": "connections"}, {"type": "info"}]
    backend = await run(Api(), *commands, credential="ada:api")
    assert [each.get("error", {}).get("code") for each in backend] == [None, 103, None]
    operator = await run(Api(), *commands, credential="ada:operator")
    assert [each.get("error", {}).get("code") for each in operator] == [103, None, None]


async def test_who_has_no_right_at_all_has_no_batch() -> None:
    refused = await Api().refused("batch", {"commands": []}, "ada:")
    assert refused["code"] == 103


async def test_what_reads_comes_after_what_was_written_before_it() -> None:
    api = Api(World("faulty"))
    commands = [{"type": "publish", "channel": "a", "data": n} for n in range(10)]
    results = await api.while_time_passes(run(api, *commands, {"type": "history", "channel": "a"}))
    assert [each["data"] for each in results[-1]["result"]["publications"]] == list(range(10))


class Counting:
    """Lets through to a broker, and counts what waits at once."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.pending = 0
        self.most = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    def append(self, batch: Any, done: Any) -> None:
        self.pending += 1
        self.most = max(self.most, self.pending)

        def stored(outcomes: Any) -> None:
            self.pending -= 1
            done(outcomes)

        self._broker.append(batch, stored)


async def test_publishes_wait_for_the_broker_together() -> None:
    api = Api(World("faulty", faults=Faults(late=1.0), authenticator=Tokens(), wrap=lambda broker: Counting(broker)))
    await api.while_time_passes(run(api, *[{"type": "publish", "channel": f"c{n}", "data": n} for n in range(20)]))
    assert isinstance(api.world.broker, Counting)
    assert api.world.broker.most == 20


@pytest.mark.parametrize("commands", [None, {}, "x", [{}] * 1_001])
async def test_a_wrong_list_is_refused(commands: Any) -> None:
    refused = await Api().refused("batch", {"commands": commands})
    assert refused["parameters"]["field"] == "commands"
