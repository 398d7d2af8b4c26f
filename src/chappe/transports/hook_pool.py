"""Threads for hooks that block. Python's own pool would hold the process until the last hook returns."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeAlias

_Call: TypeAlias = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[[], Any]]


class HookPool:
    """Runs functions in daemon threads, at most so many at once; the others wait in order."""

    def __init__(self, threads: int) -> None:
        """Take the number of threads; each is started when it is needed first."""
        self._limit = threads
        self._threads = 0
        self._unfinished = 0
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()

    def run(self, call: Callable[[], Any]) -> "asyncio.Future[Any]":
        """Call a function in a thread; must be called on the event loop, which gets the result or the exception."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._unfinished += 1
        future.add_done_callback(self._finished)
        self._calls.put((loop, future, call))
        if self._threads < min(self._limit, self._unfinished):
            self._threads += 1
            threading.Thread(target=self._work, name=f"chappe-hook-{self._threads}", daemon=True).start()
        return future

    def stop(self) -> None:
        """Let the threads end when they have done what waits; nobody waits for them."""
        for _ in range(self._threads):
            self._calls.put(None)
        self._threads = 0

    def _finished(self, future: "asyncio.Future[Any]") -> None:
        self._unfinished -= 1

    def _work(self) -> None:
        while (item := self._calls.get()) is not None:
            loop, future, call = item
            if future.cancelled():
                continue
            result, problem = None, None
            try:
                result = call()
            except Exception as error:
                problem = error
            # A loop that was closed meanwhile waits for nothing any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_settle, future, result, problem)


def _settle(future: "asyncio.Future[Any]", result: Any, problem: Exception | None) -> None:
    if future.done():
        return
    if problem is not None:
        future.set_exception(problem)
    else:
        future.set_result(result)
