"""A hub that cannot reach its engine says so and acknowledges nothing; what engines lose is told. Under load."""

import pytest

from chappe.testing.partition_programme import Partition
from tests.programmes.partitions import fail_over, lose_everything, part_hub_and_engine

ENGINES = ["redis", "valkey", "nats"]
#: A short form: Valkey has the client of Redis, and NATS notices a stall as it notices a half-open connection.
KINDS = {
    "redis": tuple(Partition),
    "valkey": (Partition.CUT,),
    "nats": (Partition.CUT, Partition.HALF_OPEN, Partition.DELAY),
}


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", ENGINES)
async def test_a_hub_that_is_cut_off_refuses_and_is_not_ready_until_it_is_back(name: str) -> None:
    judged, window = await part_hub_and_engine(name, 1, KINDS[name])
    assert judged.clean, "\n".join(map(str, [judged, *judged.findings[:10]]))
    assert window.acks == 0
    assert window.refusals >= 3 * sum(kind.is_total for kind in KINDS[name])


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
