"""What the scripts leave in the server: keys that expire."""

from chappe.hub.contracts import Read
from tests.brokers.redis.attending import LIVE, hubs, item, read_of
from tests.brokers.redis.engines import Engine


async def test_everything_of_an_unused_channel_expires(shared_engine: Engine, url: str) -> None:
    prefix = url.partition("prefix=")[2]
    async with hubs(url) as (hub,):
        await hub.probe.store(item("a", key="k"), item("b", b"1", LIVE), item("c", b"1", retain=True))
        await hub.probe.read(read_of("unborn"))
    lives = {key: shared_engine.call("TTL", key) for key in shared_engine.call("KEYS", f"{prefix}:*")}
    lasting = {key.decode().removeprefix(f"{prefix}:") for key, seconds in lives.items() if seconds == -1}
    # What stays is small, but for the retained publication, which stays until somebody clears it.
    assert lasting == {"s", "i", "R", "m:c"}
    assert max(lives.values()) <= 1_000


async def test_channels_that_are_followed_do_not_expire(shared_engine: Engine, url: str) -> None:
    prefix = url.partition("prefix=")[2]
    async with hubs(url) as (hub,):
        (position,) = await hub.probe.store(item("a", b"1", LIVE))
        shared_engine.call("PEXPIRE", f"{prefix}:m:a", 5_000)
        hub.broker.attach("a")
        await hub.quiet()
        assert shared_engine.call("PTTL", f"{prefix}:m:a") > 500_000
        assert (await hub.probe.read(Read("a", LIVE, position))).complete
