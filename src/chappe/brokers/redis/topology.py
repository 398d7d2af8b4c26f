"""Where the servers are: named in the URL, told by sentinels, or by the cluster itself."""

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any, Final

from chappe.brokers.redis.address import Address, Host, parse
from chappe.brokers.redis.connection import Connection, ConnectionLost, ReplyError, connect
from chappe.brokers.redis.entries import Keys
from chappe.model.errors import ConfigurationError

#: What asking may fail with; the next one is asked then.
UNREACHABLE: Final = (OSError, TimeoutError, ReplyError, ConnectionLost)


class NoServer(Exception):
    """Nobody could say where the server is."""


async def find_master(address: Address, tls: ssl.SSLContext | None) -> Host:
    """Ask the sentinels, one after the other, who the master is.

    Raises:
        NoServer: none of them could tell.
    """
    problem = "no sentinel answers"
    for sentinel in address.hosts:
        try:
            connection = await _visit(sentinel, address, tls)
        except UNREACHABLE:
            continue
        try:
            async with asyncio.timeout(address.timeout_s):
                answer = await connection.call("SENTINEL", "get-master-addr-by-name", address.service)
        except UNREACHABLE:
            continue
        finally:
            connection.abort()
        if answer is not None:
            return Host(answer[0].decode(), int(answer[1]))
        problem = f"no sentinel knows the service {address.service!r}"
    raise NoServer(problem)


async def find_nodes(
    address: Address, tls: ssl.SSLContext | None, partitions: Sequence[Keys], seeds: Sequence[Host]
) -> dict[Host, list[Keys]]:
    """Ask the nodes of a cluster which of them serves which partitions.

    Args:
        seeds: nodes known so far; those of the URL are asked after them.

    Raises:
        NoServer: none of them could tell, or there are partitions that nobody serves.
    """
    for host in dict.fromkeys((*seeds, *address.hosts)):
        try:
            connection = await connect(host, address, tls)
        except UNREACHABLE:
            continue
        try:
            async with asyncio.timeout(address.timeout_s):
                ranges = await connection.call("CLUSTER", "SLOTS")
        except UNREACHABLE:
            continue
        finally:
            connection.abort()
        found = _assign(ranges, host, partitions)
        if found is not None:
            return found
    raise NoServer("no node of the cluster knows who serves every slot")


async def try_first(url: str) -> tuple[str, str]:
    """Connect to the first server that a URL leads to; return its address and what is wrong, empty if nothing is."""
    host = Host("broker.url", 0)
    try:
        address = parse(url)
        host = address.hosts[0]
        tls = address.tls_context()
        if address.layout == "sentinel":
            host = await find_master(address, tls)
        connection = await connect(host, address, tls)
    except (*UNREACHABLE, NoServer, ConfigurationError) as error:
        return str(host), str(error) or type(error).__name__
    connection.abort()
    return str(host), ""


async def _visit(sentinel: Host, address: Address, tls: ssl.SSLContext | None) -> Connection:
    """Connect to a sentinel: it has no databases, and often no password though its server has one."""
    plain = Address(layout="servers", hosts=(sentinel,), timeout_s=address.timeout_s)
    try:
        return await connect(sentinel, plain, tls)
    except ConfigurationError:
        known = Address(
            layout="servers",
            hosts=(sentinel,),
            timeout_s=address.timeout_s,
            user=address.user,
            password=address.password,
        )
        return await connect(sentinel, known, tls)


def _assign(ranges: Any, asked: Host, partitions: Sequence[Keys]) -> dict[Host, list[Keys]] | None:
    found: dict[Host, list[Keys]] = {}
    for keys in partitions:
        for first, last, master, *_ in ranges:
            if first <= keys.slot <= last:
                # An empty name means: the one where you asked.
                name = (master[0] or b"").decode() or asked.name
                found.setdefault(Host(name, master[1]), []).append(keys)
                break
        else:
            return None
    return found
