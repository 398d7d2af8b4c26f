"""Hubs and engines are killed under load again and again; the offline checker judges what everybody saw.

`make faults PARTS=...` does the same 200 and 100 times.
"""

import pytest

from chappe.testing.checker.journal import Ack, Subscribed
from tests.programmes.kills import kill_engine, kill_hub, missed

HUB_KILLS = 3
ENGINE_KILLS = 2
FOLLOWERS = 6


@pytest.mark.slow
@pytest.mark.timeout(90)
async def test_no_kill_of_the_hub_leaves_a_silent_gap() -> None:
    judged, _ = await kill_hub("memory", HUB_KILLS)
    assert judged.clean, "\n".join(map(str, [judged, *judged.findings[:10]]))
    # Each subscription was made again after every kill that it noticed.
    assert judged.subscriptions >= FOLLOWERS * (1 + HUB_KILLS // 2)


@pytest.mark.slow
@pytest.mark.timeout(90)
@pytest.mark.parametrize("level", ["recoverable", "durable"])
async def test_on_a_file_every_kill_is_recovered_from(level: str) -> None:
    await demand_recovery(f"sqlite-{level}", HUB_KILLS)


@pytest.mark.slow
@pytest.mark.timeout(90)
@pytest.mark.parametrize("engine", ["redis", "nats"])
async def test_on_an_engine_every_kill_of_the_hub_is_recovered_from(engine: str) -> None:
    await demand_recovery(engine, ENGINE_KILLS)


async def demand_recovery(broker: str, kills: int) -> None:
    judged, events = await kill_hub(broker, kills)
    assert judged.clean, "\n".join(map(str, [judged, *judged.findings[:10]]))
    again = [event for event in events if isinstance(event, Subscribed) and event.since is not None]
    assert len(again) >= FOLLOWERS * (kills // 2)
    assert all(event.recovered for event in again), "somebody who came back was not given everything"
    acknowledged = [event for event in events if isinstance(event, Ack)]
    assert len({(event.channel, event.epoch) for event in acknowledged}) == 2
    assert missed(events) == 0


@pytest.mark.slow
@pytest.mark.timeout(90)
@pytest.mark.parametrize("name", ["redis-memory", "valkey-memory"])
async def test_no_kill_of_an_engine_without_a_disk_leaves_a_silent_gap(name: str) -> None:
    judged, _ = await kill_engine(name, ENGINE_KILLS)
    assert judged.clean, "\n".join(map(str, [judged, *judged.findings[:10]]))
    assert judged.acknowledged > 100


@pytest.mark.slow
@pytest.mark.timeout(90)
@pytest.mark.parametrize("name", ["redis", "valkey", "nats"])
async def test_no_kill_of_an_engine_loses_what_it_had_on_disk(name: str) -> None:
    judged, events = await kill_engine(name, ENGINE_KILLS)
    assert judged.clean, "\n".join(map(str, [judged, *judged.findings[:10]]))
    assert judged.acknowledged > 100
    assert missed(events) == 0
