"""One life of a connection to NATS: it is opened, it carries, and when it is lost another one takes its place.

The client library may not reconnect by itself: it would send again what was answered 108 meanwhile.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeVar

from nats.aio.client import Client
from nats.errors import Error

from chappe.brokers.nats.options import NatsOptions

_T = TypeVar("_T")
Handler = Callable[[bytes, bytes, bytes], None]
"""Take a message: subject, header block (or empty), body."""
Answer = Callable[[bytes, bytes], None]
"""Take an answer: header block (or empty), body."""

_INBOX: Final = "_INBOX.chappe"
_CONNECT_S: Final = 3
#: Messages written in one go before others have their turn.
_WRITE_SLICE: Final = 256


class ConnectionFailed(Exception):
    """A server could not be reached, did not let us in, or the connection was lost."""


class StreamLost(Exception):
    """A stream is not there, or does not answer as ours would."""


class Refused(Exception):
    """A stream does not store something now: it is full, for example."""


class _Client(Client):
    """The client, but messages of our own subscriptions come synchronously and in the order of the wire.

    The library gives each subscription a queue and a task: then what two of them bring loses its order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.handlers: dict[int, Handler] = {}

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        handler = self.handlers.get(sid)
        if handler is not None:
            handler(subject, headers or b"", data)


class Connection:
    """Writes in the order of the calls; `lost` is called once, from the event loop, when it cannot any more."""

    def __init__(self, options: NatsOptions, name: str, lost: Callable[["Connection"], None]) -> None:
        self._options = options
        self._inbox = f"{_INBOX}.{name}."
        self._lost = lost
        self._client = _Client()
        self._operations: deque[tuple[str, str, bytes, dict[str, str] | None, str]] = deque()
        self._wanted = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._handlers: dict[str, Handler] = {}
        self._subscriptions: dict[str, Any] = {}
        self._answers: dict[int, Answer] = {}
        self._last_number = 0
        self._closing: asyncio.Task[None] | None = None
        self.is_open = False
        self.server = ""
        self.reason = ""

    @property
    def max_payload(self) -> int:
        """Bytes that a message may have, headers included."""
        return int(self._client.max_payload)

    @property
    def server_version(self) -> str:
        """What the server calls its version."""
        return str(self._client.connected_server_version).removeprefix("<nats server v").removesuffix(">")

    @property
    def waiting(self) -> int:
        """Answers that are expected."""
        return len(self._answers)

    async def open(self, server: str) -> None:
        """Connect to one server.

        Raises:
            ConnectionFailed: with the reason, without credentials.
        """

        async def complain(error: Exception) -> None:
            self.reason = str(error) or type(error).__name__

        async def closed() -> None:
            self._end(self.reason or "the server closed the connection")

        try:
            await asyncio.wait_for(
                self._client.connect(
                    f"nats://{server}",
                    name="chappe",
                    allow_reconnect=False,
                    connect_timeout=_CONNECT_S,
                    max_reconnect_attempts=1,  # there is one server in its list, and no reason to hang on to it
                    reconnect_time_wait=0,
                    max_outstanding_pings=2,
                    ping_interval=10,
                    error_cb=complain,
                    closed_cb=closed,
                    disconnected_cb=closed,
                    **self._options.login(),
                ),
                2 * _CONNECT_S,
            )
        except (OSError, Error, TimeoutError) as error:
            await self._close_client()
            reason = self.reason or str(error) or type(error).__name__
            raise ConnectionFailed(f"{server}: {reason}") from None
        self.server = server
        self.is_open = True
        self._writer = asyncio.create_task(self._write())
        self.subscribe(self._inbox + "*", self._answered)

    def servers(self) -> list[str]:
        """Return the other servers of the cluster, as this one tells them."""
        return [server.netloc.rpartition("@")[2] for server in self._client.discovered_servers]

    async def close(self) -> None:
        """Send what waits, close."""
        self.is_open = False
        if self._writer is not None:
            self._writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._writer
        if self._closing is not None:
            await self._closing
        else:
            await self._close_client()

    def abort(self, reason: str) -> None:
        """Give the connection up."""
        self._end(reason)

    # --- Writing -----------------------------------------------------------------------------------------------------

    def subscribe(self, subject: str, handler: Handler) -> None:
        """Take messages of a subject; a request made after this is answered after what it should have brought."""
        self._handlers[subject] = handler
        self._put("subscribe", subject)

    def unsubscribe(self, subject: str) -> None:
        """Take no more of a subject."""
        self._put("unsubscribe", subject)

    def publish(self, subject: str, body: bytes, headers: dict[str, str] | None = None, reply: str = "") -> None:
        """Send a message."""
        self._put("publish", subject, body, headers, reply)

    def expect(self, answer: Answer) -> str:
        """Return a reply subject whose one answer goes to a callback; it never comes if the connection is lost."""
        reply, _ = self._expect(lambda number: _Once(self._answers, number, answer))
        return reply

    async def request(self, subject: str, body: bytes, headers: dict[str, str] | None = None) -> tuple[bytes, bytes]:
        """Ask and return header block and body of the answer.

        Raises:
            ConnectionFailed: it did not come in time; the connection is given up.
        """
        future: asyncio.Future[tuple[bytes, bytes]] = asyncio.get_running_loop().create_future()

        def answered(block: bytes, data: bytes) -> None:
            if not future.done():
                future.set_result((block, data))

        self.publish(subject, body, headers, self.expect(answered))
        return await self._wait(future)

    async def gather(self, subject: str, body: bytes) -> list[tuple[bytes, bytes]]:
        """Ask and return all answers up to one with a status, that one included.

        Raises:
            ConnectionFailed: as with `request`.
        """
        future: asyncio.Future[list[tuple[bytes, bytes]]] = asyncio.get_running_loop().create_future()
        found: list[tuple[bytes, bytes]] = []

        def answered(headers: bytes, data: bytes) -> None:
            found.append((headers, data))
            if status_of(headers) and not future.done():
                future.set_result(found)

        reply, number = self._expect(lambda _: answered)
        self.publish(subject, body, None, reply)
        try:
            return await self._wait(future)
        finally:
            self._answers.pop(number, None)

    async def _wait(self, future: "asyncio.Future[_T]") -> _T:
        try:
            return await asyncio.wait_for(future, self._options.timeout_s)
        except TimeoutError:
            self._end("an answer did not come in time")
            raise ConnectionFailed(self.reason) from None

    def _expect(self, make: Callable[[int], Answer]) -> tuple[str, int]:
        self._last_number = number = self._last_number + 1
        self._answers[number] = make(number)
        return f"{self._inbox}{number}", number

    def _answered(self, subject: bytes, headers: bytes, data: bytes) -> None:
        answer = self._answers.get(int(subject[len(self._inbox) :]))
        if answer is not None:
            answer(headers, data)

    def _put(
        self, what: str, subject: str, body: bytes = b"", headers: dict[str, str] | None = None, reply: str = ""
    ) -> None:
        if self.is_open:
            self._operations.append((what, subject, body, headers, reply))
            self._wanted.set()

    async def _write(self) -> None:
        operations, client = self._operations, self._client
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                while operations:
                    for _ in range(min(len(operations), _WRITE_SLICE)):
                        what, subject, body, headers, reply = operations.popleft()
                        if what == "publish":
                            await client.publish(subject, body, reply, headers)
                        else:
                            await self._change_interest(what, subject)
                    await asyncio.sleep(0)
        except (OSError, Error) as error:
            self._end(str(error) or type(error).__name__)

    async def _change_interest(self, what: str, subject: str) -> None:
        client = self._client
        if what == "subscribe" and subject not in self._subscriptions:
            subscription = self._subscriptions[subject] = await client.subscribe(subject)
            client.handlers[subscription._id] = self._handlers[subject]
        elif what == "unsubscribe" and subject in self._subscriptions:
            subscription = self._subscriptions.pop(subject)
            client.handlers.pop(subscription._id, None)
            await subscription.unsubscribe()

    # --- The end -----------------------------------------------------------------------------------------------------

    def _end(self, reason: str) -> None:
        if not self.is_open:
            return
        self.is_open = False
        self.reason = reason
        self._answers.clear()
        self._operations.clear()
        self._closing = asyncio.get_running_loop().create_task(self._close_client())
        self._lost(self)

    async def _close_client(self) -> None:
        with contextlib.suppress(Exception):  # it is over, whatever the library finds on the way
            await asyncio.wait_for(self._client.close(), 1.0)


class _Once:
    """An answer that comes once."""

    __slots__ = ("_answer", "_answers", "_number")

    def __init__(self, answers: dict[int, Answer], number: int, answer: Answer) -> None:
        self._answers = answers
        self._number = number
        self._answer = answer

    def __call__(self, headers: bytes, data: bytes) -> None:
        del self._answers[self._number]
        self._answer(headers, data)


def status_of(headers: bytes) -> str:
    """Return the status of a header block, such as `404`, or nothing."""
    return headers[9:12].decode("ascii", "replace") if headers[8:9] == b" " else ""


def field_of(headers: bytes, name: bytes) -> bytes:
    """Return a field of a header block; empty if it has none. Of several, the last: the server adds its own behind."""
    start = headers.rfind(b"\r\n" + name + b": ")
    if start < 0:
        return b""
    start += len(name) + 4
    return headers[start : headers.index(b"\r\n", start)]


def number_of(headers: bytes, name: bytes) -> int:
    """Return a field that is a number; 0 if it is none."""
    text = field_of(headers, name)
    return int(text) if text.isdigit() else 0
