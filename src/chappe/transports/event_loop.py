"""The event loop as the hub sees it: its clock, and its way to run awaitables."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

#: What a cancelled hook gets to clean up, seconds.
_CANCEL_S: Final = 1.0


class LoopClock:
    """Tells time by the running event loop (`Clock`)."""

    #: Monotonic seconds; the function itself, since it is asked at every message.
    now = staticmethod(time.monotonic)

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def wall_ms(self) -> int:
        """Return milliseconds since 1970 UTC."""
        return time.time_ns() // 1_000_000

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Call back once, on the running loop."""
        if self._loop is None or self._loop.is_closed():
            self._loop = asyncio.get_running_loop()
        return self._loop.call_later(delay_s, callback)


class Tasks:
    """Runs awaitables of hooks; owns their tasks until they are done.

    A session runs one hook at a time, so there are at most as many tasks as sessions and calls.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, awaitable: Awaitable[Any], done: Callable[[Any, BaseException | None], None]) -> None:
        """Run an awaitable and call back with its result or exception (`Spawn`)."""
        task = asyncio.get_running_loop().create_task(_run(awaitable, done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self, timeout_s: float) -> None:
        """Let what runs finish for so long, then cancel it; each gets its callback either way."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(tuple(self._tasks), timeout=timeout_s)
        for task in late:
            task.cancel()
        if late:
            # A hook that swallows its cancellation is left behind.
            await asyncio.wait(late, timeout=_CANCEL_S)

    def forget(self) -> None:
        """Own nothing any more: the loop that ran the tasks is gone."""
        self._tasks.clear()

    def __len__(self) -> int:
        return len(self._tasks)


async def _run(awaitable: Awaitable[Any], done: Callable[[Any, BaseException | None], None]) -> None:
    try:
        result = await awaitable
    except asyncio.CancelledError as error:
        done(None, error)
        raise
    except Exception as error:
        done(None, error)
        return
    done(result, None)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes event loops: uvloop's where it exists, else None for Python's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def stop_reading(transport: asyncio.Transport) -> None:
    """Pause a transport that brings bytes although it was paused.

    Loops begin to read behind `connection_made`, whatever was said there: uvloop, and asyncio of early Python 3.11,
    which takes a second pause only behind a resume.
    """
    if not transport.is_reading():
        transport.resume_reading()
    transport.pause_reading()
