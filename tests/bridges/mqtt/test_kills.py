"""A hub with a bridge is killed (SIGKILL) while traffic flows both ways: nothing that was acknowledged is lost."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

import chappe
from chappe.testing.hub_process import HubProcess
from tests.bridges.mqtt.mosquitto import KEEPS_ALL, OPEN, Ears, Mosquitto, ears, mosquitto, say, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

KILLS = 3
CONFIG = """
[broker]
url = "sqlite:///{folder}/hub.db"
[mqtt_bridges.home]
url = "mqtt://127.0.0.1:{port}"
topics = ["in/# in {qos}", "out/# out {qos}"]
reconnect_max_ms = 50
[namespaces.default]
level = "durable"
history_count = 100000
history_age_s = 3600
subscribe = "anonymous"
publish = "anonymous"
[limits]
messages_per_s = 0
history_page = 10000
"""


class Traffic:
    """Numbers that go both ways, and those that were acknowledged."""

    def __init__(self, hub: HubProcess, server: Mosquitto, qos: int) -> None:
        self._hub = hub
        self._server = server
        self._qos = qos
        self.out: list[int] = []
        self.into: list[int] = []

    async def go_out(self) -> None:
        """Publish at the hub; a number without an answer is published again, with the same key."""
        number = 0
        while True:
            try:
                async with chappe.connect(self._hub.url) as client:
                    while True:
                        await client.publish("out/numbers", number, key=f"n{number}")
                        self.out.append(number)
                        number += 1
            except chappe.ChappeError:
                await asyncio.sleep(0.05)

    async def come_in(self) -> None:
        """Publish at the broker, which nobody kills."""
        while True:
            await say(self._server, "in/numbers", "-q", str(self._qos), text=str(len(self.into)))
            self.into.append(len(self.into))


async def history(hub: HubProcess, channel: str) -> list[Any]:
    async with chappe.connect(hub.url) as client:
        page = await client.history(channel, limit=10_000)
        return [each.data for each in page.publications]


@pytest.mark.parametrize("qos", [1, 2])
async def test_kills_of_the_hub_lose_nothing_that_was_acknowledged(tmp_path: Path, qos: int) -> None:
    with mosquitto(*OPEN, *KEEPS_ALL) as server:
        config = tmp_path / "chappe.toml"
        config.write_text(CONFIG.format(folder=tmp_path, port=server.port, qos=qos), "utf-8")
        async with (
            ears(server, "out/#", "-q", str(qos)) as heard,
            HubProcess("--dev", "--config", str(config)) as hub,
        ):
            # What comes before the first subscription is nobody's.
            await until(lambda: "Sending SUBACK to chappe-" in server.log, "the bridge")
            traffic = Traffic(hub, server, qos)
            tasks = [asyncio.create_task(traffic.go_out()), asyncio.create_task(traffic.come_in())]
            try:
                for _ in range(KILLS):
                    await flow(server, heard, tasks)
                    await hub.kill()
                    await hub.start()
                await flow(server, heard, tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            await until(lambda: set(traffic.out) <= {int(each) for each in heard.payloads}, "what went out")
            numbers = list(dict.fromkeys(int(each) for each in heard.payloads))
            assert numbers == sorted(numbers)
            stored = await history(hub, "in/numbers")
            while not set(traffic.into) <= set(stored):
                await asyncio.sleep(0.05)
                stored = await history(hub, "in/numbers")
            first = list(dict.fromkeys(stored))
            assert first == sorted(first)


async def flow(server: Mosquitto, heard: Ears, tasks: list[asyncio.Task[None]]) -> None:
    """Wait until both ways carry something new."""
    out, into = len(heard.lines), server.log.count("from chappe-")
    await until(lambda: len(heard.lines) > out + 20 or any(task.done() for task in tasks), "what goes out", 40.0)
    await until(lambda: server.log.count("from chappe-") > into + 20, "what comes in", 40.0)
    for task in tasks:
        assert not task.done(), task.exception()
