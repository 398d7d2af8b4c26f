"""A client of the classic protocol: one room, a name, and messages (spec/protocol.md, part CL)."""

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self, TypeAlias, TypeVar, Unpack

import msgspec

from chappe.client.backlog import Backlog
from chappe.client.connection import Connection, Frame
from chappe.client.errors import CUT, ClientClosed, ConnectionLost
from chappe.client.events import CONNECTION_EVENTS, Events
from chappe.client.lifeline import NORMAL, Lifeline
from chappe.client.options import BatchOptions, Settings, websocket_url
from chappe.client.outgoing import Outgoing
from chappe.client.standing import OfflineReason, State
from chappe.client.token import Token, fetch
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError, LocalProtocolError

Listener = TypeVar("Listener", bound=Callable[..., object])

#: What a classic client tells beside its connection.
EVENTS: Final[dict[str, str]] = {
    **CONNECTION_EVENTS,
    "join": "username",
    "leave": "username",
    "userlist": "users",
    "binary": "data",
}
_QUEUE_SIZE: Final = 1_024
#: Bytes of one text message; the hub drops a longer one (interfaces, "classic").
MAX_TEXT_BYTES: Final = 10_240
#: Bytes of a batch, and of what surrounds its messages (CL-1.2).
_MAX_BATCH_BYTES: Final = 65_536
_BATCH_HEAD: Final = '{"type":"batch","messages":['
#: Seconds that what is gathered has to leave when the client is closed.
_FLUSH_S: Final = 2.0


class Message(msgspec.Struct, frozen=True):
    """A message in the room.

    Attributes:
        username: the sender's name, set by the hub.
        timestamp: the hub's time as it writes it: UTC, ``2026-11-22 12:00:00``.
        sent: what the sender gave as its own time, or None.
    """

    content: str
    username: str
    timestamp: str = ""
    sent: str | None = None


Received: TypeAlias = Message | bytes


class ClassicClient:
    """A member of one room, over as many connections as it takes; the login is repeated on each.

    Made by `connect`; `async with` (or `await`) logs in. Iterating gives what is said, in order: `Message` for text,
    `bytes` for binary frames of others. classic has no history: what is said while there is no connection is missed,
    and `disconnected` and `connected` tell when that was. When `queue_size` messages wait to be taken, reading stops.
    Events: those of `chappe.connect`, and `join(username)`, `leave(username)`, `userlist(users)`, `binary(data)`.
    """

    def __init__(self, settings: Settings, login: dict[str, str], token: Token, queue_size: int) -> None:
        self._events = Events(EVENTS)
        self._lifeline = Lifeline(settings, self._events, self, prepare=self._fetch_token)
        self._login = login
        self._token = token
        self._offered: str | None = None
        self._batch_s = settings.batch_ms / 1000
        self._batch_max = settings.batch_max
        self._outgoing: Outgoing | None = None
        self._connection: Connection | None = None
        self._backlog: Backlog[Received] = Backlog(queue_size)
        self._users: tuple[str, ...] = ()
        self._wanted = False

    @property
    def name(self) -> str:
        """Return our name."""
        return self._login["content"]

    @property
    def users(self) -> tuple[str, ...]:
        """Return who is in the room, as the hub last told."""
        return self._users

    @property
    def state(self) -> State:
        """Return `connecting`, `live`, `offline` or `refused`."""
        return self._lifeline.standing.state

    @property
    def reason(self) -> OfflineReason | None:
        """Return why the state is `offline`, or None: our own doing."""
        return self._lifeline.standing.reason

    @property
    def error(self) -> ChappeError | None:
        """Return why there will be no further connection, or None."""
        return self._lifeline.error

    async def __aenter__(self) -> Self:
        await self._lifeline.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __await__(self) -> Generator[Any, None, Self]:
        return self.__aenter__().__await__()

    def __aiter__(self) -> AsyncIterator[Received]:
        self._wanted = True
        return self

    async def __anext__(self) -> Received:
        try:
            return await self.receive()
        except ClientClosed:
            raise StopAsyncIteration from None

    async def receive(self) -> Received:
        """Return the next message; cancelling it loses nothing.

        Raises:
            ChappeError: there will be no further connection (`ClientClosed`: we closed it), and all were taken.
        """
        self._wanted = True
        return await self._backlog.get()

    async def send(self, content: str) -> None:
        """Say something in the room; the hub sends it to everybody, us included.

        With `batch_ms` it returns when the message is gathered; the one that completes a batch waits until it is sent.

        Raises:
            ChappeError: 113, above 10,240 bytes with what surrounds it.
            ConnectionLost: there is no connection now; nothing is kept for later.
        """
        frame = msgspec.json.encode({"type": "message", "content": content})
        if len(frame) > MAX_TEXT_BYTES:
            detail = {"limit": MAX_TEXT_BYTES, "size": len(frame)}
            reason = f"a message of {len(frame)} bytes, expected {MAX_TEXT_BYTES} or fewer"
            raise ChappeError(Code.MESSAGE_TOO_LARGE, reason, detail=detail)
        await self._send(frame.decode())

    async def send_bytes(self, data: bytes) -> None:
        """Send a binary frame to everybody else in the room; it is in no history.

        Raises:
            ConnectionLost: there is no connection now; nothing is kept for later.
        """
        await self._send(bytes(data))

    async def refresh_users(self) -> None:
        """Ask who is in the room; the answer comes as `userlist`. Above 200 members nobody is told unasked."""
        await self._send('{"type":"userlist"}')

    def on(self, event: str, listener: Listener) -> Listener:
        """Call a listener at each event; `message` has the `Message`.

        Raises:
            LocalProtocolError: there is no such event.
        """
        return self._events.on(event, listener)

    def off(self, event: str, listener: Callable[..., object]) -> None:
        """Stop calling a listener."""
        self._events.off(event, listener)

    def redial(self) -> None:
        """Dial now instead of waiting for the next attempt."""
        self._lifeline.redial()

    async def wait_closed(self) -> None:
        """Wait until there will be no further connection; `error` says why."""
        await self._lifeline.wait_closed()

    async def close(self) -> None:
        """Leave for good; messages already received can still be taken."""
        try:
            if self._outgoing is not None:
                self._outgoing.flush()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_FLUSH_S):
                        await self._outgoing.left()
        finally:
            await self._lifeline.close(NORMAL)
            await self._events.close()

    async def converse(self, connection: Connection, accepted: Callable[[], None]) -> None:
        """Log in, then read until the connection is over."""
        token = self._offered
        login = self._login if token is None else {**self._login, "token": token}
        await connection.send(msgspec.json.encode(login).decode())
        writer: asyncio.Task[None] | None = None
        if self._batch_s:
            self._outgoing = Outgoing(window_s=self._batch_s, window_frames=self._batch_max)
            writer = asyncio.get_running_loop().create_task(_write(connection, self._outgoing), name="chappe writer")
        try:
            while True:
                frame = await connection.receive()
                if isinstance(frame, bytes):
                    await self._take(frame, "binary", frame)
                    continue
                fields = _parse(frame)
                if self._connection is None and self._is_welcome(fields):
                    self._connection = connection
                    accepted()
                await self._told(fields, connection)
        finally:
            if self._outgoing is not None:
                self._outgoing.end()
            self._connection = self._outgoing = None
            if writer is not None:
                writer.cancel()
                await asyncio.wait([writer])

    def lost(self, error: ChappeError) -> None:
        """Who is in the room is not known without a connection."""
        self._users = ()

    def ended(self, error: ChappeError) -> None:
        """Let a waiting reader see the end."""
        self._backlog.end(error)

    async def _fetch_token(self) -> None:
        """Ask for the token of the next connection.

        Raises:
            ChappeError: none can be had.
        """
        self._offered = await fetch(self._token)

    def _is_welcome(self, fields: dict[str, Any]) -> bool:
        """Tell whether the hub took our login; raise if it refused."""
        if fields.get("type") == "error":
            error = _error(fields)
            if error.retry and not self._lifeline.must_raise:
                raise ConnectionLost(CUT, error.reason) from error
            raise error
        # Everybody's join comes to the newcomer too; the list is for a hub that shows the name in other words.
        return fields.get("type") == "userlist" or (
            fields.get("type") == "join" and fields.get("username") == self._login["content"]
        )

    async def _told(self, fields: dict[str, Any], connection: Connection) -> None:
        match fields:
            case {"type": "message", "content": str(content), "username": str(username)}:
                sent = fields.get("sent")
                message = Message(content, username, str(fields.get("timestamp", "")), sent)
                await self._take(message, "message", message)
            case {"type": ("join" | "leave") as event, "username": str(username)}:
                self._events.emit(event, username)
            case {"type": "userlist", "users": list(users)}:
                self._users = tuple(map(str, users))
                self._events.emit("userlist", self._users)
            case {"type": "error"}:
                self._events.emit("error", _error(fields))
            case {"type": "ping"}:
                await connection.send('{"type":"pong"}')

    async def _take(self, item: Received, event: str, argument: object) -> None:
        self._events.emit(event, argument)
        if self._wanted or not self._events.has(event):
            await self._backlog.put(item)

    async def _send(self, frame: Frame) -> None:
        if self._lifeline.error is not None:
            raise self._lifeline.error
        if self._connection is None:
            raise ConnectionLost(CUT, "not connected, nothing was sent")
        if self._outgoing is None:
            return await self._connection.send(frame)
        outgoing = self._outgoing
        if isinstance(frame, str):
            outgoing.put(frame)
            return await self._leave(outgoing) if outgoing.is_due else None
        outgoing.flush()
        await self._leave(outgoing)
        return await self._connection.send(frame)

    async def _leave(self, outgoing: Outgoing) -> None:
        """Wait until what is gathered has left."""
        await outgoing.left()
        if self._outgoing is not outgoing:
            raise ConnectionLost(CUT, "the connection went, what was gathered may or may not have arrived")


def connect(
    url: str,
    name: str,
    *,
    room: str | None = None,
    token: Token = None,
    queue_size: int = _QUEUE_SIZE,
    **options: Unpack[BatchOptions],
) -> ClassicClient:
    """Make a classic client; `async with` logs it in.

    Args:
        url: `ws://HOST:PORT/`.
        name: 1 to 64 characters, unique on the hub.
        room: a channel; by default the hub's, `chat/lobby`.
        token: where the hub asks for one; a function is called before each connection.
        queue_size: messages that may wait to be taken before reading stops.
        options: see `BatchOptions`.
    Raises (when it is entered):
        ChappeError: 115 name in use, 107 no name.
        ConnectionLost: nobody answers there, and `retry_first` is off.
    """
    shown = name.strip()
    if not shown:
        raise LocalProtocolError("the name is empty, expected 1 to 64 characters")
    login = {"type": "login", "content": shown, "username": shown}
    if room is not None:
        login["room"] = room
    # With its name said, a hub whose root speaks something else still speaks classic to us.
    settings = Settings(url=websocket_url(url), subprotocols=("classic",), **options)
    return ClassicClient(settings, login, token, queue_size)


async def _write(connection: Connection, outgoing: Outgoing) -> None:
    """Send what was gathered, until the connection is over."""
    # Whoever reads meets the end too, and tells everybody.
    with suppress(ConnectionLost):
        while True:
            texts = [frame for frame in await outgoing.take() if isinstance(frame, str)]
            for frame in batches(texts):
                await connection.send(frame)


def batches(texts: Sequence[str]) -> Iterator[str]:
    """Give messages as frames: one alone as it is, several as batches within the size of one (CL-8)."""
    written = [msgspec.json.encode(text).decode() for text in texts]
    begin = 0
    while begin < len(texts):
        end, size = begin, len(_BATCH_HEAD) + 2
        while end < len(texts) and (size := size + len(written[end].encode()) + 1) <= _MAX_BATCH_BYTES:
            end += 1
        end = max(end, begin + 1)
        yield texts[begin] if end == begin + 1 else f"{_BATCH_HEAD}{','.join(written[begin:end])}]}}"
        begin = end


def _parse(frame: str) -> dict[str, Any]:
    try:
        fields = msgspec.json.decode(frame)
    except (msgspec.DecodeError, RecursionError):
        fields = None
    return fields if isinstance(fields, dict) else {}


def _error(fields: dict[str, Any]) -> ChappeError:
    code = fields.get("code")
    return ChappeError(code if isinstance(code, int) else Code.INTERNAL_ERROR, str(fields.get("content", "")))


__all__ = ["ClassicClient", "Message", "connect"]
