"""Three servers and streams with three replicas: the contract holds, and one server may die."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from chappe.brokers.nats.local import LocalNats
from chappe.hub.contracts import Broker, Read
from chappe.model.errors import ConfigurationError
from chappe.model.position import Position
from chappe.testing.broker_contract import check_broker
from tests.brokers.jetstream.server import KEPT, Node, item, make, node


class Member(LocalNats):
    """A server of a cluster."""

    def __init__(self, route: int, routes: list[int]) -> None:
        super().__init__()
        self._route = route
        self._routes = routes

    def _config(self) -> str:
        routes = ", ".join(f"nats://127.0.0.1:{port}" for port in self._routes)
        return (
            f"server_name: server-{self._route}\n"
            f"listen: 127.0.0.1:{self.port}\n"
            f"jetstream {{ store_dir: '{self.directory}' }}\n"
            f"cluster {{ name: three, listen: 127.0.0.1:{self._route}, routes: [{routes}] }}\n"
        )


def free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@asynccontextmanager
async def cluster() -> AsyncIterator[tuple[list[Member], str]]:
    """Three servers that have chosen their leader, and a URL that names them all."""
    routes = free_ports(3)
    members = [Member(route, routes) for route in routes]
    try:
        await asyncio.gather(*(member.start() for member in members))
        url = "nats://" + ",".join(f"127.0.0.1:{member.port}" for member in members) + "/"
        async with asyncio.timeout(60):
            while not await takes_streams(url):
                pass
        yield members, url
    finally:
        await asyncio.gather(*(member.stop() for member in members))


async def takes_streams(url: str) -> bool:
    broker = make(url, replicas=3, timeout_s=1)
    try:
        await broker.start(Node(url).probe)
    except ConfigurationError:
        await asyncio.sleep(0.2)
        return False
    await broker.stop()
    return True


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_replicated_streams_keep_the_contract() -> None:
    async with cluster() as (_, url):

        async def factory() -> Broker:
            return make(url, replicas=3)

        await check_broker(factory, patience_s=15.0)


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_the_loss_of_one_server_loses_nothing_acknowledged() -> None:
    async with cluster() as (members, url), node(url, replicas=3) as one:
        stored = await one.probe.store(*(item("kept/a", b"%d" % number) for number in range(20)))
        connection = one.broker._connection
        assert connection is not None
        await next(member for member in members if connection.server.endswith(f":{member.port}")).kill()
        await one.until(lambda: not one.broker.is_connected, "the loss of the connection")
        await one.until_up()
        async with asyncio.timeout(60):
            while not await is_whole(one, stored[4]):
                pass
            while not await is_stored(one):
                pass


async def is_whole(one: Node, since: Position) -> bool:
    """Read what came after a position; False a moment later if the streams have no leader yet."""
    result = await one.probe.read(Read("kept/a", KEPT, since, 99))
    if result.error:
        await asyncio.sleep(0.2)
        return False
    assert result.complete
    assert [publication.payload for publication in result.publications] == [b"%d" % n for n in range(5, 20)]
    return True


async def is_stored(one: Node) -> bool:
    if (await one.probe.append(item("kept/a", b"after")))[0].error:
        await asyncio.sleep(0.2)
        return False
    return True
