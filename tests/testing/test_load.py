"""A load publishes and follows over cuts, and its verdict tells what was lost without a word."""

import pytest

from chappe.hub.namespaces import Namespace
from chappe.testing.checker.findings import Kind
from chappe.testing.checker.journal import Ack, Seen, Settled, Subscribed
from chappe.testing.fault_proxy import FaultProxy
from chappe.testing.load import Load
from chappe.testing.running import running_hub

pytestmark = pytest.mark.slow
LIVE = [Namespace(name="live")]


async def test_a_load_on_a_healthy_hub_is_clean_and_everybody_saw_everything() -> None:
    async with running_hub() as hub, Load([hub.ws_url], channels=("a", "b"), followers=2, publishers=2) as load:
        await load.goes_on(20)
        judged = await load.finish()
    assert judged.clean
    assert judged.acknowledged >= 20
    assert judged.seen == 2 * judged.acknowledged
    assert sum(isinstance(event, Settled) for event in load.events) == len(load.followers) == 4


async def test_a_load_goes_on_over_cuts() -> None:
    async with (
        running_hub() as hub,
        FaultProxy("127.0.0.1", hub.port) as proxy,
        Load([f"ws://127.0.0.1:{proxy.port}/ws"], channels=("a",), followers=2, publishers=1) as load,
    ):
        for _ in range(3):
            await load.goes_on()
            proxy.reset()
        await load.goes_on()
        judged = await load.finish()
    assert judged.clean, "\n".join(map(str, judged.findings[:10]))
    assert judged.recovered >= 6


async def test_a_gap_that_is_told_is_no_loss_and_one_that_is_hidden_is() -> None:
    async with running_hub() as hub, Load([hub.ws_url], channels=("a",), followers=1, publishers=1) as load:
        await load.goes_on(10)
        assert (await load.finish()).clean
        taken = next(event for event in load.events if isinstance(event, Seen))
        load.events.remove(taken)
        judged = await load.finish()
    assert not judged.clean
    assert {finding.kind for finding in judged.findings} == {Kind.LOST}


async def test_followers_of_several_hubs_write_down_where_they_began() -> None:
    async with (
        running_hub() as one,
        running_hub() as other,
        Load([one.ws_url, other.ws_url], channels=("a",), followers=2, publishers=2) as load,
    ):
        epochs = {event.epoch for event in load.events if isinstance(event, Subscribed)}
        await load.goes_on()
    # Two hubs that share nothing are not one.
    assert len(epochs) == 2
    assert {event.epoch for event in load.events if isinstance(event, Ack)} == epochs
