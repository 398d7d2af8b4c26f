"""The probe of the broker: the whole way, seldom, and never a wrong yes."""

import asyncio
from typing import Any

import pytest

from chappe.api import probe as module
from chappe.api.probe import CHANNEL, Probe
from chappe.hub.contracts import Outcome, ReadResult
from chappe.model.error_codes import Code
from chappe.model.position import Position
from tests.hub.harness import World


class Scripted:
    """A broker that answers as a test says; None: not at all."""

    name = "scripted"
    durable = True
    shared = False

    def __init__(self, outcome: Any, result: Any) -> None:
        self.outcome = outcome
        self.result = result
        self.appended: list[Any] = []

    async def start(self, sink: Any) -> None:
        pass

    def append(self, batch: Any, done: Any) -> None:
        self.appended += batch
        if isinstance(self.outcome, Exception):
            raise self.outcome
        if self.outcome is not None:
            done([self.outcome])

    def read(self, request: Any, done: Any) -> None:
        if self.result is not None:
            done(self.result)


STORED = Outcome(0, Position("e", 5))


def scripted(outcome: Any, result: Any) -> tuple[World, Scripted]:
    broker = Scripted(outcome, result)
    return World(wrap=lambda _: broker), broker  # type: ignore[arg-type, return-value]


async def test_a_broker_that_gives_back_what_it_stored_is_well() -> None:
    assert await Probe(World().hub).problem() == ""


async def test_a_probe_is_as_durable_as_the_broker_and_on_the_hubs_own_channel() -> None:
    world, broker = scripted(STORED, ReadResult(0, Position("e", 5)))
    assert await Probe(world.hub).problem() == ""
    assert broker.appended[0].channel == CHANNEL
    assert broker.appended[0].namespace.level.value == "durable"


@pytest.mark.parametrize(
    ("outcome", "result", "problem"),
    [
        (Outcome(Code.NOT_AVAILABLE, Position("", 0)), None, "does not store"),
        (None, None, "does not answer within 0.01 seconds"),
        (STORED, None, "does not answer within 0.01 seconds"),
        (STORED, ReadResult(Code.NOT_AVAILABLE, Position("", 0)), "does not give back what it stored"),
        (STORED, ReadResult(0, Position("other", 9)), "does not give back what it stored"),
        (STORED, ReadResult(0, Position("e", 4)), "does not give back what it stored"),
        (RuntimeError("secret"), None, "fails"),
    ],
)
async def test_a_broker_in_trouble_is_named(
    outcome: Any, result: Any, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 0.01)
    world, _ = scripted(outcome, result)
    assert await Probe(world.hub).problem() == problem


async def test_many_who_ask_at_once_cost_one_probe() -> None:
    world, broker = scripted(STORED, ReadResult(0, Position("e", 5)))
    probe = Probe(world.hub)
    assert await asyncio.gather(*[probe.problem() for _ in range(20)]) == [""] * 20
    assert len(broker.appended) == 1


async def test_an_old_answer_is_not_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FRESH_S", 0.0)
    world, broker = scripted(STORED, ReadResult(0, Position("e", 5)))
    probe = Probe(world.hub)
    await probe.problem()
    broker.outcome = Outcome(Code.NOT_AVAILABLE, Position("", 0))
    assert await probe.problem() == "does not store"
    broker.outcome = STORED
    assert await probe.problem() == ""
