"""Reads across channels, as every hub sees them."""

from chappe.hub.contracts import ReadLog
from tests.brokers.redis.attending import hubs, item, read_of


async def test_a_retained_publication_is_read_by_every_hub(url: str) -> None:
    async with hubs(url, url) as (one, other):
        await one.probe.store(item("room/a", b"1", retain=True))
        assert (await other.probe.read(read_of("room/a"))).retained is not None
        (found,) = (await other.probe.read_log(ReadLog("room/+"))).retained
        assert found.payload == b"1"
