"""The probe notices at once what no broker may do."""

import random
from collections.abc import Sequence

import pytest

from chappe.brokers.memory import MemoryBroker
from chappe.hub.contracts import Append, Outcome
from chappe.hub.namespaces import Namespace
from chappe.model.position import Position
from chappe.model.publication import Kind, Publication
from chappe.testing.broker_probe import ContractBroken, Pending, Probe
from chappe.testing.fake_clock import FakeClock

LIVE = Namespace(name="live")
ITEM = Append("a", b"1", Kind.JSON, 0, LIVE)


async def probe() -> Probe:
    clock = FakeClock()
    broker = MemoryBroker(clock, random.Random(1).randbytes)
    made = Probe(broker, clock.sleep, 0.1)
    await broker.start(made)
    return made


def test_outcomes_may_not_come_twice_nor_be_too_few() -> None:
    pending = Pending([ITEM])
    with pytest.raises(ContractBroken, match="0 outcomes came for 1 appends"):
        pending.done([])
    pending.done([Outcome(0, Position("x", 1))])
    with pytest.raises(ContractBroken, match="came twice"):
        pending.done([Outcome(0, Position("x", 1))])


async def test_a_publication_may_not_come_before_its_outcome_nor_as_a_retained_one() -> None:
    made = await probe()
    early = Publication("a", b"1", Kind.JSON, 1, "x", 0)
    with pytest.raises(ContractBroken, match="before its outcome"):
        made.published([early])
    made.told.add(("a", "x", 2))
    with pytest.raises(ContractBroken, match="as retained"):
        made.published([Publication("a", b"1", Kind.JSON, 2, "x", 0, retained=True)])
    with pytest.raises(ContractBroken, match="empty batch"):
        made.published([])


async def test_waiting_ends_with_what_did_not_come() -> None:
    made = await probe()
    with pytest.raises(ContractBroken, match=r"the sun did not come within 0\.1 s"):
        await made.until(lambda: False, "the sun")


async def test_it_keeps_the_feed_and_tells_who_listens() -> None:
    made = await probe()
    heard: list[Sequence[Publication]] = []
    made.on_published = heard.append
    made.broker.attach("a")
    (position,) = await made.store(ITEM)
    (publication,) = await made.fed("a", 1)
    assert publication.position == position
    assert heard == [[publication]]
    made.interrupted(None)
    assert made.interruptions == [None]
