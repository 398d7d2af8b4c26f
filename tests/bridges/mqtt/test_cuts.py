"""The broker or the hub is killed while traffic flows: nothing that was acknowledged is lost (must be shown 6)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chappe.app import Hub
from chappe.bridges.mqtt.bridge import MqttBridge
from chappe.hub.namespaces import Level
from chappe.testing.fault_proxy import FaultProxy
from tests.bridges.mqtt.mosquitto import (
    KEEPS_ALL,
    OPEN,
    Mosquitto,
    bridged,
    ears,
    mosquitto,
    open_hub,
    options,
    say,
    until,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

KILLS = 3
QOS = pytest.mark.parametrize("qos", [1, 2])


def in_order(numbers: list[int]) -> bool:
    """Whether the first time of each is in order: repetitions are allowed."""
    first = list(dict.fromkeys(numbers))
    return first == sorted(first)


@asynccontextmanager
async def publishing(hub: Hub, channel: str) -> AsyncIterator[list[int]]:
    """Publish numbers all the time; gives those that the hub has acknowledged."""
    told: list[int] = []

    async def publish() -> None:
        number = 0
        while True:
            await hub.publish(channel, number)
            told.append(number)
            number += 1
            await asyncio.sleep(0.002)

    task = asyncio.create_task(publish())
    try:
        yield told
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@QOS
@pytest.mark.parametrize("level", [Level.LIVE, Level.RECOVERABLE])
async def test_what_goes_out_survives_kills_of_mosquitto(qos: int, level: Level) -> None:
    with mosquitto(*OPEN, *KEEPS_ALL) as server:
        # QoS 0 is never confirmed: what it was given before a kill is read to the end, even if the socket is dead.
        async with ears(server, "out/#", "-q", "0", "-c", "-i", "ears") as heard:
            # The subscription is on the disk; what comes is written to its socket before it is confirmed to the bridge.
            server.stop()
            server.start()
            await until(lambda: server.log.count("Sending CONNACK to ears") == 2, "mosquitto_sub again")
            async with bridged(options(server, f"out/# out {qos}"), open_hub(level=level)) as (hub, bridge):
                async with publishing(hub, "out/numbers") as told:
                    for kill in range(1, KILLS + 1):
                        known = len(told)
                        await until(lambda known=known: len(heard.lines) > known, "traffic")  # type: ignore[misc]
                        server.kill()
                        await asyncio.to_thread(server.start)
                        await until(
                            lambda kill=kill: server.log.count("Sending CONNACK to ears") == 2 + kill,  # type: ignore[misc]
                            "mosquitto_sub again",
                        )
                        await until(lambda: bridge.is_connected, "the bridge again")
                await until(lambda: not bridge.status().counts["waiting"], "everything sent")
                await until(lambda: told[-1] in [int(each) for each in heard.payloads], "the last one")
                numbers = [int(each) for each in heard.payloads]
                assert set(numbers) == set(range(told[-1] + 1))
                assert in_order(numbers)
                assert bridge.status().counts["dropped"] == 0


async def test_what_came_in_and_was_confirmed_survives_kills_of_mosquitto() -> None:
    with mosquitto(*OPEN, *KEEPS_ALL) as server:
        async with bridged(options(server, "in/# in 1", client_id="bridge")) as (hub, bridge):
            sent = 0

            async def publish() -> None:
                nonlocal sent
                while True:
                    try:
                        await say(server, f"in/{sent}", "-q", "1", text=str(sent))
                    except AssertionError:
                        # Killed: not acknowledged.
                        await asyncio.sleep(0.01)
                    sent += 1

            task = asyncio.create_task(publish())
            for _ in range(KILLS):
                before = bridge.status().counts["received"]
                await until(lambda before=before: bridge.status().counts["received"] > before + 10, "traffic")  # type: ignore[misc]
                server.kill()
                await until(lambda: not bridge.is_connected, "the cut")
                await asyncio.to_thread(server.start)
                await until(lambda: bridge.is_connected, "the bridge again")
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await say(server, "in/last", "-q", "1", text="last")
            await until(lambda: "in/last" in server.confirmed_by("bridge"), "the last one")
            confirmed = server.confirmed_by("bridge")
            stored = {topic for topic in confirmed if await hub.history(topic)}
            assert stored == confirmed
            assert len(confirmed) > KILLS * 10


@QOS
async def test_what_comes_in_survives_restarts_of_mosquitto_that_writes_down_what_it_keeps(qos: int) -> None:
    with mosquitto(*OPEN, *KEEPS_ALL) as server:
        async with bridged(options(server, f"in in {qos}", client_id="bridge")) as (hub, bridge):
            number = 0
            for _ in range(KILLS):
                for _ in range(20):
                    await say(server, "in", "-q", str(qos), text=str(number))
                    number += 1
                await asyncio.to_thread(server.stop)
                await asyncio.to_thread(server.start)
                # Whether the bridge is back or not: the session keeps it.
                await say(server, "in", "-q", str(qos), text=str(number))
                number += 1
            await say(server, "in", "-q", str(qos), text="-1")
            await until(lambda: bridge.status().counts["received"] > number, "all")
            found = [each.as_value() for each in await hub.history("in", limit=1_000)]
            while found[-1] != -1:
                await asyncio.sleep(0.01)
                found = [each.as_value() for each in await hub.history("in", limit=1_000)]
            assert set(found) == set(range(-1, number))
            assert in_order(found[:-1])
            # Of QoS 2 it may send again what it had no PUBCOMP for, as a PUBLISH where a PUBREL belongs.
            assert len(found) <= number + 1 + KILLS * 20


@QOS
async def test_once_is_once_over_cuts_of_the_connection(qos: int) -> None:
    with mosquitto(*OPEN, *KEEPS_ALL) as server:
        async with FaultProxy("127.0.0.1", server.port) as proxy:
            given = options(server, f"out out {qos}", f"in in {qos}", port=proxy.port)
            async with ears(server, "out", "-q", "2") as heard, bridged(given) as (hub, bridge):
                async with publishing(hub, "out") as told:
                    for cut in range(5):
                        await until(lambda cut=cut: len(heard.lines) > 20 * (cut + 1), "traffic")  # type: ignore[misc]
                        proxy.reset()
                        await say(server, "in", "-q", str(qos), text=str(cut))
                await until(lambda: bridge.is_connected and not bridge.status().counts["waiting"], "everything sent")
                await until(lambda: told[-1] in [int(each) for each in heard.payloads], "the last one")
                numbers = [int(each) for each in heard.payloads]
                assert set(numbers) == set(range(told[-1] + 1))
                assert in_order(numbers)
                await until(lambda: bridge.status().counts["received"] >= 5, "what came in")
                found = [each.as_value() for each in await hub.history("in")]
                assert list(dict.fromkeys(found)) == list(range(5))
                if qos == 2:
                    assert len(numbers) == told[-1] + 1
                    assert found == list(range(5))


async def test_a_hub_that_starts_again_sends_what_was_published_while_the_broker_was_away(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/hub.db"
    with mosquitto(*OPEN, *KEEPS_ALL) as server:
        async with ears(server, "#", "-q", "1", "-c", "-i", "ears") as heard:
            given = options(server, "out/# out 1", "exact out 1", "in in 1")
            async with bridged(given, open_hub(url)) as (hub, bridge):
                await hub.publish("out/a", 0)
                await hub.publish("exact", "before")
                await until(lambda: len(heard.lines) == 2, "the first ones")
                client_id = bridge._claim.record.client_id  # type: ignore[union-attr]
            server.stop()
            # Nobody carries what is published now, neither the bridge nor its outbox.
            async with bridged(given, open_hub(url), wait=cannot_connect) as (hub, bridge):
                for number in range(1, 50):
                    await hub.publish("out/a", number)
                await hub.publish("exact", "meanwhile")
                assert bridge.status().counts["waiting"] == 50
                assert bridge.status().problem
            server.start()
            await until(lambda: server.log.count("Sending CONNACK to ears") == 2, "mosquitto_sub again")
            await say(server, "in", "-q", "1", text="kept by the session")
            async with bridged(given, open_hub(url)) as (hub, bridge):
                assert bridge._claim.record.client_id == client_id  # type: ignore[union-attr]
                await until(lambda: len(heard.lines) >= 53, "what was published meanwhile")
                out = [line[3] for line in heard.lines if line[0] == "out/a"]
                assert out == [str(number).encode() for number in range(50)]
                assert [line[3] for line in heard.lines if line[0] == "exact"] == [b"before", b"meanwhile"]
                await until(lambda: bridge.status().counts["received"] == 1, "what came meanwhile")
                assert bridge.status().counts["gaps"] == 0


async def cannot_connect(bridge: MqttBridge) -> None:
    await until(lambda: bridge.status().problem, "a problem")


async def test_what_the_history_lost_meanwhile_is_told(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/hub.db"
    with mosquitto() as server:
        given = options(server, "out/# out 1")
        async with bridged(given, open_hub(url)) as (hub, bridge):
            await hub.publish("out/a", 0)
            await until(lambda: bridge.status().counts["sent"] == 1, "the first one")
        hub = open_hub(url, history=3)
        await hub.start()
        for number in range(10):
            await hub.publish("out/a", number)
        await hub.stop()
        async with bridged(given, open_hub(url, history=3)) as (_, bridge):
            assert bridge.status().counts["gaps"] == 1


@pytest.mark.parametrize(("level", "lost"), [(Level.RECOVERABLE, 0), (Level.LIVE, 15)])
async def test_a_full_outbox_leaves_the_rest_to_the_history_or_drops_and_counts_it(level: Level, lost: int) -> None:
    with mosquitto(*OPEN, *KEEPS_ALL) as server:
        async with ears(server, "out/#", "-q", "1", "-c", "-i", "ears") as heard:
            given = options(server, "out/# out 1", outbox_messages=10)
            async with bridged(given, open_hub(level=level)) as (hub, bridge):
                server.stop()
                await until(lambda: not bridge.is_connected, "the cut")
                for number in range(25):
                    await hub.publish("out/a", number)
                counts = bridge.status().counts
                assert counts["waiting"] == 10
                assert counts["dropped"] == counts.get("dropped_full", 0) == lost
                server.start()
                await until(lambda: len(heard.lines) == 25 - lost, "the rest")
                assert heard.payloads == [str(number).encode() for number in range(25 - lost)]
                assert bridge.status().counts["gaps"] == 0
                await hub.publish("out/a", "after")
                await until(lambda: heard.payloads[-1:] == [b"after"], "what comes after")


async def test_a_full_outbox_counts_bytes_too() -> None:
    with mosquitto() as server:
        given = options(server, "out/# out 1", outbox_bytes=5_000)
        async with bridged(given, open_hub(level=Level.LIVE)) as (hub, bridge):
            server.stop()
            await until(lambda: not bridge.is_connected, "the cut")
            for _ in range(3):
                await hub.publish("out/a", "x" * 4_000)
            counts = bridge.status().counts
            assert (counts["waiting"], counts["dropped_full"]) == (2, 1)
            assert 8_000 < counts["waiting_bytes"] < 10_000


async def test_qos_0_is_dropped_and_counted_in_a_cut() -> None:
    with mosquitto() as server:
        async with bridged(options(server, "out/# out 0")) as (hub, bridge):
            server.stop()
            await until(lambda: not bridge.is_connected, "the cut")
            await hub.publish("out/a", "nobody hears it")
            assert bridge.status().counts["dropped_cut"] == 1
            server.start()
            await until(lambda: bridge.is_connected, "the bridge again")
            async with ears(server, "out/#") as heard:
                await hub.publish("out/a", "heard")
                await until(lambda: heard.lines, "the next one")
                assert heard.payloads == [b"heard"]


async def test_a_hub_whose_broker_fails_is_sent_the_message_again() -> None:
    from chappe.testing import running_hub
    from chappe.testing.faulty_broker import Faults

    with mosquitto() as server:
        async with running_hub(faults=Faults()) as running:
            broker = running.faulty
            assert broker is not None
            bridge = MqttBridge(running.hub.core, options(server, "in in 1", client_id="bridge"))
            bridge.start()
            await until(lambda: bridge.is_connected, "the bridge")
            await fail_once(running.hub, server, bridge)
            await bridge.stop()


async def fail_once(hub: Hub, server: Mosquitto, bridge: MqttBridge) -> None:
    """Let the hub's broker refuse one append, as an engine that is away does."""
    core = hub.core
    append = core.broker.append
    failed = 0

    def refuse(batch: object, done: object) -> None:
        nonlocal failed
        from chappe.hub.contracts import Outcome
        from chappe.model.error_codes import Code
        from chappe.model.position import Position

        if any(each.channel == "in" for each in batch) and not failed:  # type: ignore[attr-defined]
            failed += 1
            done([Outcome(Code.NOT_AVAILABLE, Position("", 0)) for _ in batch])  # type: ignore[attr-defined, operator]
        else:
            append(batch, done)  # type: ignore[arg-type]

    core.broker.append = refuse  # type: ignore[method-assign]
    await say(server, "in", "-q", "1", text="once more")
    await until(lambda: bridge.status().counts["received"] == 1, "the second attempt")
    assert failed == 1
    assert [each.as_value() for each in await hub.history("in")] == ["once more"]
    await until(lambda: bridge.status().counts["connections"] == 2, "the second connection")
