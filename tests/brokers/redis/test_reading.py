"""Reads of one channel: parts of large answers."""

from chappe.hub.contracts import Read, ReadLog
from tests.brokers.redis.attending import KEPT, hubs, item, read_of


async def test_large_histories_are_read_in_parts(url: str) -> None:
    payloads = [bytes([65 + number % 26]) * 40_000 for number in range(60)]
    async with hubs(url) as (hub,):
        start = (await hub.probe.read(read_of("a"))).position
        log = (await hub.probe.read_log(ReadLog("a"))).position
        for payload in payloads:
            await hub.probe.store(item("a", payload))
        last = (await hub.probe.read(read_of("a"))).position
        forward = await hub.probe.read(Read("a", KEPT, start, 100))
        assert forward.complete
        assert [each.payload for each in forward.publications] == payloads
        backward = await hub.probe.read(Read("a", KEPT, last, 100, reverse=True))
        assert [each.payload for each in backward.publications] == payloads[:-1][::-1]
        assert backward.complete
        by_log = await hub.probe.read_log(ReadLog("a", log, 100))
        assert by_log.complete
        assert [each.payload for each in by_log.publications] == payloads
