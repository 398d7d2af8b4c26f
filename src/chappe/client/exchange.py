"""Commands and their answers over one connection."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from chappe.client.connection import Connection
from chappe.client.errors import CUT, ConnectionLost, QueueFull
from chappe.client.messages import Codec, Failure, Incoming, Ping, Pong, Reply
from chappe.client.outgoing import Outgoing
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError, RemoteProtocolError

Answer: TypeAlias = Reply | ChappeError
"""What comes of a command: the reply, the hub's error, or `ConnectionLost`."""

#: Frames that are read at once before the tasks that take their publications have a turn.
BURST: Final = 64
#: Commands that may wait for their answers; one more is `QueueFull`. Far above what a program that awaits them has.
MAX_PENDING: Final = 20_000
#: Commands that wait for no others: who is there wants to know now.
_URGENT: Final = frozenset({"connect", "ping", "refresh", "state"})

#: Commands that the application, or the holder of a lock, answers when they like.
_SLOW: Final = frozenset({"rpc", "lock"})
#: The longest wait that we let a hub ask for.
_MAX_ADVICE_S: Final = 30.0


class Exchange:
    """Sends commands in order and matches answers by id; lives as long as its connection.

    `read` and `write` are two tasks of the owner. Answers are handed over inside `read`, before the next message is
    looked at, so that what an answer says holds for the publication behind it.
    """

    def __init__(self, connection: Connection, codec: Codec, outgoing: Outgoing | None = None) -> None:
        self.codec = codec
        self._connection = connection
        self._ids = itertools.count(1)
        self._pending: dict[int, Callable[[Answer], None]] = {}
        self._outgoing = outgoing or Outgoing(gathers=connection.gathers)
        self._slow: set[int] = set()
        self._answered = asyncio.Event()
        self._lost: ConnectionLost | None = None

    @property
    def is_over(self) -> bool:
        """Tell whether the connection is over."""
        return self._lost is not None

    def post(self, fields: dict[str, Any], answered: Callable[[Answer], None]) -> int:
        """Send a command; its answer is handed to `answered`, once, from `read`. Returns its id.

        Raises:
            ConnectionLost: the connection is over.
            QueueFull: `MAX_PENDING` commands wait already.
            TypeError: a value cannot be encoded; nothing was sent.
        """
        if self._lost is not None:
            raise self._lost
        if len(self._pending) >= MAX_PENDING:
            raise QueueFull("pending", MAX_PENDING, f"{MAX_PENDING} commands wait for answers already")
        number = next(self._ids)
        frame = self.codec.encode({**fields, "id": number})
        self._pending[number] = answered
        if fields["type"] in _SLOW:
            self._slow.add(number)
        self._outgoing.put(frame, urgent=fields["type"] in _URGENT)
        return number

    async def request(self, fields: dict[str, Any], unwanted: Callable[[], None] | None = None) -> Reply:
        """Send a command and wait for its answer. Cancelled, the hub may carry it out all the same.

        Args:
            fields: the command.
            unwanted: called if it was carried out although nobody waits any more.
        Raises:
            ChappeError: the hub's error, or `ConnectionLost`.
        """
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        def answered(answer: Answer) -> None:
            if not isinstance(answer, Reply):
                if not future.done():
                    future.set_exception(answer)
            elif not future.done():
                future.set_result(answer)
            elif unwanted is not None:
                unwanted()

        number = self.post(fields, answered)
        try:
            return await future
        except asyncio.CancelledError:
            if unwanted is None:
                self._forget(number)
            elif not future.cancelled() and future.exception() is None:
                unwanted()
            raise

    async def flush(self) -> None:
        """Send now what waits for others, and wait until it is sent or the connection is over."""
        self._outgoing.flush()
        await self._outgoing.left()

    async def settle(self) -> None:
        """Wait until no command is under way whose answer may take as long as it likes."""
        while self._slow and self._lost is None:
            self._answered.clear()
            await self._answered.wait()

    async def rest(self) -> None:
        """Wait until every command is answered."""
        while self._pending and self._lost is None:
            self._answered.clear()
            await self._answered.wait()

    async def write(self) -> None:
        """Send what was posted, in order, until the connection is over."""
        try:
            while True:
                await self._connection.send(self.codec.join(await self._outgoing.take()))
        except ConnectionLost:
            return  # `read` meets it too, and tells everybody

    async def read(self, pushed: Callable[[Incoming], None]) -> None:
        """Read until the connection is over; hand what answers no command to `pushed`, at once and in order.

        Raises:
            ConnectionLost: always, at the end; what waits for an answer was told before.
        """
        try:
            for number in itertools.count(1):
                frame = await self._connection.receive()
                for message in self.codec.decode(frame):
                    self._take(message, pushed)
                if number % BURST == 0:
                    # A burst is read without a pause otherwise, and looks to queues as if nobody took anything.
                    await asyncio.sleep(0)
        except ConnectionLost as lost:
            self.fail(lost)
            raise
        except RemoteProtocolError as broken:
            # What was in the frame is not known, so the connection goes and subscriptions recover.
            cut = ConnectionLost(CUT, broken.reason)
            self.fail(cut)
            await self._connection.close(broken.close_code, "")
            raise cut from broken

    def fail(self, error: ConnectionLost) -> None:
        """Tell everybody who waits for an answer that none will come."""
        if self._lost is None:
            self._lost = error
        pending, self._pending = self._pending, {}
        for answered in pending.values():
            answered(error)
        self._answered.set()
        self._outgoing.end()

    def _take(self, message: Incoming, pushed: Callable[[Incoming], None]) -> None:
        match message:
            case Reply():
                self._answer(message.id, message)
            case Failure() if message.id is not None:
                self._answer(message.id, error_of(message))
            case Pong() if message.id is not None:
                self._answer(message.id, Reply(message.id))
            case Ping():
                self._outgoing.put(self.codec.encode({"type": "pong"}), urgent=True)
            case _:
                pushed(message)

    def _answer(self, number: int, answer: Answer) -> None:
        answered = self._forget(number)
        if answered is not None:
            answered(answer)

    def _forget(self, number: int) -> Callable[[Answer], None] | None:
        self._slow.discard(number)
        self._answered.set()
        return self._pending.pop(number, None)


class HubError(ChappeError):
    """An error the hub told; it decides itself whether a retry may help."""

    def __init__(self, code: int, reason: str, *, retry: bool, detail: dict[str, Any]) -> None:
        super().__init__(code, reason, detail=detail)
        self._retry = retry

    @property
    def retry(self) -> bool:
        """Whether the same request may succeed later."""
        return self._retry

    @property
    def retry_after_s(self) -> float | None:
        """Return how long the hub asks us to wait before the same request: it was not carried out; None: it does not.

        Only for error 111, too many requests.
        """
        after_s = self.detail.get("retry_after_s")
        if self.code != Code.TOO_MANY_REQUESTS or not isinstance(after_s, int | float):
            return None
        return min(max(float(after_s), 0.0), _MAX_ADVICE_S)


def error_of(failure: Failure) -> ChappeError:
    """Return the exception for an error message."""
    return HubError(failure.code, failure.reason, retry=failure.retry, detail=failure.detail or {})
