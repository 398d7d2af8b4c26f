"""A connection that long polling carries: where neither an upgrade nor a stream gets through, requests do."""

import asyncio
import time
from typing import Final

import msgspec

from chappe.client.connection import Frame, Transport
from chappe.client.errors import CUT, ConnectionLost
from chappe.client.http_session import Answer, Ending, HttpSession
from chappe.client.options import Settings
from chappe.client.refusal import over

#: Seconds that a poll may take; the hub holds it for 60.
_READ_TIMEOUT_S: Final = 90.0
#: Our own pings have this id, which no command has: their answers are ours.
_PING: Final = '{"type":"ping","id":0}'


class Head(msgspec.Struct, frozen=True):
    """As much of a message as tells what it is."""

    type: str = ""
    id: int | None = None


class HttpConnection:
    """What the two connections over HTTP share: they send by POST, and ping by a message."""

    subprotocol: Final = "chappe.v1"
    gathers: Final = True

    def __init__(self, session: HttpSession) -> None:
        self.heard_at = asyncio.get_running_loop().time()
        self._session = session
        self._ending = Ending()
        self._receiving = False
        self._pong: asyncio.Future[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    async def send(self, frame: Frame) -> None:
        """Send a message: see `Connection.send`. Returns when the hub has it."""
        assert isinstance(frame, str)
        async with self._ending.watched():
            await self._session.post(frame)

    async def ping(self, timeout_s: float) -> float | None:
        """Measure a round trip by a message and its answer: see `Connection.ping`."""
        begin = time.perf_counter()
        self._pong = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout_s):
                await self.send(_PING)
                async with self._ending.watched():
                    await self._pong
            return time.perf_counter() - begin
        except TimeoutError:
            if not self._receiving:
                return None
            raise
        finally:
            self._pong = None

    def abort(self, reason: str) -> None:
        """Cut the connection at once: see `Connection.abort`."""
        self._ending.come(over(CUT, reason, final=False))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """End the session, unless it is over: see `Connection.close`."""
        if self._closing is None:
            goodbye = self._ending.error is None
            self._ending.come(ConnectionLost(code, reason or "the connection is closed"))
            # Interrupted, it would leave sockets open: who waits may be cancelled, the work may not.
            work = self._release(goodbye=goodbye)
            self._closing = asyncio.get_running_loop().create_task(work, name="chappe goodbye")
        await asyncio.shield(self._closing)

    async def _release(self, *, goodbye: bool) -> None:
        """Give everything back."""
        await self._session.end(goodbye=goodbye)

    def _heard(self, frame: str) -> str:
        """Take note of what came; `frame` is one message or an array of them."""
        self.heard_at = asyncio.get_running_loop().time()
        if self._pong is not None and not self._pong.done() and _has_pong(frame):
            self._pong.set_result(None)
        return frame


class PollingConnection(HttpConnection):
    """A session that is asked for what it has to say: a `Connection`.

    What an answer brings is acknowledged when more is asked for, so a reader that stops lets the hub keep the rest.
    """

    transport: Final[Transport] = "polling"

    def __init__(self, session: HttpSession, cursor: str, frame: str) -> None:
        super().__init__(session)
        self._cursor = cursor
        self._frame = frame

    async def receive(self) -> Frame:
        """Return the next messages, as one frame: see `Connection.receive`."""
        self._receiving = True
        try:
            while self._frame == "[]":
                async with self._ending.watched():
                    answer = await self._session.poll(self._cursor, _READ_TIMEOUT_S)
                self.heard_at = asyncio.get_running_loop().time()
                if answer is not None:
                    self._cursor, self._frame = answer.cursor, answer.frame
            frame, self._frame = self._frame, "[]"
            return self._heard(frame)
        finally:
            self._receiving = False


async def dial(settings: Settings, timeout_s: float) -> PollingConnection:
    """Begin a session within `timeout_s`.

    Raises:
        ConnectionLost: it did not begin; `final` says whether trying again is pointless.
        LocalProtocolError: the settings cannot be used.
    """
    session, answer = await begin(settings, timeout_s)
    return PollingConnection(session, answer.cursor, answer.frame)


async def begin(settings: Settings, timeout_s: float) -> tuple[HttpSession, Answer]:
    """Begin a session within `timeout_s`, and return it with its first answer: see `dial`."""
    session = HttpSession(settings)
    try:
        async with asyncio.timeout(timeout_s):
            return session, await session.begin()
    except TimeoutError as late:
        await session.end(goodbye=False)
        raise over(CUT, f"{session.shown}poll does not answer within {timeout_s:g} s", final=False) from late
    except BaseException:
        await session.end(goodbye=False)
        raise


def _has_pong(frame: str) -> bool:
    try:
        heads = msgspec.json.decode(frame, type=Head | list[Head])
    except (msgspec.DecodeError, RecursionError):
        return False
    return any(head.type == "pong" and head.id == 0 for head in (heads if isinstance(heads, list) else [heads]))
