"""One connection: its answers in their order, its end, and who is let in."""

import asyncio
import os

import pytest

from chappe.brokers.redis.address import Host, parse
from chappe.brokers.redis.broker import RedisBroker
from chappe.brokers.redis.connection import Connection, ConnectionLost, connect
from chappe.model.errors import ConfigurationError
from chappe.testing.broker_probe import Probe
from tests.brokers.redis.attending import hubs, item
from tests.brokers.redis.engines import engine


async def test_a_wrong_password_is_told_at_start() -> None:
    with engine("valkey", "--requirepass", "right") as server:
        port = server.port
        for credentials in ("", ":wrong@"):
            broker = RedisBroker(parse(f"redis://{credentials}127.0.0.1:{port}"), os.urandom)
            with pytest.raises(ConfigurationError, match="password"):
                await broker.start(Probe(broker, asyncio.sleep, 5.0))
        async with hubs(f"redis://default:right@127.0.0.1:{port}/3") as (hub,):
            await hub.probe.store(item("a"))


async def scripted(*answers: bytes) -> tuple[Connection, asyncio.Server]:
    """Connect to a server that answers each piece it reads with the next of these bytes, then hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.read(65_536)
            writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
    return connection, server


async def test_answers_come_in_order_and_pushes_between_them() -> None:
    pushed = b">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n"
    connection, server = await scripted(b"+one\r\n" + pushed + b":2\r\n")
    messages: list[bytes] = []
    answers: list[object] = []
    connection.on_message = messages.append
    connection.send_all([(("A",), answers.append), (("B",), answers.append), (("C",), answers.append)])
    lost = asyncio.Event()
    connection.on_lost = lost.set
    await lost.wait()
    assert (answers[:2], messages) == ([b"one", 2], [b"hi"])
    assert isinstance(answers[2], ConnectionLost)
    connection.send(("D",), answers.append)
    assert isinstance(answers[3], ConnectionLost)
    server.close()
    await server.wait_closed()


async def test_what_is_no_answer_ends_the_connection() -> None:
    connection, server = await scripted(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(ConnectionLost):
        await connection.call("PING")
    assert not connection.is_open
    server.close()
    await server.wait_closed()


async def test_nobody_who_listens_is_an_error_in_time() -> None:
    with pytest.raises(OSError, match=r"."):
        await connect(Host("127.0.0.1", 1), parse("redis://127.0.0.1:1?timeout=1"), None)
