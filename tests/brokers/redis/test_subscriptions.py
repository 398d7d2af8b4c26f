"""Feeds of a server, followed and given up in batches."""

from tests.brokers.redis.attending import LIVE, hubs, item


async def test_ten_thousand_channels_are_attached_in_batches(url: str) -> None:
    async with hubs(url, url) as (one, other):
        names = [f"user/{number}" for number in range(10_000)]
        for name in names:
            one.broker.attach(name)
        await one.quiet()
        await other.probe.store(*(item(name, b"1", LIVE) for name in names[::100]))
        await one.probe.until(lambda: len(one.probe.feed) == 100, "a publication in each of a hundred channels")
        for name in names:
            one.broker.detach(name)
        await one.quiet()
        await other.probe.store(item(names[0]))
        await one.quiet()
        assert len(one.probe.feed) == 100
