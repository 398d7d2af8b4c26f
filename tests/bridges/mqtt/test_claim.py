"""Who carries a bridge: one at a time, and the next one knows how far it came."""

import asyncio
import os

import pytest

from chappe.app import Hub
from chappe.bridges.mqtt import claim as module
from chappe.bridges.mqtt.claim import LEASE_S, Claim
from chappe.hub.contracts import Append, Outcome
from chappe.model.error_codes import Code
from chappe.model.position import Position
from chappe.model.publication import Kind
from chappe.testing.shared_memory import SharedMemory
from chappe.transports.event_loop import LoopClock


async def nodes() -> tuple[Hub, Hub]:
    memory = SharedMemory(LoopClock(), os.urandom)
    hubs = Hub(dev=True, broker=memory.broker()), Hub(dev=True, broker=memory.broker())
    for hub in hubs:
        await hub.start()
    return hubs


async def test_one_of_two_nodes_gets_it_and_the_other_when_it_is_given_back() -> None:
    one, other = await nodes()
    first, second = Claim(one.core, "home", ""), Claim(other.core, "home", "")
    assert await first.take()
    assert not await second.take()
    assert second.carrier == first.carrier == one.core.node
    assert await first.keep({"a": "e:1"})
    await first.give_back({"a": "e:2"})
    assert await second.take()
    assert second.record is not None
    assert first.record is not None
    assert second.record.places == {"a": "e:2"}
    assert second.record.client_id == first.record.client_id
    # Who lost it neither renews it nor changes the places.
    assert not await first.keep({"a": "e:9"})
    await first.give_back({"a": "e:9"})
    assert await second.keep({"a": "e:3"})
    for hub in (one, other):
        await hub.stop()


async def test_a_lease_that_is_over_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = await nodes()
    first, second = Claim(one.core, "home", ""), Claim(other.core, "home", "")
    assert await first.take()
    monkeypatch.setattr(module, "LEASE_S", 0.0)
    assert await first.keep({})
    assert first.is_over
    assert await second.take()
    assert not await first.keep({})
    for hub in (one, other):
        await hub.stop()


async def test_a_broker_of_one_process_has_no_other_carrier() -> None:
    hub = Hub(dev=True)
    await hub.start()
    former = Claim(hub.core, "home", "")
    assert await former.take()
    assert not former.survives
    assert former.record is not None
    hub.core.node = "after a restart"
    claim = Claim(hub.core, "home", "chosen")
    assert await claim.take()
    assert claim.record is not None
    assert claim.record.client_id == "chosen"
    await hub.stop()


async def test_a_broker_that_does_not_answer_loses_the_claim_only_with_the_lease(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = Hub(dev=True)
    await hub.start()
    claim = Claim(hub.core, "home", "")
    assert await claim.take()
    broker = hub.core.broker
    refused = [Outcome(Code.NOT_AVAILABLE, Position("", 0))]
    monkeypatch.setattr(broker, "append", lambda batch, done: done(refused))
    assert await claim.keep({"a": "e:1"})
    assert not await Claim(hub.core, "other", "").take()
    monkeypatch.setattr(module, "_ANSWER_S", 0.0)
    monkeypatch.setattr(broker, "read", lambda request, done: None)
    assert await claim.keep({"a": "e:1"})
    assert not await Claim(hub.core, "other", "").take()
    now = hub.core.clock.now()
    monkeypatch.setattr(hub.core.clock, "now", lambda: now + LEASE_S)
    assert claim.is_over
    monkeypatch.undo()
    await asyncio.sleep(0)
    await hub.stop()


async def test_a_record_of_somebody_else_counts_as_none() -> None:
    hub = Hub(dev=True)
    await hub.start()
    claim = Claim(hub.core, "home", "")
    assert await claim.take()
    entry = Append(claim._channel, b"not ours", Kind.TEXT, 0, claim._namespace)
    hub.core.broker.append([entry], lambda outcomes: None)
    assert await claim._look()
    assert claim.record is None
    await hub.stop()
