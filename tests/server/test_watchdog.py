"""The watchdog notices that the loop stands still, and says where."""

import asyncio
import logging
import time

import pytest

from chappe.server.watchdog import Watchdog


def block_for(seconds: float) -> None:
    time.sleep(seconds)


@pytest.mark.slow
async def test_a_blocked_loop_is_logged_once_with_the_stack_that_blocks_it(caplog: pytest.LogCaptureFixture) -> None:
    watchdog = Watchdog(0.1)
    watchdog.start()
    with caplog.at_level(logging.ERROR, "chappe.watchdog"):
        block_for(0.5)
        await asyncio.sleep(0.05)
    watchdog.stop()
    assert watchdog.blocked == 1
    assert "event loop blocked" in caplog.text
    assert "block_for" in caplog.text


@pytest.mark.slow
async def test_a_loop_that_turns_raises_no_alarm() -> None:
    watchdog = Watchdog(0.2)
    watchdog.start()
    for _ in range(10):
        await asyncio.sleep(0.05)
    watchdog.stop()
    assert watchdog.blocked == 0


async def test_zero_seconds_turn_the_watchdog_off() -> None:
    watchdog = Watchdog(0)
    watchdog.start()
    watchdog.stop()
    assert watchdog.blocked == 0
