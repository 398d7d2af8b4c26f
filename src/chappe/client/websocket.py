"""A client for any WebSocket server: text and bytes, with the reconnection and the events of the hub's own client."""

from collections.abc import AsyncIterator, Callable, Generator, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeVar, Unpack

from chappe.client.backlog import Backlog
from chappe.client.connection import Connection, Frame
from chappe.client.errors import CUT, ClientClosed, ConnectionLost
from chappe.client.events import Events
from chappe.client.lifeline import NORMAL, Lifeline
from chappe.client.options import ConnectionOptions, Settings, websocket_url
from chappe.client.standing import OfflineReason, State
from chappe.model.errors import ChappeError

Listener = TypeVar("Listener", bound=Callable[..., object])

#: Messages that may wait for the loop that takes them; then reading stops, and TCP slows the server down.
_QUEUE_SIZE: Final = 1_024


class WebSocketClient:
    """Text and bytes to and from any WebSocket server, over as many connections as it takes.

    Made by `connect`; `async with` (or `await`) waits for the first connection. Iterating gives every message, `str` or
    `bytes`, across reconnects; what a server sends while there is no connection is the server's affair. When
    `queue_size` messages wait to be taken, reading stops and TCP slows the server down: nothing is dropped. Where there
    is a listener for `message` and nobody iterates, nothing is queued.
    """

    def __init__(self, settings: Settings, queue_size: int = _QUEUE_SIZE) -> None:
        self._events = Events()
        self._lifeline = Lifeline(settings, self._events, self)
        self._connection: Connection | None = None
        self._backlog: Backlog[Frame] = Backlog(queue_size)
        self._wanted = False

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

    @property
    def subprotocol(self) -> str | None:
        """Return the subprotocol the server chose, or None: none, or no connection."""
        return self._connection.subprotocol if self._connection else None

    async def __aenter__(self) -> Self:
        await self._lifeline.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __await__(self) -> Generator[Any, None, Self]:
        return self.__aenter__().__await__()

    def __aiter__(self) -> AsyncIterator[Frame]:
        self._wanted = True
        return self

    async def __anext__(self) -> Frame:
        try:
            return await self.receive()
        except ClientClosed:
            raise StopAsyncIteration from None

    async def receive(self) -> Frame:
        """Return the next message; cancelling it loses nothing.

        Raises:
            ClientClosed: the client was closed, and all messages were taken.
            ChappeError: there will be no further connection, and all messages were taken.
        """
        self._wanted = True
        return await self._backlog.get()

    async def send(self, message: Frame) -> None:
        """Send text or bytes; messages leave in the order of the calls.

        Raises:
            ConnectionLost: there is no connection now; nothing is kept for later.
        """
        if self._lifeline.error is not None:
            raise self._lifeline.error
        if self._connection is None:
            raise ConnectionLost(CUT, "not connected, nothing was sent")
        await self._connection.send(message)

    def on(self, event: str, listener: Listener) -> Listener:
        """Call a listener at each event: see `chappe.connect`; `message` has the text or the bytes.

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

    async def wait_connected(self) -> None:
        """Wait until there is a connection.

        Raises:
            ChappeError: there will be none.
        """
        await self._lifeline.ready()

    async def wait_closed(self) -> None:
        """Wait until there will be no further connection; `error` says why."""
        await self._lifeline.wait_closed()

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Disconnect for good; messages already received can still be taken."""
        await self._lifeline.close(code, reason)
        await self._events.close()

    async def converse(self, connection: Connection, accepted: Callable[[], None]) -> None:
        """Hand over every message, at the speed of its reader."""
        self._connection = connection
        accepted()
        try:
            while True:
                message = await connection.receive()
                self._events.emit("message", message)
                if self._wanted or not self._events.has("message"):
                    await self._backlog.put(message)
        finally:
            self._connection = None

    def lost(self, error: ChappeError) -> None:
        """Nothing is kept over a connection's end."""

    def ended(self, error: ChappeError) -> None:
        """Let a waiting reader see the end."""
        self._backlog.end(error)


def connect(
    url: str,
    *,
    subprotocols: Sequence[str] = (),
    queue_size: int = _QUEUE_SIZE,
    **options: Unpack[ConnectionOptions],
) -> WebSocketClient:
    """Make a client of any WebSocket server; `async with` connects it.

    Args:
        url: `ws://...` or `wss://...`.
        subprotocols: offered to the server, best first.
        queue_size: messages that may wait to be taken before reading stops.
        options: see `ConnectionOptions`.
    Raises (when it is entered):
        ConnectionLost: nobody answers there, and `retry_first` is off.
    """
    settings = Settings(url=websocket_url(url), subprotocols=tuple(subprotocols), **options)
    return WebSocketClient(settings, queue_size)
