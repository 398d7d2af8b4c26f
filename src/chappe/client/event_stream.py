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
from chappe.client.polling import HttpConnection, begin
from chappe.client.reconnection import may_reconnect
from chappe.client.refusal import over
from chappe.model.errors import LocalProtocolError

#: Seconds of silence after which a stream is dead: three of the hub's heartbeats (SE-9).
_SILENCE_S: Final = 45.0


class _Goodbye(msgspec.Struct, frozen=True):
    code: int = CUT
    reason: str = ""


class StreamConnection(HttpConnection):
    """A session that is read as a stream: a `Connection`. It ends with its stream, as with a socket."""

    transport: Final[Transport] = "sse"

    def __init__(self, session: HttpSession, frame: str, max_message_bytes: int) -> None:
        super().__init__(session)
        self._frames: deque[str] = deque([frame] if frame != "[]" else ())
        self._parser = EventParser(max_message_bytes)
        self._stack = AsyncExitStack()
        self._pieces: AsyncIterator[bytes] | None = None
        self._piece: asyncio.Task[bytes] | None = None
        self._goodbye: ConnectionLost | None = None

    async def open(self) -> None:
        """Open the stream.

        Raises:
            ConnectionLost: there is none.
        """
        self._pieces = await self._stack.enter_async_context(self._session.events(_SILENCE_S))

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
            piece = task.result()
            self.heard_at = asyncio.get_running_loop().time()
            for event in self._parser.feed(piece):
                self._take(event)
        except LocalProtocolError as large:
            raise ConnectionLost(1009, large.reason, final=True) from large

    def _take(self, event: Event) -> None:
        if event.name == "close":
            self._goodbye = _goodbye(event.data)
        elif event.name != "subscribed":  # of streams that name channels; it is no message
            self._frames.append(event.data)


async def dial(settings: Settings, timeout_s: float) -> StreamConnection:
    """Begin a session and open its stream, within `timeout_s`.

    Raises:
        ConnectionLost: it did not open; `final` says whether trying again is pointless.
        LocalProtocolError: the settings cannot be used.
    """
    clock = asyncio.get_running_loop()
    until = clock.time() + timeout_s
    session, answer = await begin(settings, timeout_s)
    connection = StreamConnection(session, answer.frame, settings.max_message_bytes)
    try:
        async with asyncio.timeout_at(until):
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


def _goodbye(data: str) -> ConnectionLost:
    try:
        told = msgspec.json.decode(data, type=_Goodbye)
    except (msgspec.DecodeError, RecursionError):
        told = _Goodbye()
    return ConnectionLost(told.code, told.reason or "the hub ended the session", final=not may_reconnect(told.code))
