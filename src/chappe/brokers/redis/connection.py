"""One connection to a server that speaks RESP3: commands are answered in their order, pushes come between."""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias, cast

import hiredis

from chappe.brokers.redis.address import Address, Host
from chappe.model.errors import ConfigurationError

Argument: TypeAlias = str | int | bytes
Command: TypeAlias = tuple[Argument, ...]
Answered: TypeAlias = Callable[[Any], None]
"""Take the answer to a command: a value, a `ReplyError`, or a `ConnectionLost`."""

ReplyError = hiredis.ReplyError
#: The function takes any number of arguments, whatever its annotation says.
_pack: Final = cast("Callable[[Command], bytes]", hiredis.pack_command)
#: Buffered bytes above which a server that does not read is given up: it could not answer in time either.
_MOST_UNSENT_BYTES: Final = 67_108_864
_PUSHED: Final = frozenset({b"message", b"pmessage", b"smessage"})


class ConnectionLost(Exception):
    """The connection ended before the answer; whether the command was carried out is unknown."""


class Connection(asyncio.Protocol):
    """Sends commands and hands out their answers, each exactly once, in order.

    Attributes:
        on_message: called with what another program or this one published on a channel subscribed to.
        on_plain: called instead, with the channel as well, if it is set.
        on_read: called when all that arrived together was handed out; whatever was put off for it is done there.
        on_lost: called once, after every command that was not answered got `ConnectionLost`.
        on_unsubscribed: called with a channel whose sharded subscription ended, asked for or not.
    """

    def __init__(self) -> None:
        self.on_message: Callable[[bytes], None] = _ignore
        self.on_plain: Callable[[str, bytes], None] | None = None
        self.on_read: Callable[[], None] = _nothing
        self.on_lost: Callable[[], None] = _nothing
        self.on_unsubscribed: Callable[[bytes], None] = _ignore
        self._reader = hiredis.Reader()
        self._transport: asyncio.Transport | None = None
        # With the moment each was sent. A SUBSCRIBE is answered by pushes and is not here.
        self._waiting: deque[tuple[Answered, float]] = deque()
        self._loop = asyncio.get_running_loop()

    @property
    def is_open(self) -> bool:
        """Whether commands can be sent."""
        return self._transport is not None

    def send(self, command: Command, answered: Answered) -> None:
        """Send one command."""
        self.send_all(((command, answered),))

    def send_all(self, commands: Iterable[tuple[Command, Answered]]) -> None:
        """Send commands in one write; on a connection that is lost they are answered at once."""
        transport = self._transport
        now = self._loop.time()
        parts: list[bytes] = []
        for command, answered in commands:
            if transport is None:
                answered(ConnectionLost())
                continue
            self._waiting.append((answered, now))
            parts.append(_pack(command))
        if transport is not None and parts:
            transport.write(b"".join(parts))
            if transport.get_write_buffer_size() > _MOST_UNSENT_BYTES:
                self.abort()

    def tell(self, command: Command) -> None:
        """Send a command whose only answers are pushes (SUBSCRIBE and its kind)."""
        if self._transport is not None:
            self._transport.write(_pack(command))

    async def call(self, *command: Argument) -> Any:
        """Send a command and wait for its answer.

        Raises:
            ReplyError: the server refused.
            ConnectionLost: the connection ended.
        """
        waiting: asyncio.Future[Any] = self._loop.create_future()

        def answered(answer: Any) -> None:
            if waiting.done():
                return
            if isinstance(answer, Exception):
                waiting.set_exception(answer)
            else:
                waiting.set_result(answer)

        self.send(command, answered)
        return await waiting

    def waits_longer_than(self, seconds: float) -> bool:
        """Tell whether the oldest command without an answer is older."""
        return bool(self._waiting) and self._loop.time() - self._waiting[0][1] > seconds

    def abort(self) -> None:
        """End the connection now; everybody who waits is told inside this call."""
        transport = self._transport
        if transport is not None:
            transport.abort()
            self._end()

    def forget(self) -> None:
        """Tell everybody who waits, and touch nothing of the event loop, which is closed."""
        self.on_read = self.on_lost = _nothing
        self._end()

    # --- asyncio.Protocol --------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        """Hand out what is complete."""
        reader = self._reader
        try:
            reader.feed(data)
            while self._transport is not None:
                answer = reader.gets()
                if answer is False:
                    break
                if isinstance(answer, hiredis.PushNotification):
                    self._take_push(answer)
                elif self._waiting:
                    self._waiting.popleft()[0](answer)
        except hiredis.ProtocolError:
            self.abort()
        self.on_read()

    def connection_lost(self, error: Exception | None) -> None:
        """Tell everybody."""
        self._end()

    def _take_push(self, push: list[Any]) -> None:
        kind = push[0]
        if kind in _PUSHED:
            if self.on_plain is not None:
                self.on_plain(push[-2].decode(errors="surrogateescape"), push[-1])
            else:
                self.on_message(push[-1])
        elif kind == b"sunsubscribe" and push[1] is not None:
            self.on_unsubscribed(push[1])

    def _end(self) -> None:
        if self._transport is None:
            return
        self._transport = None
        waiting, self._waiting = self._waiting, deque()
        for answered, _ in waiting:
            answered(ConnectionLost())
        self.on_read()
        self.on_lost()


async def connect(host: Host, address: Address, tls: ssl.SSLContext | None) -> Connection:
    """Connect, authenticate and choose the database.

    Raises:
        OSError: nobody answers there.
        TimeoutError: not in time.
        ConfigurationError: the server wants another user or password.
        ReplyError: the server refused.
        ConnectionLost: it hung up.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(address.timeout_s):
        _, connection = await loop.create_connection(
            Connection, host.name, host.port, ssl=tls, server_hostname=host.name if tls else None
        )
        try:
            hello: list[Argument] = ["HELLO", 3]
            if address.password is not None:
                hello += ["AUTH", address.user or "default", address.password]
            await connection.call(*hello, "SETNAME", "chappe")
            if address.database:
                await connection.call("SELECT", address.database)
        except ReplyError as error:
            connection.abort()
            if str(error).startswith(("NOAUTH", "WRONGPASS", "NOPERM")):
                raise ConfigurationError(f"broker.url: the server wants another user or password: {error}") from error
            raise
        except BaseException:
            connection.abort()
            raise
    return connection


def _ignore(message: bytes) -> None:
    """Take a message that nobody wants."""


def _nothing() -> None:
    """Do nothing."""
