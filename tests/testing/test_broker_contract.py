"""The broker checks pass for a good broker and find bad ones."""

from collections.abc import Callable, Sequence

import pytest

from chappe.brokers.memory import MemoryBroker
from chappe.hub.contracts import Append, Broker, Outcome, Read, ReadResult
from chappe.model.position import Position
from chappe.model.publication import Publication
from chappe.testing.broker_contract import check_broker
from chappe.testing.broker_probe import ContractBroken
from chappe.testing.fake_clock import FakeClock

Done = Callable[[Sequence[Outcome]], None]


class Forgetful(MemoryBroker):
    """Never answers an append of two."""

    def append(self, batch: Sequence[Append], done: Done) -> None:
        if len(batch) != 2:
            super().append(batch, done)


class Twice(MemoryBroker):
    """Answers twice."""

    def append(self, batch: Sequence[Append], done: Done) -> None:
        super().append(batch, done)
        super().append((), lambda _: done([Outcome(0, Position("x", 1))] * len(batch)))


class Liar(MemoryBroker):
    """Calls every read complete."""

    def read(self, request: Read, done: Callable[[ReadResult], None]) -> None:
        super().read(
            request,
            lambda result: done(ReadResult(result.error, result.position, result.publications, True, result.retained)),
        )


class FeedFirst(MemoryBroker):
    """Feeds before it answers."""

    def append(self, batch: Sequence[Append], done: Done) -> None:
        kept: list[Sequence[Outcome]] = []
        super().append(batch, kept.append)
        done(kept[0])


class Doubler(MemoryBroker):
    """Feeds everything twice."""

    def _answer_and_feed(self, done: Done, outcomes: list[Outcome], fed: list[Publication]) -> None:
        super()._answer_and_feed(done, outcomes, fed + fed)


class Blind(MemoryBroker):
    """Does not look at `expect`."""

    def append(self, batch: Sequence[Append], done: Done) -> None:
        super().append([Append(a.channel, a.payload, a.kind, a.time_ms, a.namespace) for a in batch], done)


class Chatty(MemoryBroker):
    """Interrupts without a reason."""

    def attach(self, channel: str) -> None:
        super().attach(channel)
        if self._sink is not None:
            self._sink.interrupted(None)


async def check(broker: type[MemoryBroker]) -> None:
    clock = FakeClock()
    seed = iter(range(1, 1_000_000))

    async def factory() -> Broker:
        return broker(clock, lambda count: next(seed).to_bytes(count, "big"))

    await check_broker(factory, sleep=clock.sleep, patience_s=1.0, minutes_pass=True)


async def test_the_memory_broker_passes() -> None:
    await check(MemoryBroker)


@pytest.mark.parametrize(
    ("broker", "complaint"),
    [
        (Forgetful, "did not come within"),
        (Twice, "came twice"),
        (Liar, "complete"),
        (FeedFirst, "before its outcome"),
        (Doubler, "the feed of"),
        (Blind, "expect|sender|key"),
        (Chatty, "interrupted without a fault"),
    ],
)
async def test_a_broken_broker_is_found(broker: type[MemoryBroker], complaint: str) -> None:
    with pytest.raises(ContractBroken, match=complaint):
        await check(broker)
