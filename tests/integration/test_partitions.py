"""A hub that cannot reach its engine says so and acknowledges nothing; what engines lose is told. Under load."""

import pytest

from tests.programmes.partitions import fail_over, lose_everything, part_hub_and_engine

ENGINES = ["redis", "valkey", "nats"]


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", ENGINES)
async def test_a_hub_that_is_cut_off_refuses_and_is_not_ready_until_it_is_back(name: str) -> None:
    judged, window = await part_hub_and_engine(name, 1)
    assert judged.clean, "\n".join(map(str, [judged, *judged.findings[:10]]))
    assert window.acks == 0
    assert window.refusals >= 9


@pytest.mark.slow
@pytest.mark.timeout(90)
@pytest.mark.parametrize("name", ENGINES)
async def test_an_engine_that_loses_everything_under_load_leaves_no_silent_gap(name: str) -> None:
    judged = await lose_everything(name, 3)
    assert judged.clean, "\n".join(map(str, [judged, *judged.findings[:10]]))
    assert judged.acknowledged >= 20


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_failover_under_load_leaves_no_silent_gap() -> None:
    (judged,) = await fail_over(1)
    assert judged.clean, "\n".join(map(str, [judged, *judged.findings[:10]]))
    assert judged.subscriptions > 6
