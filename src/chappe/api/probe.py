"""Proof that the broker stores and gives back: a publication through it, read again."""

import asyncio
from typing import Any, Final

from chappe.api.waiting import Waiting, settled
from chappe.hub.contracts import Append, Read
from chappe.hub.hub import HubCore
from chappe.hub.namespaces import Level, Namespace
from chappe.hub.permissions import APPLICATION, Action
from chappe.model.errors import ChappeError
from chappe.model.publication import Kind

#: The hub's own channel for probes; nobody else may read it.
CHANNEL: Final = "$hub/probe"
#: An answer is told again for so long, so that asking often does not cost the broker more.
FRESH_S: Final = 1.0
#: How long a broker may take: load balancers ask with a timeout of a few seconds.
TIMEOUT_S: Final = 2.0


class Probe:
    """Asks the broker, at most once a second, however many want to know."""

    def __init__(self, hub: HubCore) -> None:
        """Take the hub; the probe is as durable as its broker can be, so that it goes the whole way."""
        self._hub = hub
        level = Level.DURABLE if hub.broker.durable else Level.RECOVERABLE
        self._namespace = Namespace(name="$hub", level=level, history_count=1, history_age_s=60.0)
        self._asking = asyncio.Lock()
        self._asked_at = float("-inf")
        self._problem = ""

    async def problem(self) -> str:
        """Return what is wrong with the broker; empty: it stored a publication and gave it back."""
        async with self._asking:
            now = asyncio.get_running_loop().time()
            if now - self._asked_at >= FRESH_S:
                self._problem = await self._ask()
                self._asked_at = asyncio.get_running_loop().time()
            return self._problem

    async def _ask(self) -> str:
        hub = self._hub
        hub.permissions.authorize(APPLICATION, Action.INSPECT, CHANNEL)
        stored: Waiting[Any] = Waiting()
        found: Waiting[Any] = Waiting()
        entry = Append(CHANNEL, b"1", Kind.JSON, hub.clock.wall_ms(), self._namespace)
        try:
            hub.broker.append((entry,), lambda outcomes: stored.take(_same)(outcomes[0], None))
            outcome = await settled(stored, TIMEOUT_S)
            if outcome.error:
                return "does not store"
            hub.broker.read(Read(CHANNEL, self._namespace, None, 1), lambda result: found.take(_same)(result, None))
            result = await settled(found, TIMEOUT_S)
        except ChappeError:
            return f"does not answer within {TIMEOUT_S:g} seconds"
        except Exception as error:
            hub.report(error, "the broker failed a probe")
            return "fails"
        # Another node may have published meanwhile: what counts is that ours is not beyond what can be read.
        if result.error or result.position.epoch != outcome.position.epoch:
            return "does not give back what it stored"
        return "" if result.position.offset >= outcome.position.offset else "does not give back what it stored"


def _same(answer: Any) -> Any:
    return answer
