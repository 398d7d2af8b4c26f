"""A connection that a stream of events and POST carry: where upgrades do not get through but streams do."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from typing import Final

import msgspec

from chappe.client.connection import Frame, Transport
from chappe.client.errors import CUT, ConnectionLost
from chappe.client.event_parser import Event, EventParser
from chappe.client.http_session import HttpSession
from chappe.client.options import Settings
from chappe.client.polling import HttpConnection
from chappe.client.reconnection import may_reconnect
from chappe.client.refusal import over
from chappe.model.errors import LocalProtocolError

#: Seconds of silence after which a stream is dead: three of the hub's heartbeats (SE-9).
_SILENCE_S: Final = 45.0


class _Goodbye(msgspec.Struct, frozen=True):
    code: int = CUT
    reason: str = ""


class _Subscribed(msgspec.Struct, frozen=True):
    session: str


class StreamConnection(HttpConnection):
    """A session that is read as a stream: a `Connection`. It ends with its stream, as with a socket."""

    transport: Final[Transport] = "sse"

    def __init__(self, session: HttpSession, max_message_bytes: int) -> None:
        super().__init__(session)
        self._frames: deque[str] = deque()
        self._named = False
        self._parser = EventParser(max_message_bytes)
        self._stack = AsyncExitStack()
        self._pieces: AsyncIterator[bytes] | None = None
        self._piece: asyncio.Task[bytes] | None = None
        self._goodbye: ConnectionLost | None = None

    async def open(self) -> None:
        """Open the stream and wait until it says how the session is named; nothing can be sent before.

        Raises:
            ConnectionLost: there is none.
        """
        self._pieces = await self._stack.enter_async_context(self._session.events(_SILENCE_S))
        while not self._named:
            if self._goodbye is not None:
                raise self._goodbye
            await self._read()

    async def receive(self) -> Frame:
        """Return the next message: see `Connection.receive`."""
        self._receiving = True
        try:
            while not self._frames:
                async with self._ending.watched():
                    if self._goodbye is not None:
                        raise self._goodbye
                    await self._read()
            return self._heard(self._frames.popleft())
        finally:
            self._receiving = False

    async def _release(self, *, goodbye: bool) -> None:
        if self._piece is not None:
            self._piece.cancel()
            await asyncio.gather(self._piece, return_exceptions=True)
            self._piece = None
        with suppress(ConnectionLost):
            await self._stack.aclose()
        await self._session.end(goodbye=goodbye)

    async def _read(self) -> None:
        """Read a piece of the stream. Cancelled, the piece is there for the next call."""
        assert self._pieces is not None
        if self._piece is None:
            self._piece = asyncio.ensure_future(_next(self._pieces))
        await asyncio.wait([self._piece])
        task, self._piece = self._piece, None
        try:
            for event in self._parser.feed(task.result()):
                self._take(event)
        except LocalProtocolError as large:
            raise ConnectionLost(1009, large.reason, final=True) from large

    def _take(self, event: Event) -> None:
        if event.name == "close":
            self._goodbye = _goodbye(event.data)
        elif event.name != "subscribed":
            self._frames.append(event.data)
        elif not self._named:
            self._session.named(_handle(event.data))
            self._named = True


async def dial(settings: Settings, timeout_s: float) -> StreamConnection:
    """Open the stream of a new session, within `timeout_s`.

    Raises:
        ConnectionLost: it did not open; `final` says whether trying again is pointless.
        LocalProtocolError: the settings cannot be used.
    """
    session = HttpSession(settings)
    connection = StreamConnection(session, settings.max_message_bytes)
    try:
        async with asyncio.timeout(timeout_s):
            await connection.open()
    except TimeoutError as late:
        await connection.close()
        raise over(CUT, f"{session.shown}events does not answer within {timeout_s:g} s", final=False) from late
    except BaseException:
        await connection.close()
        raise
    return connection


async def _next(pieces: AsyncIterator[bytes]) -> bytes:
    """Return the next piece.

    Raises:
        ConnectionLost: there is none.
    """
    import httpx

    try:
        return await anext(pieces)
    except StopAsyncIteration:
        raise over(CUT, "the stream of events ended", final=False) from None
    except httpx.TimeoutException as silent:
        raise ConnectionLost(CUT, f"the stream of events was silent for {_SILENCE_S:g} s") from silent
    except httpx.TransportError as failed:
        raise over(CUT, f"the stream of events was cut: {failed}", final=False) from failed


def _handle(data: str) -> str:
    try:
        return msgspec.json.decode(data, type=_Subscribed).session
    except (msgspec.DecodeError, RecursionError) as error:
        raise over(CUT, f"the stream of events does not name its session: {error}", final=False) from error


def _goodbye(data: str) -> ConnectionLost:
    try:
        told = msgspec.json.decode(data, type=_Goodbye)
    except (msgspec.DecodeError, RecursionError):
        told = _Goodbye()
    return ConnectionLost(told.code, told.reason or "the hub ended the session", final=not may_reconnect(told.code))
