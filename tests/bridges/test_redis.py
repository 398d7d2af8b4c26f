"""Plain PUBLISH of any program, in and out, without going round."""

import asyncio
import shutil
import subprocess

import pytest

from chappe.app import Hub
from chappe.bridges.redis import RedisBridge
from chappe.model.errors import ConfigurationError
from chappe.testing.broker_probe import Probe
from chappe.testing.fault_proxy import FaultProxy
from tests.brokers.redis.engines import PROGRAMS, Engine, engine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

CHANNELS = {"legacy.news": "news/a", "legacy.prices": "prices/b"}


async def until(condition: object, what: str) -> None:
    assert callable(condition)
    await Probe.until(Probe(None, asyncio.sleep, 20.0), condition, what)  # type: ignore[arg-type]


class Ears:
    """redis-cli, which writes down what it hears."""

    def __init__(self, server: Engine, channel: str) -> None:
        program = shutil.which("redis-cli")
        assert program
        command = [program, "-p", str(server.port), "--csv", "SUBSCRIBE", channel]
        self._file = (server.folder / "heard").open("wb")
        self._process = subprocess.Popen(command, stdout=self._file)
        self._path = server.folder / "heard"

    @property
    def heard(self) -> list[str]:
        lines = self._path.read_text().splitlines()
        return [line.split(",", 2)[2].strip('"') for line in lines if line.startswith('"message"')]

    @property
    def listens(self) -> bool:
        return "subscribe" in self._path.read_text()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._file.close()


def say(server: Engine, channel: str, text: str) -> None:
    """Publish with redis-cli."""
    program = shutil.which("redis-cli")
    assert program
    subprocess.run([program, "-p", str(server.port), "PUBLISH", channel, text], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("shared", [False, True])
async def test_redis_cli_and_the_hub_hear_each_other_once(name: str, shared: bool) -> None:
    with engine(name) as server:
        hub = Hub(dev=True, broker=server.url if shared else None)
        await hub.start()
        bridge = RedisBridge(hub.core, server.url, CHANNELS)
        bridge.start()
        await until(lambda: bridge.is_carrying, "the bridge")
        ears = Ears(server, "legacy.news")
        await until(lambda: ears.listens, "redis-cli")
        for number in range(3):
            await asyncio.to_thread(say, server, "legacy.news", f"from-outside-{number}")
            await hub.publish("news/a", f"from-inside-{number}")
        await until(lambda: len(ears.heard) >= 6, "six messages at redis-cli")
        await until(lambda: bridge.received == 3, "three messages at the hub")
        await hub.publish("news/a", "last")
        await until(lambda: "last" in ears.heard, "the last one")
        history = [each.as_value() for each in await hub.history("news/a")]
        assert sorted(history) == sorted(
            [f"from-{side}-{number}" for side in ("inside", "outside") for number in range(3)] + ["last"]
        )
        assert sorted(ears.heard) == sorted(history)
        ears.end()
        await bridge.stop()
        await hub.stop()


async def test_one_of_several_hubs_carries_the_bridge_and_another_takes_over() -> None:
    with engine("redis") as server:
        hubs = [Hub(dev=True, broker=server.url) for _ in range(2)]
        bridges = []
        for hub in hubs:
            await hub.start()
            bridges.append(RedisBridge(hub.core, server.url, CHANNELS))
            bridges[-1].start()
        await until(lambda: any(bridge.is_carrying for bridge in bridges), "a bridge")
        await asyncio.to_thread(say, server, "legacy.news", "one")
        await until(lambda: sum(bridge.received for bridge in bridges) == 1, "the message")
        (carrier,) = [bridge for bridge in bridges if bridge.is_carrying]
        (other,) = [bridge for bridge in bridges if bridge is not carrier]
        await carrier.stop()
        await until(lambda: other.is_carrying, "the other bridge")
        await asyncio.to_thread(say, server, "legacy.news", "two")
        await until(lambda: other.received == 1, "the second message")
        assert [each.as_value() for each in await hubs[0].history("news/a")] == ["one", "two"]
        await other.stop()
        for hub in hubs:
            await hub.stop()


async def test_binary_messages_stay_binary_and_a_cut_is_survived() -> None:
    with engine("redis") as server:
        async with FaultProxy("127.0.0.1", server.port) as proxy:
            hub = Hub(dev=True)
            await hub.start()
            bridge = RedisBridge(hub.core, f"redis://127.0.0.1:{proxy.port}", CHANNELS)
            bridge.start()
            await until(lambda: bridge.is_carrying, "the bridge")
            server.call("PUBLISH", "legacy.prices", b"\xff\x00")
            await until(lambda: bridge.received == 1, "the message")
            (found,) = await hub.history("prices/b")
            assert found.as_raw() == b"\xff\x00"
            proxy.reset()
            await until(lambda: not bridge.is_carrying, "the loss")
            await until(lambda: bridge.is_carrying, "the bridge again")
            server.call("PUBLISH", "legacy.prices", b"x" * 100_000)
            server.call("PUBLISH", "legacy.prices", b"2")
            await until(lambda: bridge.received == 2, "the next message")
            assert bridge.refused == 1
            await bridge.stop()
            await hub.stop()


def test_what_cannot_be_bridged_is_refused() -> None:
    core = Hub(dev=True).core
    for url, channels in (
        ("redis+cluster://a", CHANNELS),
        ("redis://a,b", CHANNELS),
        ("redis://a", {"one": "x", "two": "x"}),
    ):
        with pytest.raises(ConfigurationError, match=r"bridges\.redis"):
            RedisBridge(core, url, channels)
