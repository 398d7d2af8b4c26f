"""What a server has to be before a hub promises anything on it."""

import asyncio
import os

import pytest

from chappe.brokers.redis.address import parse
from chappe.brokers.redis.broker import RedisBroker
from chappe.brokers.redis.connection import ConnectionLost, connect
from chappe.brokers.redis.server import Identity, identify
from chappe.model.errors import ConfigurationError
from chappe.testing.broker_probe import Probe
from tests.brokers.redis.engines import engine


async def test_durable_needs_a_server_that_writes_through() -> None:
    with engine("redis") as server:
        broker = RedisBroker(parse(f"{server.url}?durable=1"), os.urandom)
        assert broker.durable
        with pytest.raises(ConfigurationError, match="appendfsync always"):
            await broker.start(Probe(broker, asyncio.sleep, 5.0))
        server.call("CONFIG", "SET", "appendfsync", "always")
        server.call("CONFIG", "SET", "appendonly", "yes")
        await broker.start(Probe(broker, asyncio.sleep, 5.0))
        await broker.stop()


async def test_a_replica_is_no_server_for_a_hub() -> None:
    with engine("redis") as master, engine("redis", "--replicaof", f"127.0.0.1 {master.port}") as replica:
        address = parse(replica.url)
        connection = await connect(address.hosts[0], address, None)
        with pytest.raises(ConnectionLost, match="is a replica"):
            await identify(connection, Identity(), durable=False)
        connection.abort()


async def test_a_server_that_hides_its_settings_may_lose() -> None:
    with engine("valkey", "--appendonly", "yes", "--appendfsync", "always") as server:
        address = parse(server.url)
        connection = await connect(address.hosts[0], address, None)
        open_one = await identify(connection, Identity(), durable=True)
        assert open_one.keeps_all
        server.call("ACL", "SETUSER", "hub", "on", ">secret", "~*", "&*", "+@all", "-config", "-client|kill")
        address = parse(f"redis://hub:secret@127.0.0.1:{server.port}")
        other = await connect(address.hosts[0], address, None)
        hidden = await identify(other, open_one, durable=False)
        assert hidden.run_id == open_one.run_id
        assert not hidden.keeps_all
        connection.abort()
        other.abort()
