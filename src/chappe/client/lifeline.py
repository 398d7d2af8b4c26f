"""Keeps one connection to one server for as long as its user wants it: dials, listens, waits, dials again."""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from chappe.client.connection import Connection, dial
from chappe.client.errors import CUT, ClientClosed, ConnectionLost
from chappe.client.events import Events
from chappe.client.network import has_network
from chappe.client.options import Settings
from chappe.client.reconnection import Reconnection, State
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError

_log = logging.getLogger("chappe.client")

#: The code of a close that nothing went wrong with (RFC 6455, 7.4.1).
NORMAL: Final = 1000


#: How often a client that waits looks whether a network that was away is back.
NETWORK_CHECK_S: Final = 1.0


class Conversation(Protocol):
    """What a client says over its connections, one after the other. `Lifeline` calls it, from its one task."""

    async def converse(self, connection: Connection, accepted: Callable[[], None]) -> None:
        """Talk until the connection is over.

        Call `accepted` once, when the server took us: the attempt counter restarts and `connected` is told. Called
        again for each connection, never twice at a time; cancelled when the user closes the client.

        Raises:
            ConnectionLost: the connection is over; `final` says whether dialing again is pointless.
            ChappeError: the server refused us for good.
        """

    def lost(self, error: ChappeError) -> None:
        """Learn that a connection is over or an attempt failed; `ended` may follow."""

    def ended(self, error: ChappeError) -> None:
        """Learn, once, that there will be no further connection; `ClientClosed` if the user wanted so."""


class Lifeline:
    """The life of a client: many connections, one after the other.

    `start` first, `close` last. Events go to `events`: `connected`, `disconnected(code)` for what was connected,
    `error(error)` for an attempt that failed, `reconnecting(n, of)` before each wait, `gave_up` when attempts ran out,
    `latency(ms)`.
    """

    def __init__(self, settings: Settings, events: Events, conversation: Conversation) -> None:
        self._settings = settings
        self._events = events
        self._conversation = conversation
        self._reconnection = Reconnection(settings.policy)
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._change = asyncio.Event()
        self._redial = asyncio.Event()
        self._error: ChappeError | None = None
        self._accepted_once = False

    @property
    def state(self) -> State:
        """Return what is being done about the connection."""
        return self._reconnection.state

    @property
    def error(self) -> ChappeError | None:
        """Return why there will be no further connection, or None."""
        return self._error

    @property
    def must_raise(self) -> bool:
        """Tell whether a failure now goes to the caller of `start`, who waits for the first connection."""
        return not (self._accepted_once or self._settings.retry_first)

    async def start(self) -> None:
        """Connect for the first time.

        Cancelled, it leaves no connection behind.

        Raises:
            ChappeError: the first connection failed and `retry_first` is off, or the server refused us for good.
        """
        if self._task is not None or self._error is not None:
            raise ClientClosed("this client was started already, make another one")
        self._task = asyncio.get_running_loop().create_task(self._run(), name="chappe client")
        try:
            await self.ready()
        except BaseException:
            await self.close()
            raise

    async def ready(self) -> None:
        """Wait until there is a connection.

        Raises:
            ChappeError: there will be none.
        """
        while self.state is not State.CONNECTED:
            if self._error is not None:
                raise self._error
            self._change.clear()
            await self._change.wait()

    async def wait_closed(self) -> None:
        """Wait until there will be no further connection."""
        while self._error is None:
            self._change.clear()
            await self._change.wait()

    def redial(self) -> None:
        """Dial now instead of waiting, as when a network came back."""
        self._redial.set()

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """End for good, with a closing handshake where there is a connection; closing twice is fine."""
        if self._connection is not None and self._error is None:
            # Before the handshake: what the peer answers must not look like a cut.
            self._finish(ClientClosed(), code)
            await self._connection.close(code, reason)
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
            await asyncio.wait([self._task])
        self._finish(ClientClosed(), code)

    async def _run(self) -> None:
        try:
            while self._error is None:
                error = await self._attempt()
                wait_s = self._after(error)
                if wait_s is not None:
                    await self._pause(wait_s)
        except Exception as error:
            _log.exception("the client ends after an unexpected error")
            self._finish(ChappeError(Code.INTERNAL_ERROR, f"unexpected error in the client: {error!r}"), CUT)

    async def _attempt(self) -> ChappeError:
        """Dial and talk; return why it is over."""
        beat: asyncio.Task[None] | None = None
        loop = asyncio.get_running_loop()
        begin = loop.time()

        def accepted() -> None:
            nonlocal beat
            deadline.cancel()
            self._accepted_once = True
            self._reconnection.connected()
            if self._settings.heartbeat_interval_s:
                beat = loop.create_task(self._beat(connection), name="chappe heartbeat")
            self._announce("connected")

        try:
            connection = self._connection = await dial(self._settings)
        except ChappeError as error:
            return error
        limit_s = self._settings.open_timeout_s
        deadline = loop.call_at(begin + limit_s, connection.abort, f"not accepted within {limit_s:g} s")
        try:
            await self._conversation.converse(connection, accepted)
            return ConnectionLost(NORMAL, "the conversation is over")
        except ChappeError as error:
            return error
        finally:
            deadline.cancel()
            self._connection = None
            await _end(beat)
            await connection.close()

    def _after(self, error: ChappeError) -> float | None:
        """Decide what follows a connection or a failed attempt: the seconds to wait, or None: the end."""
        if self._error is not None:
            return None
        was_connected = self.state is State.CONNECTED
        code = error.close_code if isinstance(error, ConnectionLost) else CUT
        final = not isinstance(error, ConnectionLost) or error.final or self.must_raise
        if final:
            self._finish(error, code)
            return None
        asked_ms = error.retry_after_ms if isinstance(error, ConnectionLost) else 0.0
        wait = self._reconnection.lost(random.random(), asked_ms)  # noqa: S311 - jitter, no secret
        self._conversation.lost(error)
        self._announce("disconnected", code) if was_connected else self._announce("error", error)
        if wait is None:
            self._announce("gave_up")
            self._finish(error, code)
            return None
        self._announce("reconnecting", wait.attempt, self._settings.max_attempts)
        return wait.delay_ms / 1000

    async def _pause(self, wait_s: float) -> None:
        """Wait, but no longer than until somebody calls `redial` or a network that was away is back."""
        self._redial.clear()
        clock = asyncio.get_running_loop()
        deadline = clock.time() + wait_s
        was_away = not has_network()
        while not self._redial.is_set() and (left_s := deadline - clock.time()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left_s, NETWORK_CHECK_S) if was_away else left_s):
                    await self._redial.wait()
            if was_away and has_network():
                break
        self._reconnection.dial()

    async def _beat(self, connection: Connection) -> None:
        """Ping at intervals; cut a connection whose peer does not answer."""
        timeout_s = self._settings.pong_timeout_s
        while True:
            try:
                latency_s = await connection.ping(timeout_s)
            except TimeoutError:
                connection.abort(f"no pong within {timeout_s:g} s")
                return
            except ConnectionLost:
                return
            if latency_s is not None:
                self._events.emit("latency", latency_s * 1000)
            await asyncio.sleep(self._settings.heartbeat_interval_s)

    def _announce(self, event: str, *arguments: object) -> None:
        self._change.set()
        self._events.emit(event, *arguments)

    def _finish(self, error: ChappeError, code: int) -> None:
        """End once."""
        if self._error is not None:
            return
        was_connected = self.state is State.CONNECTED
        self._error = error
        self._reconnection.stop()
        self._conversation.lost(error)
        if was_connected:
            self._announce("disconnected", code)
        if not isinstance(error, ClientClosed):
            self._announce("error", error)
        self._change.set()
        self._conversation.ended(error)


async def _end(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.wait([task])
