"""A hub for tests runs on a real port, also on a broker that makes faults."""

import asyncio
import time

import pytest

import chappe
from chappe.testing.checker import payload_hash, verdict
from chappe.testing.checker.journal import Ack, Attempt, Event, Place, Seen, Settled, Subscribed
from chappe.testing.faulty_broker import HARMLESS, Faults
from chappe.testing.running import RunningHub, running_hub

CHANNEL = "chat/lobby"
COUNT = 100


async def converse(running: RunningHub) -> list[Event]:
    """Publish on one connection, read on another, and log both for the checker."""
    log: list[Event] = []
    async with (
        chappe.connect(running.ws_url) as publisher,
        chappe.connect(running.ws_url) as reader,
        reader.subscribe(CHANNEL) as subscription,
    ):
        assert subscription.position is not None
        start = Place(subscription.position.epoch, subscription.position.offset)
        log.append(
            Subscribed(subscriber="s", channel=CHANNEL, epoch=start.epoch, offset=start.offset, time=time.monotonic())
        )
        for number in range(COUNT):
            name = payload_hash(b"%d" % number)
            log.append(Attempt(publisher="p", attempt=number, channel=CHANNEL, hash=name, time=time.monotonic()))
            position = await publisher.publish(CHANNEL, number)
            log.append(
                Ack(
                    publisher="p",
                    attempt=number,
                    channel=CHANNEL,
                    epoch=position.epoch,
                    offset=position.offset,
                    time=time.monotonic(),
                )
            )
        async for publication in subscription:
            log.append(
                Seen(
                    subscriber="s",
                    channel=CHANNEL,
                    epoch=publication.epoch or start.epoch,
                    offset=publication.offset or 0,
                    hash=payload_hash(b"%d" % publication.data),
                )
            )
            if publication.data == COUNT - 1:
                break
        log.append(Settled(subscriber="s", channel=CHANNEL, time=time.monotonic()))
    return log


async def test_a_hub_serves_until_the_block_ends() -> None:
    async with running_hub() as running:
        assert verdict(await converse(running)).clean
        port = running.port
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


@pytest.mark.slow
async def test_clients_notice_nothing_of_harmless_faults() -> None:
    faults = Faults(late=HARMLESS.late, late_read=HARMLESS.late_read, gaps=True, late_s=0.01)
    async with running_hub(faults=faults, seed=3) as running:
        result = verdict(await converse(running))
    assert result.clean, result
    assert result.acknowledged == COUNT


async def test_a_hub_of_ones_own_takes_no_further_options() -> None:
    with pytest.raises(ValueError, match="expected either"):
        async with running_hub(chappe.Hub(dev=True), faults=HARMLESS):
            pytest.fail("it ran")
