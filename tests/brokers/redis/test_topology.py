"""Sentinels that name another master, and a cluster whose channels are spread over its nodes."""

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterator

import pytest

from chappe.brokers.redis.address import parse
from chappe.brokers.redis.broker import RedisBroker
from chappe.brokers.redis.topology import NoServer, find_master, find_nodes
from chappe.hub.contracts import Append, Read, ReadLog
from chappe.testing.broker_contract import CHECKS
from tests.brokers.redis.attending import KEPT, LIVE, Hub, hubs, item, read_of
from tests.brokers.redis.engines import Engine, engines

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

_BY_LOG = {"the_log_continues_a_pattern", "the_log_tells_what_it_lost"}


@contextlib.contextmanager
def watched_pair() -> Iterator[tuple[Engine, Engine, Engine]]:
    """Run a master, its replica and a sentinel that watches both."""
    master = Engine("redis")
    replica = Engine("redis", "--replicaof", f"127.0.0.1 {master.port}")
    sentinel = Engine(
        "redis",
        sentinel=f"sentinel monitor hubs 127.0.0.1 {master.port} 1\n"
        "sentinel down-after-milliseconds hubs 500\n"
        "sentinel failover-timeout hubs 3000\n",
    )
    with engines(master, replica, sentinel):
        yield master, replica, sentinel


async def until(condition: Callable[[], object]) -> None:
    """Wait for what servers agree upon among themselves."""
    await asyncio.to_thread(_wait, condition)


def _wait(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60.0
    while True:
        # A server that changes its part in the pair hangs up on whoever asks it.
        with contextlib.suppress(OSError):
            if condition():
                return
        assert time.monotonic() < deadline
        time.sleep(0.05)


def replicates(replica: Engine) -> bool:
    return b"master_link_status:up" in replica.call("INFO", "replication")


def sentinel_knows_a_replica(sentinel: Engine) -> bool:
    return len(sentinel.call("SENTINEL", "replicas", "hubs")) == 1


async def test_a_failover_begins_new_epochs_and_everybody_goes_on() -> None:
    with watched_pair() as (master, replica, sentinel):
        await until(lambda: replicates(replica) and sentinel_knows_a_replica(sentinel))
        url = f"redis+sentinel://127.0.0.1:{sentinel.port}/hubs?timeout=1"
        async with hubs(url, url) as (one, other):
            other.broker.attach("a")
            await other.quiet()
            (before,) = await one.probe.store(item("a", b"1"))
            await other.probe.fed("a", 1)
            await until(lambda: replica.call("HGET", "chappe:m:a", "o") == b"1")
            master.kill()
            for hub in (one, other):
                await hub.disconnected()
            for hub in (one, other):
                await until(lambda hub=hub: not hub.broker.problems)  # type: ignore[misc]
            (after,) = await one.probe.store(item("a", b"2"))
            # The replica may have missed what the master had confirmed: positions of before are worth nothing.
            assert after.epoch != before.epoch
            assert other.probe.interruptions == [None]
            await other.probe.fed("a", 2)
            assert not (await one.probe.read(Read("a", KEPT, before, 10))).complete
            newest = await one.probe.read(read_of("a", limit=10))
            assert [each.payload for each in newest.publications] == [b"1", b"2"]
            assert newest.position == after


async def test_a_master_that_lives_on_is_left_when_the_sentinels_name_another() -> None:
    with watched_pair() as (_, replica, sentinel):
        await until(lambda: replicates(replica) and sentinel_knows_a_replica(sentinel))
        async with hubs(f"redis+sentinel://127.0.0.1:{sentinel.port}/hubs?timeout=1") as (hub,):
            await hub.probe.store(item("a"))
            sentinel.call("SENTINEL", "FAILOVER", "hubs")
            await until(lambda: b"role:master" in replica.call("INFO", "replication"))
            await until(lambda: b"name=chappe " in replica.call("CLIENT", "LIST") and not hub.broker.problems)
            await hub.probe.store(item("b", b"1"))
            assert replica.call("EXISTS", "chappe:m:b") == 1


async def test_sentinels_are_asked_one_after_the_other() -> None:
    with watched_pair() as (master, _, sentinel):
        address = parse(f"redis+sentinel://127.0.0.1:1,127.0.0.1:{sentinel.port}/hubs?timeout=2")
        assert (await find_master(address, None)).port == master.port
        for url, problem in (
            (f"redis+sentinel://127.0.0.1:{sentinel.port}/others", "knows the service 'others'"),
            ("redis+sentinel://127.0.0.1:1/hubs", "no sentinel answers"),
        ):
            with pytest.raises(NoServer, match=problem):
                await find_master(parse(url), None)


@contextlib.contextmanager
def cluster(name: str, nodes: int = 3) -> Iterator[list[Engine]]:
    """Run a cluster of masters, each with its share of the slots."""
    servers = [Engine(name, "--cluster-enabled", "yes", "--cluster-node-timeout", "1000") for _ in range(nodes)]
    with engines(*servers):
        share = 16_384 // nodes
        for number, server in enumerate(servers):
            last = 16_383 if number == nodes - 1 else (number + 1) * share - 1
            server.call("CLUSTER", "ADDSLOTSRANGE", number * share, last)
            server.call("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number:
                server.call("CLUSTER", "MEET", "127.0.0.1", servers[0].port)
        yield servers


async def cluster_is_whole(servers: list[Engine]) -> None:
    await until(lambda: all(b"cluster_state:ok" in server.call("CLUSTER", "INFO") for server in servers))
    await until(lambda: all(len(server.call("CLUSTER", "SLOTS")) == len(servers) for server in servers))


@pytest.mark.parametrize("name", ["redis", "valkey"])
async def test_a_cluster_keeps_the_contract_for_each_channel(name: str) -> None:
    with cluster(name) as servers:
        await cluster_is_whole(servers)
        url = f"redis+cluster://127.0.0.1:{servers[1].port}"
        for check in CHECKS:
            if check.__name__ not in _BY_LOG:
                async with hubs(url) as (hub,):
                    await check(hub.probe, f"check/{secrets.token_hex(6)}")
                    assert not hub.probe.interruptions
        async with hubs(url, url) as (one, other):
            names = [f"room/{number}" for number in range(100)]
            for channel in names:
                other.broker.attach(channel)
            other.broker.attach("room/+")
            await quiet(other, names)
            await one.probe.store(*(item(channel, b"1", LIVE) for channel in names))
            await other.probe.until(lambda: len(other.probe.feed) >= 100, "a publication in each of a hundred channels")
            assert sorted(each.channel for each in other.probe.feed) == sorted(names)
            log = await other.probe.read_log(ReadLog("room/+", f"{other.broker.node}:0", 10))
            assert not log.complete
            used = [int(server.call("DBSIZE")) for server in servers]
            assert min(used) > max(used) / 4


async def quiet(hub: Hub, names: list[str]) -> None:
    """Wait for an answer from every node, behind all that was asked before."""
    for name in names:
        await hub.probe.read(read_of(name, LIVE))


async def test_partitions_that_move_to_another_node_are_followed() -> None:
    with cluster("redis", 2) as servers:
        await cluster_is_whole(servers)
        async with hubs(f"redis+cluster://127.0.0.1:{servers[0].port}?partitions=4&timeout=2") as (hub,):
            names = [f"room/{number}" for number in range(16)]
            for channel in names:
                hub.broker.attach(channel)
            await quiet(hub, names)
            await hub.probe.store(*(item(channel, b"1") for channel in names))
            await hub.probe.until(lambda: len(hub.probe.feed) == 16, "sixteen publications")
            await asyncio.to_thread(hand_over, servers[1], servers[0])
            for name in names:
                await stored(hub, item(name, b"2"))
            assert None in hub.probe.interruptions
            await hub.probe.store(*(item(channel, b"3") for channel in names))
            await hub.probe.until(
                lambda: sum(each.payload == b"3" for each in hub.probe.feed) == 16, "sixteen publications more"
            )
            assert servers[1].call("DBSIZE") == 0


async def stored(hub: Hub, wanted: Append) -> None:
    """Append again and again until it is stored."""
    async with asyncio.timeout(60):
        while (await hub.probe.append(wanted))[0].error:
            pass


def hand_over(giver: Engine, taker: Engine) -> None:
    """Move every slot, with its keys."""
    giver_id, taker_id = (each.call("CLUSTER", "MYID") for each in (giver, taker))
    for first, last, master, *_ in giver.call("CLUSTER", "SLOTS"):
        if master[1] != giver.port:
            continue
        for slot in range(first, last + 1):
            keys = giver.call("CLUSTER", "GETKEYSINSLOT", slot, 1_000)
            if not keys:
                continue
            taker.call("CLUSTER", "SETSLOT", slot, "IMPORTING", giver_id)
            giver.call("CLUSTER", "SETSLOT", slot, "MIGRATING", taker_id)
            giver.call("MIGRATE", "127.0.0.1", taker.port, "", 0, 5_000, "KEYS", *keys)
            for server in (taker, giver):
                server.call("CLUSTER", "SETSLOT", slot, "NODE", taker_id)


async def test_a_cluster_nobody_answers_for_is_said_so() -> None:
    address = parse("redis+cluster://127.0.0.1:1")
    with pytest.raises(NoServer):
        await find_nodes(address, None, [], [])
    broker = RedisBroker(address, os.urandom)
    hub = Hub(broker)
    await broker.start(hub.probe)
    assert (await hub.probe.append(item("a")))[0].error == 108
    await broker.stop()
