"""The hub is killed under load again and again; the offline checker judges what publishers and subscribers saw.

The memory broker forgets everything at a kill, so what is promised is: an acknowledged publication reaches everybody
who stayed connected, and whoever comes back is told `recovered: false` rather than left with a silent gap. The broker
on a file survives a kill: everybody who comes back recovers all of it, at level `recoverable` as at level `durable`.
CHAPPE_KILLS sets how many kills; `make kills` runs 200.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jwt
import pytest

import chappe
from chappe.client.client import Client
from chappe.client.inbox import Resubscribed
from chappe.client.messages import Publication
from chappe.testing.checker import payload_hash, verdict
from chappe.testing.checker.journal import Ack, Attempt, Closed, Event, Place, Seen, Settled, Subscribed

KILLS = int(os.environ.get("CHAPPE_KILLS", "6"))
CHANNELS = ("news", "prices")


class Hub:
    """A hub process that can be killed and started again on its port."""

    def __init__(self, *options: str) -> None:
        self._options = options
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._process = self._start()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    def restart(self) -> None:
        """SIGKILL, start anew, and wait until it listens: a kill before that would be no more than a longer one."""
        self.end()
        self._process = self._start()
        while self._process.poll() is None:
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", self.port)):
                return
            time.sleep(0.02)

    def end(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "chappe", "serve", "--dev", "--port", str(self.port), "--log-level", "ERROR"]
        return subprocess.Popen([*command, *self._options], stdout=subprocess.DEVNULL)


def digest(data: object) -> str:
    return payload_hash(json.dumps(data, sort_keys=True).encode())


async def publish(client: Client, publisher: str, log: list[Event], stop: asyncio.Event) -> None:
    """Publish one after the other; log each attempt before it is made and each acknowledgement."""
    number = 0
    while not stop.is_set():
        number += 1
        channel = CHANNELS[number % len(CHANNELS)]
        data = {"publisher": publisher, "number": number}
        key = f"{publisher}-{number}"
        log.append(
            Attempt(channel=channel, time=time.time(), publisher=publisher, attempt=number, hash=digest(data), key=key)
        )
        try:
            result = await client.publish(channel, data, key=key)
        except chappe.ChappeError:
            continue
        ack = Ack(
            channel=channel,
            time=time.time(),
            publisher=publisher,
            attempt=number,
            epoch=result.epoch,
            offset=result.offset,
        )
        log.append(ack)


async def follow(client: Client, subscriber: str, channel: str, log: list[Event], ready: asyncio.Event) -> None:
    """Follow a channel over every kill; log what the application sees."""
    async with client.subscribe(channel, since=None) as subscription:
        position = subscription.position
        assert position is not None
        log.append(
            Subscribed(
                channel=channel, time=time.time(), subscriber=subscriber, epoch=position.epoch, offset=position.offset
            )
        )
        ready.set()
        place = Place(position.epoch, position.offset)
        async for item in subscription.items():
            now = time.time()
            if isinstance(item, Resubscribed):
                assert item.position is not None
                log.append(Closed(channel=channel, time=now, subscriber=subscriber))
                log.append(
                    Subscribed(
                        channel=channel,
                        time=now,
                        subscriber=subscriber,
                        epoch=item.position.epoch,
                        offset=item.position.offset,
                        since=place,
                        recovered=item.recovered,
                    )
                )
                place = Place(item.position.epoch, item.position.offset)
            elif isinstance(item, Publication):
                assert item.epoch is not None
                assert item.offset is not None
                log.append(
                    Seen(
                        channel=channel,
                        time=now,
                        subscriber=subscriber,
                        epoch=item.epoch,
                        offset=item.offset,
                        hash=digest(item.data),
                    )
                )
                place = Place(item.epoch, item.offset)


async def kill_under_load(hub: Hub, token: str | None = None) -> list[Event]:
    """Kill a hub again and again while clients publish and follow; return what they saw.

    Idempotency keys are a user's, whom `token` names; without a user they end with the session, which a kill ends.
    """
    chance = random.Random(20261122)
    logs: list[list[Event]] = []
    stop = asyncio.Event()
    try:
        async with asyncio.TaskGroup() as group:
            clients = [
                chappe.connect(hub.url, token=token, reconnect_interval_ms=20, reconnect_max_ms=200, retry_first=True)
                for _ in range(5)
            ]
            for client in clients:
                await client
            following = []
            for index, client in enumerate(clients[:3]):
                for channel in CHANNELS:
                    logs.append([])
                    ready = asyncio.Event()
                    work = follow(client, f"subscriber-{index}-{channel}", channel, logs[-1], ready)
                    following.append(group.create_task(work))
                    await ready.wait()
            publishing = []
            for index, client in enumerate(clients[3:]):
                logs.append([])
                publishing.append(group.create_task(publish(client, f"publisher-{index}", logs[-1], stop)))
            for _ in range(KILLS):
                await asyncio.sleep(chance.uniform(0.3, 1.2))
                await asyncio.to_thread(hub.restart)
            await asyncio.sleep(2)
            stop.set()
            await asyncio.wait(publishing)
            await asyncio.sleep(0.5)
            for index in range(3):
                for number, channel in enumerate(CHANNELS):
                    settled = Settled(channel=channel, time=time.time(), subscriber=f"subscriber-{index}-{channel}")
                    logs[index * len(CHANNELS) + number].append(settled)
            for task in following:
                task.cancel()
            for client in clients:
                await client.close()
    finally:
        hub.end()
    return [event for log in logs for event in log]


def demand_clean(events: list[Event]) -> None:
    result = verdict(events)
    assert result.clean, f"{result}\n" + "\n".join(map(str, result.findings[:10]))
    # Six subscriptions, each made again after every kill that it noticed.
    assert result.subscriptions >= 6 * (1 + KILLS // 2)


@pytest.mark.slow
@pytest.mark.timeout(60 + KILLS * 5)
async def test_no_kill_of_the_hub_leaves_a_silent_gap() -> None:
    demand_clean(await kill_under_load(Hub()))


@pytest.mark.slow
@pytest.mark.timeout(60 + KILLS * 5)
@pytest.mark.parametrize("level", ["recoverable", "durable"])
async def test_on_a_file_every_kill_is_recovered_from(tmp_path: Path, level: str) -> None:
    settings, secret = tmp_path / "chappe.toml", tmp_path / "secret"
    secret.write_text("a secret of more than thirty-two characters", encoding="utf-8")
    settings.write_text(
        f'[broker]\nurl = "sqlite://{tmp_path}/hub.db"\n[namespaces.default]\nlevel = "{level}"\n'
        'history_count = 100000\nhistory_age_s = 3600\nsubscribe = "anonymous"\npublish = "anonymous"\n'
        f'[auth]\nhmac_secret_file = "{secret}"\nalgorithms = ["HS256"]\n',
        encoding="utf-8",
    )
    token = jwt.encode({"sub": "ada", "aud": "chappe", "exp": time.time() + 3600}, secret.read_text(), "HS256")
    events = await kill_under_load(Hub("--config", str(settings)), token)
    demand_clean(events)
    again = [event for event in events if isinstance(event, Subscribed) and event.since is not None]
    assert len(again) >= 6 * (KILLS // 2)
    assert all(event.recovered for event in again), "somebody who came back was not given everything"
    # Everything acknowledged is in one epoch, and everybody saw all of it.
    for channel in CHANNELS:
        acknowledged = {(e.epoch, e.offset) for e in events if isinstance(e, Ack) and e.channel == channel}
        assert len({epoch for epoch, _ in acknowledged}) == 1
        for subscriber in {e.subscriber for e in events if isinstance(e, Seen) and e.channel == channel}:
            seen = {(e.epoch, e.offset) for e in events if isinstance(e, Seen) and e.subscriber == subscriber}
            assert acknowledged <= seen
