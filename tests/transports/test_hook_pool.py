"""Threads for blocking hooks: bounded, and no reason for a process to stay."""

import asyncio
import functools
import subprocess
import sys
import threading
import time

import pytest

from chappe.transports.hook_pool import HookPool


async def test_as_many_run_at_once_as_there_are_threads_and_the_rest_waits() -> None:
    pool, running, most = HookPool(3), 0, 0
    lock = threading.Lock()

    def work(number: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1
        return number

    results = await asyncio.gather(*(pool.run(functools.partial(work, number)) for number in range(12)))
    assert results == list(range(12))
    assert most == 3
    pool.stop()


async def test_what_a_function_raises_is_raised_to_who_waits() -> None:
    pool = HookPool(1)
    with pytest.raises(ZeroDivisionError):
        await pool.run(lambda: 1 // 0)
    assert await pool.run(threading.current_thread) is not threading.current_thread()
    pool.stop()


async def test_a_stopped_pool_leaves_no_thread() -> None:
    pool = HookPool(2)
    thread = await pool.run(threading.current_thread)
    pool.stop()
    await asyncio.to_thread(thread.join, 2)
    assert not thread.is_alive()


@pytest.mark.slow
def test_a_function_that_blocks_does_not_hold_the_process() -> None:
    program = (
        "import asyncio, time\nfrom chappe.transports.hook_pool import HookPool\n"
        "async def main():\n HookPool(1).run(lambda: time.sleep(30))\n await asyncio.sleep(0.1)\nasyncio.run(main())"
    )
    began = time.monotonic()
    assert subprocess.run([sys.executable, "-c", program], timeout=20, check=False).returncode == 0
    assert time.monotonic() - began < 15
