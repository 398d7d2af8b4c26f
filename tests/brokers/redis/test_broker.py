"""The broker on Redis 7 and Valkey 9: the contract, and hubs that share channels."""

import asyncio
import os
import secrets

import pytest

from chappe.brokers.redis.address import parse
from chappe.brokers.redis.broker import RedisBroker
from chappe.hub.contracts import Broker, ReadLog
from chappe.model.error_codes import Code
from chappe.testing.broker_contract import CHECKS, check_broker
from chappe.testing.broker_probe import Probe
from tests.brokers.redis.attending import LIVE, Hub, hubs, item, items, read_of
from tests.brokers.redis.engines import Engine, engines


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_it_keeps_the_contract(url: str) -> None:
    async def make() -> Broker:
        return RedisBroker(parse(url), os.urandom)

    await check_broker(make, patience_s=20.0)


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_several_servers_keep_the_contract_for_each_channel() -> None:
    by_log = {"the_log_continues_a_pattern", "the_log_tells_what_it_lost"}
    with engines(Engine("redis"), Engine("valkey")) as servers:
        url = f"redis://{','.join(f'127.0.0.1:{server.port}' for server in servers)}"
        for check in CHECKS:
            if check.__name__ in by_log:
                continue
            async with hubs(url) as (hub,):
                await check(hub.probe, f"check/{secrets.token_hex(6)}")
                assert not hub.probe.interruptions
        used = [int(server.call("DBSIZE")) for server in servers]
        assert min(used) > max(used) / 4


async def test_what_one_hub_publishes_reaches_the_subscribers_of_the_other(url: str) -> None:
    async with hubs(url, url) as (one, other):
        other.broker.attach("news/a")
        other.broker.attach("prices/+")
        await other.quiet()
        await one.probe.store(*items("news/a", 1, 2), item("prices/x", b"3", LIVE), item("other", b"4"))
        await other.probe.fed("prices/x", 1)
        assert other.fed("news/a") == [b"1", b"2"]
        assert other.fed("other") == []
        assert one.probe.feed == []


async def test_a_hub_without_subscribers_gets_no_messages(shared_engine: Engine, url: str) -> None:
    async with hubs(url, url) as (one, other):
        one.broker.attach("a")
        await one.quiet()
        before = dict(await _sent(shared_engine, other))
        await one.probe.store(*items("a", *range(50)))
        await one.probe.fed("a", 50)
        after = await _sent(shared_engine, other)
        # One answer of ours to a look at most: no messages.
        assert int(after["tot-net-out"]) - int(before["tot-net-out"]) < 1_000


async def _sent(server: Engine, hub: Hub) -> dict[str, str]:
    """Return what the server knows of a hub's connection; older servers do not count bytes."""
    lines = server.call("CLIENT", "LIST").decode().splitlines()
    found = [dict(part.split("=", 1) for part in line.split()) for line in lines]
    return {"tot-net-out": "0"} | next((each for each in found if each.get("sub") == "0"), {})


async def test_two_hubs_racing_for_one_position_have_one_winner(url: str) -> None:
    async with hubs(url, url) as (one, other):
        start = (await one.probe.read(read_of("doc"))).position
        pending = [hub.probe.append_later(item("doc", expect=start)) for hub in (one, other) for _ in range(5)]
        await one.probe.until(lambda: all(each.outcomes for each in pending), "the outcomes")
        errors = sorted(each.outcomes[0].error for each in pending if each.outcomes)
        assert errors == [0] + [Code.CONFLICT] * 9


async def test_a_key_holds_over_hubs(url: str) -> None:
    async with hubs(url, url) as (one, other):
        first = (await one.probe.append(item("a", key="k", key_owner="ada")))[0]
        again = (await other.probe.append(item("a", key="k", key_owner="ada")))[0]
        assert again.duplicate
        assert again.position == first.position


async def test_publications_of_both_hubs_come_in_one_order_everywhere(url: str) -> None:
    async with hubs(url, url) as (one, other):
        for hub in (one, other):
            hub.broker.attach("a")
            hub.broker.attach("+")
            await hub.quiet()
        pending = [hub.probe.append_later(*items("a", number)) for number in range(100) for hub in (one, other)]
        await one.probe.until(lambda: all(each.outcomes for each in pending), "the outcomes")
        mine, theirs = await one.probe.fed("a", 200), await other.probe.fed("a", 200)
        assert mine == theirs
        assert [each.offset for each in mine] == list(range(1, 201))
        assert [each.log for each in mine] == sorted({each.log for each in mine})


async def test_a_prefix_keeps_hubs_apart(url: str) -> None:
    async with hubs(url, f"{url}x") as (one, other):
        other.broker.attach("a")
        await other.quiet()
        await one.probe.store(item("a"))
        await other.quiet()
        assert other.fed("a") == []
        assert (await other.probe.read(read_of("a"))).position.offset == 0


async def test_a_callback_that_raises_does_not_keep_the_others_from_their_answer(url: str) -> None:
    async with hubs(url) as (hub,):
        heard: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(str(context["exception"])))

        def fails(_: object) -> None:
            raise RuntimeError("a bug of the caller")

        hub.broker.append([item("a")], fails)
        hub.broker.read(read_of("a"), fails)
        await hub.probe.store(item("a"))
        await hub.quiet()
        assert heard == ["a bug of the caller"] * 2
        assert hub.broker.callback_errors == 2


async def test_a_message_that_no_hub_sent_is_counted_and_ignored(shared_engine: Engine, url: str) -> None:
    prefix = url.partition("prefix=")[2]
    async with hubs(url) as (hub,):
        hub.broker.attach("a")
        await hub.quiet()
        for garbage in (b"", b"hello", b":" * 4, b"g:1:e:1:\xff", b"g:x:e:1:\x90", b"\xff:1:e:1:\x90"):
            shared_engine.call("PUBLISH", f"{prefix}:f:a", garbage)
        await hub.probe.store(item("a"))
        await hub.probe.fed("a", 1)
        assert hub.broker.malformed == 5
        assert not hub.probe.interruptions


async def test_a_hub_can_start_again_after_a_stop(url: str) -> None:
    broker = RedisBroker(parse(url), os.urandom)
    probe = Probe(broker, asyncio.sleep, 20.0)
    for _ in range(2):
        await broker.start(probe)
        await probe.store(item("a"))
        await broker.stop()
    assert probe.append_later(item("a")).outcomes is not None


async def test_a_hub_that_starts_before_its_server_waits_for_it(own_engine: Engine) -> None:
    own_engine.kill()
    async with hubs(own_engine.url) as (hub,):
        assert hub.broker.problems
        assert (await hub.probe.append(item("a")))[0].error == Code.NOT_AVAILABLE
        assert (await hub.probe.read(read_of("a"))).error == Code.NOT_AVAILABLE
        assert (await hub.probe.read_log(ReadLog("a"))).error == Code.NOT_AVAILABLE
        hub.broker.attach("a")
        await asyncio.to_thread(own_engine.start)
        await hub.connected()
        await hub.probe.store(item("a"))
        await hub.probe.fed("a", 1)


def test_a_hub_whose_loop_ended_without_it_can_start_on_another(shared_engine: Engine) -> None:
    broker = RedisBroker(parse(shared_engine.url), os.urandom)
    answers: list[object] = []

    async def begin() -> None:
        await broker.start(Probe(broker, asyncio.sleep, 20.0))
        broker.append([item("loop")], answers.append)

    async def again() -> None:
        await broker.stop()
        assert len(answers) == 1
        probe = Probe(broker, asyncio.sleep, 20.0)
        await broker.start(probe)
        await probe.store(item("loop"))
        await broker.stop()

    asyncio.run(begin())
    asyncio.run(again())
