"""NATS against the naive model of `tests/brokers/test_model.py`; time does not pass, the rest is the same."""

import asyncio
import contextlib
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import initialize

from chappe.brokers.nats.broker import NatsBroker
from chappe.brokers.nats.local import LocalNats
from chappe.hub.contracts import Append, BrokerSink, Outcome, Read, ReadLog, ReadLogResult, ReadResult
from chappe.model.channels import pattern_matches
from chappe.model.position import Position
from chappe.transports.event_loop import LoopClock
from tests.brokers.test_model import BrokerMachine, Entry, Stream

#: How long the feed may take behind the answers, seconds; what comes later is taken for lost.
_FEED_S = 10.0
_Done = Callable[[Any], None]


class _Forgetful:
    """A channel without history may be forgotten at any time here, so older log positions may be incomplete."""

    streams_forgotten = 1


class _OnLoop:
    """Hands the model's calls to a broker on an event loop that runs only while the model waits."""

    name = "nats"
    durable = True
    shared = True

    def __init__(self, loop: asyncio.AbstractEventLoop, broker: NatsBroker) -> None:
        self.loop = loop
        self.broker = broker
        self.pending = 0
        self.idle = asyncio.Event()

    def _call(self, call: Callable[[Any, _Done], None], asked: Any, done: _Done) -> None:
        def answered(result: Any) -> None:
            done(result)
            self._finished(1)

        self.pending += 1
        self.loop.call_soon(call, asked, answered)

    async def start(self, sink: BrokerSink) -> None:
        await self.broker.start(sink)

    async def stop(self) -> None:
        await self.broker.stop()

    def append(self, batch: Sequence[Append], done: Callable[[Sequence[Outcome]], None]) -> None:
        self._call(self.broker.append, batch, done)

    def read(self, request: Read, done: Callable[[ReadResult], None]) -> None:
        self._call(self.broker.read, request, done)

    def read_log(self, request: ReadLog, done: Callable[[ReadLogResult], None]) -> None:
        self._call(self.broker.read_log, request, done)

    def attach(self, channel: str) -> None:
        self.loop.call_soon(self.broker.attach, channel)

    def detach(self, channel: str) -> None:
        self.loop.call_soon(self.broker.detach, channel)

    async def settled(self) -> None:
        """Wait for every answer, and for what the feed brings behind the last."""
        self.idle.clear()
        self._finished(0)
        await asyncio.wait_for(self.idle.wait(), 20)
        await asyncio.sleep(0.01)

    def _finished(self, count: int) -> None:
        self.pending -= count
        if not self.pending:
            self.idle.set()


class NatsMachine(BrokerMachine):
    loop: ClassVar[asyncio.AbstractEventLoop]
    url: ClassVar[str]
    runs: ClassVar[Iterator[int]] = itertools.count()

    @initialize()
    def begin(self) -> None:
        url = f"{self.url}?storage=memory&stream=model-{next(self.runs)}"
        self.memory = _Forgetful()  # type: ignore[assignment]
        self.broker: _OnLoop = _OnLoop(self.loop, NatsBroker(url, LoopClock(), os.urandom))
        self.loop.run_until_complete(self.broker.start(self.sink))

    def teardown(self) -> None:
        self.loop.run_until_complete(self.broker.stop())

    def wait(self, seconds: float) -> None:
        """No rule here: the server's time passes by itself."""

    def settle(self) -> None:
        self.loop.run_until_complete(self.broker.settled())

    def item(self, channel: str, expect: str | None, empty: bool, **options: Any) -> Append:
        if options["transient"]:
            # A key of what is not stored is remembered by the hub it came to, and apart from those of the streams.
            options["key"] = None
        return super().item(channel, expect, empty, **options)

    def compare_feed(self, channel: str, stored: Sequence[Entry]) -> None:
        # The feed comes behind the answers, on a busy machine much later.
        if any(pattern_matches(name, channel) for name in self.attached):
            self.loop.run_until_complete(self._fed(channel, len(stored)))
        super().compare_feed(channel, stored)

    async def _fed(self, channel: str, count: int) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FEED_S):
                while sum(each.channel == channel for each in self.sink.fed) < count:
                    if channel in self.sink.interrupted_channels:
                        return
                    await asyncio.sleep(0.005)

    def compare_read(
        self, stream: Stream, result: ReadResult, since: Position | None, limit: int, reverse: bool
    ) -> None:
        # Backwards, the end of what is kept cannot be told from the beginning of the channel once that is trimmed.
        self.faults = reverse
        super().compare_read(stream, result, since, limit, reverse)
        self.faults = False


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[None]:
    loop = asyncio.new_event_loop()
    local = LocalNats()
    loop.run_until_complete(local.start())
    NatsMachine.loop, NatsMachine.url = loop, local.url
    yield
    loop.run_until_complete(local.stop())
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
class TestNatsBroker(NatsMachine.TestCase):  # type: ignore[misc, valid-type]
    # Shrinking on a real server takes longer than reading the long example.
    settings = settings(stateful_step_count=20, phases=(Phase.explicit, Phase.reuse, Phase.generate))
