"""The engine of several hubs in one process."""

from random import Random

import pytest

from chappe.hub.contracts import Append, Outcome
from chappe.hub.namespaces import Level, Namespace
from chappe.model.error_codes import Code
from chappe.model.publication import Kind, Publication
from chappe.testing.broker_contract import check_broker
from chappe.testing.fake_clock import FakeClock
from chappe.testing.shared_memory import NodeBroker, SharedMemory

KEPT = Namespace(name="default", level=Level.RECOVERABLE, history_count=10, history_age_s=60.0)


class Sink:
    def __init__(self) -> None:
        self.fed: list[Publication] = []
        self.interruptions = 0

    def published(self, batch: list[Publication]) -> None:
        self.fed += batch

    def interrupted(self, channels: object) -> None:
        self.interruptions += 1


async def started(engine: SharedMemory) -> tuple[NodeBroker, Sink]:
    broker, sink = engine.broker(), Sink()
    await broker.start(sink)  # type: ignore[arg-type]
    return broker, sink


def publish(broker: NodeBroker, payload: bytes = b"1") -> list[Outcome]:
    outcomes: list[Outcome] = []
    broker.append([Append("a", payload, Kind.JSON, 0, KEPT)], outcomes.extend)
    return outcomes


@pytest.mark.slow
async def test_each_nodes_way_keeps_the_contract_of_brokers() -> None:
    clock = FakeClock()

    async def make() -> NodeBroker:
        return SharedMemory(clock, Random(1).randbytes).broker()

    await check_broker(make, sleep=clock.sleep, minutes_pass=True)


async def test_a_publication_of_one_node_is_fed_to_each_node_that_asked() -> None:
    clock = FakeClock()
    engine = SharedMemory(clock, Random(1).randbytes)
    (first, told), (second, also), (_, not_asked) = [await started(engine) for _ in range(3)]
    first.attach("a")
    second.attach("#")
    outcomes = publish(first)
    clock.advance(1)
    assert [outcome.error for outcome in outcomes] == [0]
    assert [len(sink.fed) for sink in (told, also, not_asked)] == [1, 1, 0]


async def test_a_cut_node_gets_errors_and_no_feed_and_is_told_when_it_is_back() -> None:
    clock = FakeClock()
    engine = SharedMemory(clock, Random(1).randbytes)
    (first, told), (second, _) = [await started(engine) for _ in range(2)]
    first.attach("a")
    first.cut()
    refused = publish(first)
    publish(second)
    clock.advance(1)
    assert [outcome.error for outcome in refused] == [Code.NOT_AVAILABLE]
    assert told.fed == []
    first.restore()
    publish(second)
    clock.advance(1)
    assert (told.interruptions, len(told.fed)) == (1, 1)
