"""Keeps one connection to one server for as long as its user wants it: dials, listens, waits, dials again."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Protocol

from chappe.client.climb import Climb
from chappe.client.connection import Connection, Transport
from chappe.client.dialer import dial
from chappe.client.errors import CUT, ClientClosed, ConnectionLost
from chappe.client.events import Events
from chappe.client.heartbeat import Heartbeat
from chappe.client.network import has_network, local_addresses
from chappe.client.options import Settings
from chappe.client.reconnection import Reconnection, State
from chappe.client.route import Route, Step
from chappe.client.standing import Input, OfflineReason, Standing
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError

_log = logging.getLogger("chappe.client")

#: The code of a close that nothing went wrong with (RFC 6455, 7.4.1).
NORMAL: Final = 1000
#: How often a client that waits looks whether the network is back, or another one.
NETWORK_CHECK_S: Final = 1.0


class Accepted(Protocol):
    """How a conversation says that the server took us."""

    def __call__(self, behind: bool = False) -> None:
        """Say it once; `behind`: what was missed is asked for, `Lifeline.caught_up` follows."""


class Conversation(Protocol):
    """What a client says over its connections, one after the other. `Lifeline` calls it, from its one task."""

    async def converse(self, connection: Connection, accepted: Accepted) -> None:
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
    `transport_changed(old, new)`, `state(state, reason)`, `latency(ms)`.

    Args:
        may_move: asked before a better transport takes over; while it answers, the conversation comes to rest. False:
            not now. By default never.
        prepare: awaited before each dial for what the conversation begins with, a token: what that takes says nothing
            about a transport. It may take `open_timeout_s` too.
    """

    def __init__(
        self,
        settings: Settings,
        events: Events,
        conversation: Conversation,
        may_move: Callable[[], Awaitable[bool]] | None = None,
        prepare: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.heartbeat = Heartbeat(settings, events)
        self.standing = Standing(lambda state, reason: events.emit("state", state, reason))
        self._settings = settings
        self._events = events
        self._conversation = conversation
        self._may_move = may_move
        self._prepare = prepare
        self._route = Route(settings)
        self._reconnection = Reconnection(settings.policy)
        self._connection: Connection | None = None
        self._better: Connection | None = None
        self._transport: Transport | None = None
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
    def transport(self) -> Transport | None:
        """Return what carries the connection, or carried the last one; None before the first."""
        return self._transport

    @property
    def must_raise(self) -> bool:
        """Tell whether a failure now goes to the caller of `start`, who waits for the first connection."""
        return not (self._accepted_once or self._settings.retry_first)

    def caught_up(self) -> None:
        """Learn that everything that was missed has arrived, or is known to be lost."""
        if self.standing.state == "catching-up":
            self.standing.move(Input.CATCH_UP)

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
        try:
            if self._connection is not None and self._error is None:
                # Before the handshake: what the peer answers must not look like a cut.
                self._finish(ClientClosed(), code)
                await self._connection.close(code, reason)
        finally:
            # Interrupted, it is as over.
            self._finish(ClientClosed(), code)
            if self._task is not None and self._task is not asyncio.current_task():
                self._task.cancel()
                await asyncio.wait([self._task])

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
        """Dial and talk, by one transport after the other until one gets through; return why it is over."""
        errors: list[ChappeError] = []
        steps = self._route.steps()
        self.standing.move(Input.DIAL)
        try:
            await self._get_ready()
        except ChappeError as failed:
            return failed
        for step in steps:
            error = await self._try(step)
            errors.append(error)
            if self.state is State.CONNECTED or not _may_be_carrier(error):
                break
        if self.state is State.CONNECTED:
            return errors[-1]
        if len(errors) == len(steps) and _may_be_carrier(errors[-1]):
            self._route.blocked()
        # While one of them may get through next time, there is a next time; the best one says what was wrong.
        passing = [error for error in errors if isinstance(error, ConnectionLost) and not error.final]
        return errors[-1] if not _may_be_carrier(errors[-1]) else (passing or errors)[0]

    async def _get_ready(self) -> None:
        if self._prepare is None:
            return
        limit_s = self._settings.open_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                await self._prepare()
        except TimeoutError as late:
            raise ConnectionLost(CUT, f"no token was given within {limit_s:g} s") from late

    async def _try(self, step: Step) -> ChappeError:
        begin = asyncio.get_running_loop().time()
        try:
            connection = await dial(self._settings, step)
        except ChappeError as failed:
            return failed
        try:
            error = await self._converse(connection, step, begin)
            while (better := self._better) is not None and self._error is None:
                # The old connection is over for us alone: to the hub it hangs until the session has moved.
                self._better = None
                self._conversation.lost(error)
                begin = asyncio.get_running_loop().time()
                error = await self._converse(better, Step(better.transport, step.timeout_s), begin)
            return error
        finally:
            if self._better is not None:
                await self._better.close()

    async def _converse(self, connection: Connection, step: Step, begin: float) -> ChappeError:
        """Talk over one connection, with a heartbeat, and an eye on better transports."""
        tasks: list[asyncio.Task[None]] = []
        loop = asyncio.get_running_loop()
        late = f"not accepted within {step.timeout_s:g} s"
        deadline = loop.call_at(begin + step.timeout_s, connection.abort, late)

        def accepted(behind: bool = False) -> None:
            deadline.cancel()
            self._accepted(connection.transport, behind)
            if self.heartbeat.interval_s:
                tasks.append(loop.create_task(self.heartbeat.run(connection), name="chappe heartbeat"))
            if self._may_move is not None and self._route.better_than(connection.transport):
                climb = Climb(self._settings, self._route)
                tasks.append(loop.create_task(self._climb(climb, connection), name="chappe climb"))

        self._connection = connection
        try:
            await self._conversation.converse(connection, accepted)
            return ConnectionLost(NORMAL, "the conversation is over")
        except ChappeError as error:
            return error
        finally:
            deadline.cancel()
            self._connection = None
            for task in tasks:
                await _end(task)
            await connection.close()

    def _accepted(self, transport: Transport, behind: bool) -> None:
        """Learn that the server took us, after a dial or on a better transport."""
        self._accepted_once = True
        self._route.carried(transport)
        moves = self.state is State.CONNECTED
        if not moves:
            self._reconnection.connected()
        old, self._transport = self._transport, transport
        self.standing.move(Input.RESUME if behind else Input.ACCEPT)
        if not moves:
            self._announce("connected")
        if old not in (None, transport):
            self._announce("transport_changed", old, transport)

    async def _climb(self, climb: Climb, connection: Connection) -> None:
        """Move up as soon as something better gets through and the conversation may be interrupted."""
        assert self._may_move is not None
        while True:
            better = await climb.better(connection.transport)
            try:
                await self._get_ready()
                if await self._may_move():
                    self._better = better
                    connection.abort(f"{better.transport} takes over")
                    return
            except ChappeError as failed:
                self._events.emit("error", failed)
            finally:
                if self._better is not better:
                    await better.close()

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
        self.standing.move(Input.LOSE, _reason())
        self._announce("disconnected", code) if was_connected else self._announce("error", error)
        if wait is None:
            self._announce("gave_up")
            self._finish(error, code)
            return None
        self._announce("reconnecting", wait.attempt, self._settings.max_attempts)
        return wait.delay_ms / 1000

    async def _pause(self, wait_s: float) -> None:
        """Wait, but no longer than until somebody calls `redial` or the network is back, or another one."""
        self._redial.clear()
        clock = asyncio.get_running_loop()
        deadline = clock.time() + wait_s
        here = local_addresses()
        while not self._redial.is_set() and (left_s := deadline - clock.time()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left_s, NETWORK_CHECK_S)):
                    await self._redial.wait()
            before, here = here, local_addresses()
            if here and here != before:
                break
        self._reconnection.dial()

    def _announce(self, event: str, *arguments: object) -> None:
        self._change.set()
        self._events.emit(event, *arguments)

    def _finish(self, error: ChappeError, code: int) -> None:
        """End once."""
        if self._error is not None:
            return
        was_connected = self.state is State.CONNECTED
        self._error = error
        gave_up = self.state is State.ENDED
        self._reconnection.stop()
        self._conversation.lost(error)
        if isinstance(error, ClientClosed):
            self.standing.move(Input.QUIT)
        elif not gave_up:
            self.standing.move(Input.REFUSE)
        if was_connected:
            self._announce("disconnected", code)
        if not isinstance(error, ClientClosed):
            self._announce("error", error)
        self._change.set()
        self._conversation.ended(error)


def _reason() -> OfflineReason:
    return "hub_down" if has_network() else "no_network"


def _may_be_carrier(error: ChappeError) -> bool:
    """Tell whether it may be the transport that failed, and not the server or our credentials."""
    return isinstance(error, ConnectionLost) and error.other_way


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
