"""Events of a client: who listens, and how a listener is called."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from chappe.model.errors import LocalProtocolError

Listener = TypeVar("Listener", bound=Callable[..., object])

#: What every client tells, with the arguments a listener gets.
CONNECTION_EVENTS: Final[dict[str, str]] = {
    "state": "state, reason",
    "connected": "",
    "disconnected": "code",
    "reconnecting": "n, of",
    "gave_up": "",
    "message": "message",
    "error": "error",
    "transport_changed": "old, new",
    "latency": "ms",
}
#: Answers of asynchronous listeners that may wait; one more is dropped, and the drop is logged as an error.
MAX_WAITING: Final = 10_000
#: Seconds that asynchronous listeners have to end when the client is closed.
CLOSE_GRACE_S: Final = 5.0

_log = logging.getLogger("chappe.client")


class Events:
    """Listeners by event name.

    Plain functions are called at once, in the order they were added, on the event loop: they must not block. What an
    `async def` listener returns is awaited by one task of the client, in order of the events, so that a slow listener
    delays the listeners behind it and never the connection. An exception in a listener is logged and told as `error`.
    """

    def __init__(self, names: dict[str, str] = CONNECTION_EVENTS) -> None:
        self._listeners: dict[str, list[Callable[..., object]]] = {name: [] for name in names}
        self._waiting: asyncio.Queue[tuple[str, Awaitable[object]]] = asyncio.Queue(MAX_WAITING)
        self._task: asyncio.Task[None] | None = None
        self._closed_from_inside = False

    def on(self, name: str, listener: Listener) -> Listener:
        """Call a listener at each event of a name.

        Raises:
            LocalProtocolError: there is no event of this name.
        """
        self._of(name).append(listener)
        return listener

    def off(self, name: str, listener: Callable[..., object]) -> None:
        """Stop calling a listener; nothing happens if it does not listen."""
        listeners = self._of(name)
        if listener in listeners:
            listeners.remove(listener)

    def has(self, name: str) -> bool:
        """Tell whether anybody listens."""
        return bool(self._of(name))

    def emit(self, name: str, *arguments: Any) -> None:
        """Tell all listeners of an event; call it on the event loop."""
        for listener in tuple(self._listeners[name]):
            try:
                result = listener(*arguments)
            except Exception as error:
                self._failed(name, error)
                continue
            if inspect.isawaitable(result):
                self._await_later(name, result)

    async def close(self) -> None:
        """Let the listeners that wait finish, for `CLOSE_GRACE_S` at most, then cancel them."""
        task, self._task = self._task, None
        if task is None or task is asyncio.current_task():
            # A listener that closes its own client is the last one; what waits behind it is dropped.
            self._closed_from_inside = task is not None
            self._drop_waiting()
            return
        try:
            async with asyncio.timeout(CLOSE_GRACE_S):
                await self._waiting.join()
        except TimeoutError:
            _log.error("a listener did not end within %g s and was cancelled", CLOSE_GRACE_S)
        finally:
            task.cancel()
            self._drop_waiting()
            await asyncio.wait([task])

    def _of(self, name: str) -> list[Callable[..., object]]:
        try:
            return self._listeners[name]
        except KeyError:
            known = ", ".join(self._listeners)
            raise LocalProtocolError(f"no event is named {name!r}, expected one of {known}") from None

    def _await_later(self, name: str, result: Awaitable[object]) -> None:
        try:
            self._waiting.put_nowait((name, result))
        except asyncio.QueueFull:
            _discard(result)
            _log.error("a listener of %r was not run: %d others wait before it", name, MAX_WAITING)
            return
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="chappe listeners")

    async def _run(self) -> None:
        while not self._closed_from_inside:
            name, result = await self._waiting.get()
            try:
                await result
            except Exception as error:
                self._failed(name, error)
            finally:
                self._waiting.task_done()

    def _drop_waiting(self) -> None:
        while not self._waiting.empty():
            _discard(self._waiting.get_nowait()[1])
            self._waiting.task_done()

    def _failed(self, name: str, error: Exception) -> None:
        _log.error("a listener of %r failed", name, exc_info=error)
        # A failing listener of `error` would otherwise be told of itself for ever.
        if name != "error":
            self.emit("error", error)


def _discard(result: Awaitable[object]) -> None:
    # A coroutine that nobody awaits would warn about it.
    if inspect.iscoroutine(result):
        result.close()
