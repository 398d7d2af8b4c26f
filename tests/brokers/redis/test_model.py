"""The broker on real servers against the naive model that every broker is compared with."""

import asyncio
import os
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import Phase, settings

from chappe.brokers.redis.address import parse
from chappe.brokers.redis.broker import RedisBroker
from chappe.hub.contracts import Broker, Read
from tests.brokers.redis.engines import PROGRAMS, Engine, engine
from tests.brokers.test_model import NAMESPACES, BrokerMachine

#: Nothing is made smaller: that takes minutes with a server.
_EXAMPLES = settings(
    stateful_step_count=20, max_examples=15, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate]
)


class RedisMachine(BrokerMachine):
    """Steps on the clock of the server, which nobody can turn: nothing gets old."""

    server: Engine
    prefixes = iter(range(1 << 30))

    def make(self, seed: int) -> Broker:
        self.loop = asyncio.new_event_loop()
        return RedisBroker(parse(f"{self.server.url}?prefix=m{next(self.prefixes)}"), os.urandom)

    def finish(self, work: Coroutine[Any, Any, None]) -> None:
        self.loop.run_until_complete(work)

    def teardown(self) -> None:
        super().teardown()
        self.loop.close()

    def settle(self) -> None:
        self.loop.run_until_complete(self._all_answered())

    async def _all_answered(self) -> None:
        # What was asked leaves with this turn of the loop; the answer to a read comes behind it. A read of the log asks
        # again when it knows the names.
        for _ in range(2):
            await asyncio.sleep(0)
            answered = asyncio.Event()
            self.broker.read(Read("barrier", NAMESPACES["live"]), lambda _, answered=answered: answered.set())  # type: ignore[misc]
            await answered.wait()
        await asyncio.sleep(0)

    def has_forgotten(self) -> bool:
        return False

    def wait(self, seconds: float) -> None:
        raise NotImplementedError("the clock of the server cannot be turned")


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", PROGRAMS)
def test_it_does_what_the_model_does(name: str) -> None:
    with engine(name) as server:
        machine: Any = type("Machine", (RedisMachine,), {"server": server})
        case = machine.TestCase
        case.settings = _EXAMPLES
        case("runTest").runTest()
