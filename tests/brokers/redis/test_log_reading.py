"""The log of a partition tells when something is missing."""

from chappe.hub.contracts import ReadLog
from tests.brokers.redis.attending import hubs, item
from tests.brokers.redis.engines import Engine


async def test_a_forgotten_channel_makes_older_log_positions_incomplete(shared_engine: Engine, url: str) -> None:
    prefix = url.partition("prefix=")[2]
    async with hubs(url) as (hub,):
        start = (await hub.probe.read_log(ReadLog("#"))).position
        await hub.probe.store(item("a"))
        shared_engine.call("DEL", f"{prefix}:m:a", f"{prefix}:h:a")
        assert not (await hub.probe.read_log(ReadLog("#", start, 10))).complete
        await hub.probe.store(item("a"))
        assert not (await hub.probe.read_log(ReadLog("#", start, 10))).complete
        here = (await hub.probe.read_log(ReadLog("#"))).position
        assert (await hub.probe.read_log(ReadLog("#", here, 10))).complete
