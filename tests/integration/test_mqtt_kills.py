"""The hub, or a client, is killed while messages of QoS 1 and 2 are under way: at least once, and once."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from chappe.testing.hub_process import HubProcess, free_port
from chappe.testing.kill_programme import KillProgramme

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

KILLS: Final = 4
MESSAGES: Final = 150
PATIENCE_S: Final = 40.0


def make_client(client_id: str, port: int) -> paho.Client:
    """Return a client that comes back by itself and sends again what was not acknowledged."""
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False)
    client.reconnect_delay_set(1, 1)
    client.max_queued_messages_set(0)
    client.connect_async("127.0.0.1", port)
    return client


class Reader:
    """Counts what came, by payload."""

    def __init__(self, port: int, *topics: tuple[str, int]) -> None:
        self.came: Counter[bytes] = Counter()
        self.subscribed = asyncio.Event()
        loop = asyncio.get_running_loop()
        self.client = make_client("reader", port)

        def connected(client: paho.Client, data: object, flags: Any, code: object, properties: object) -> None:
            if not flags.session_present:
                client.subscribe(list(topics))

        def came(client: paho.Client, data: object, message: paho.MQTTMessage) -> None:
            self.came[bytes(message.payload)] += 1

        self.client.on_connect = connected
        self.client.on_message = came

        def subscribed(client: paho.Client, data: object, mid: int, codes: object, properties: object) -> None:
            loop.call_soon_threadsafe(self.subscribed.set)

        self.client.on_subscribe = subscribed
        self.client.loop_start()


@asynccontextmanager
async def ending(*clients: paho.Client) -> AsyncIterator[None]:
    """End the threads of clients, whatever happens."""
    try:
        yield
    finally:
        for client in clients:
            client.disconnect()
            await asyncio.to_thread(client.loop_stop)


def hub_on_a_file(folder: Path, port: int) -> HubProcess:
    return HubProcess("--dev", "--broker", f"sqlite:///{folder / 'hub.db'}", "--mqtt-port", str(port))


async def publish_all(writer: paho.Client) -> list[bytes]:
    """Publish numbers with QoS 1 and 2 by turns, a little at a time; return them once all are acknowledged."""
    acknowledged: list[int] = []
    writer.on_publish = lambda client, data, mid, code, properties: acknowledged.append(mid)
    sent: list[bytes] = []
    for number in range(MESSAGES):
        qos = 1 + number % 2
        sent.append(f"{qos}-{number}".encode())
        # Without a connection it is sent later.
        writer.publish(f"kills/{qos}", sent[-1], qos)
        await asyncio.sleep(0.02)  # the pace of the publisher
    async with asyncio.timeout(PATIENCE_S):
        while len(acknowledged) < MESSAGES:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return sent


def demand(expected: list[bytes], came: Counter[bytes]) -> None:
    """Demand that each came, those of QoS 2 once."""
    assert not set(expected) - set(came)
    assert not set(came) - set(expected)
    assert {payload for payload, count in came.items() if count > 1 and payload.startswith(b"2")} == set()


async def until_all(came: Counter[bytes], expected: list[bytes]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while len(came) < len(expected):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_kills_of_the_hub_lose_nothing_and_double_nothing_of_qos_2(tmp_path: Path) -> None:
    port = free_port()
    async with hub_on_a_file(tmp_path, port) as hub:
        reader = Reader(port, ("kills/1", 1), ("kills/2", 2))
        writer = make_client("writer", port)
        async with ending(reader.client, writer):
            await asyncio.wait_for(reader.subscribed.wait(), PATIENCE_S)
            writer.loop_start()
            programme = KillProgramme(7, KILLS)
            published, _ = await asyncio.gather(publish_all(writer), programme.run(hub))
            await until_all(reader.came, published)
            # What is doubled comes soon.
            await asyncio.sleep(0.5)
        demand(published, reader.came)
        assert programme.kills == KILLS


#: A client in a process of its own, that prints what it gets before it acknowledges, and can be killed.
READING: Final = """
import sys
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="victim", clean_session=False, manual_ack=True)
def came(client, data, message):
    print(message.payload.decode(), flush=True)
    client.ack(message.mid, message.qos)
client.on_message = came
client.on_connect = lambda c, d, flags, code, p: flags.session_present or c.subscribe([("kills/1", 1)])
client.on_subscribe = lambda *_: print("ready", flush=True)
client.connect("127.0.0.1", int(sys.argv[1]))
client.loop_forever()
"""


async def test_kills_of_a_client_lose_nothing_of_qos_1(tmp_path: Path) -> None:
    port = free_port()
    came: Counter[bytes] = Counter()
    ready = asyncio.Event()

    async def read(process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            if line == b"ready\n":
                ready.set()
            else:
                came[line.strip()] += 1

    async def start() -> tuple[asyncio.subprocess.Process, asyncio.Task[None]]:
        command = [sys.executable, "-c", READING, str(port)]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        return process, asyncio.create_task(read(process))

    async with hub_on_a_file(tmp_path, port):
        process, reading = await start()
        writer = make_client("writer", port)
        async with ending(writer):
            await asyncio.wait_for(ready.wait(), PATIENCE_S)
            writer.loop_start()
            publishing = asyncio.create_task(publish_all(writer))
            for _ in range(KILLS):
                await asyncio.sleep(0.4)  # a moment that nothing agrees upon
                process.kill()
                await process.wait()
                await reading
                process, reading = await start()
            published = [each for each in await publishing if each.startswith(b"1")]
            await until_all(came, published)
            process.kill()
            await process.wait()
            await reading
        assert set(came) == set(published)
