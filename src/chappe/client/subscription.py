"""One subscription of a client: it outlives connections, asks for what it missed, and says what it could not get."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Literal, Protocol, Self, TypeAlias

from chappe.client.cursor import ChannelCursor, Cursor, PatternCursor, Since
from chappe.client.errors import ClientClosed, ConnectionLost, QueueFull, TimedOut
from chappe.client.exchange import Answer, Exchange, HubError
from chappe.client.inbox import Inbox, Item, Join, Leave, Missed, PresenceState, Resubscribed
from chappe.client.messages import (
    Joined,
    Left,
    MissedTold,
    PresenceTold,
    Publication,
    Reply,
    Unsubscribed,
    member_of,
)
from chappe.client.reconnection import ReconnectionPolicy
from chappe.client.stage import Input, Stage, advance
from chappe.model.channels import is_pattern
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError, LocalProtocolError
from chappe.model.member import Member
from chappe.model.position import Position

Overflow: TypeAlias = Literal["recover", "drop_oldest", "fail"]
"""What a full queue does.

- `recover` leaves the channel and comes back, from the last publication queued, once the queue has room: on a channel
  with history nothing is lost, else `recovered` says so.
- `drop_oldest` forgets the oldest and says how many by `Missed`.
- `fail` ends the subscription with `QueueFull`.

What an answer brings of the past, a recovered gap or a backlog, is taken whole, up to `MAX_GAP` items beyond the size
of the queue: the hub sends it in one piece, and who took it in bites would make the hub send the rest again each time.
"""

#: As much as a hub recovers at once by default (`limits.recovery_publications`).
MAX_GAP: Final = 10_000

#: From this code on an unsubscribed client subscribes again (interfaces, "Codes").
_AGAIN: Final = 2500
#: Refusals of a position rather than of the subscription: it is made without the position, and is not recovered.
_PLACE_REFUSED: Final = frozenset({Code.PERMISSION_DENIED, Code.BAD_REQUEST, Code.UNRECOVERABLE_POSITION})
#: A subscription that held so many seconds is made again at once; one that did not waits as reconnection does.
_STEADY_S: Final = 1.0

_log = logging.getLogger("chappe.client")


class Host(Protocol):
    """What a subscription needs of its client."""

    @property
    def exchange(self) -> Exchange | None:
        """Return the exchange of the present connection, or None: there is none."""

    @property
    def policy(self) -> ReconnectionPolicy:
        """Return how repeated attempts wait."""

    @property
    def command_timeout_s(self) -> float:
        """Return how long an answer may take."""

    def add(self, subscription: "Subscription") -> None:
        """Take up a subscription; raises error 105 for a second one to the same channel."""

    def discard(self, subscription: "Subscription") -> None:
        """Forget a subscription that ended."""

    def left(self, channel: str) -> None:
        """Learn that a channel was left and the hub could not be told."""

    def told(self, event: str, *arguments: object) -> None:
        """Tell the listeners of the client."""


class Subscription:
    """Publications of one channel, or of all channels of a pattern (`+`, `#`).

    `async with` (or `await`) subscribes; iterating gives publications in order, without duplicates, across reconnects.
    Anything may be awaited inside the loop, calls of the same client too. Use one loop: all share one queue.

    Attributes:
        channel: the channel or pattern.
        recovered: what the hub's answer said that belongs to the last publication taken: True if everything since the
            position asked for is there; None before the first answer. A gap is logged and comes as `Resubscribed` too.
        position: after the last publication taken, for `since`; None before the first answer and for patterns.
        missed: how many publications were dropped at this reader, so far as they were counted.
    """

    def __init__(
        self,
        host: Host,
        channel: str,
        *,
        since: Since = None,
        presence: bool = False,
        queue_size: int = 1024,
        overflow: Overflow = "recover",
    ) -> None:
        if queue_size < 1:
            raise LocalProtocolError(f"queue_size is {queue_size}, expected 1 or more")
        if overflow not in ("recover", "drop_oldest", "fail"):
            raise LocalProtocolError(f"overflow is {overflow!r}, expected 'recover', 'drop_oldest' or 'fail'")
        self.channel = channel
        self.recovered: bool | None = None
        self.position: Position | None = since if isinstance(since, Position) else None
        self.missed = 0
        self.count = 0
        self._host = host
        self._presence = presence
        self._overflow = overflow
        self._queue_size = queue_size
        self._inbox = Inbox(queue_size)
        self._is_pattern = is_pattern(channel)
        self._cursor: Cursor = PatternCursor(since) if self._is_pattern else ChannelCursor(since)
        self._stage = Stage.OFFLINE
        self._members: dict[str, Member] = {}
        self._error: ChappeError | None = None
        self._first = asyncio.Event()
        self._answer_place: Position | None = None
        self._asked_at = 0.0
        self._tries = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def active(self) -> bool:
        """Tell whether the hub counts us as subscribed on the present connection."""
        return self._stage is Stage.FOLLOWING

    @property
    def has_begun(self) -> bool:
        """Tell whether the hub answered at least once."""
        return self._first.is_set() and self._stage is not Stage.ENDED

    @property
    def is_behind(self) -> bool:
        """Tell whether more of the past is on its way over the present connection."""
        if self._stage in (Stage.OFFLINE, Stage.ASKING):
            return True
        here, answer = self._cursor.position, self._answer_place
        return (
            self._stage is Stage.FOLLOWING
            and here is not None
            and answer is not None
            and here.epoch == answer.epoch
            and here.offset < answer.offset
        )

    @property
    def members(self) -> tuple[Member, ...]:
        """Return who is there, oneself included; empty without `presence=True` and above 200 members (see `count`)."""
        return tuple(self._members.values())

    async def __aenter__(self) -> Self:
        return await self._subscribe()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.unsubscribe()

    def __await__(self) -> Generator[Any, None, Self]:
        return self._subscribe().__await__()

    def __aiter__(self) -> AsyncIterator[Publication]:
        return self

    async def __anext__(self) -> Publication:
        while True:
            item = await self._next()
            if isinstance(item, Publication):
                return item

    async def items(self) -> AsyncIterator[Item]:
        """Iterate over everything in order: publications, `Resubscribed`, `Missed`, and who came and went.

        Raises:
            ChappeError: the hub ended the subscription for good, or the client gave up.
        """
        with suppress(StopAsyncIteration):
            while True:
                yield await self._next()

    async def unsubscribe(self) -> None:
        """Leave the channel; publications already queued can still be iterated, then the loop ends."""
        request = self._leave()
        if request is not None:
            # The hub may have ended it already, or the connection: it is over in either case.
            with suppress(ChappeError, TimeoutError):
                async with asyncio.timeout(self._host.command_timeout_s):
                    await request({"type": "unsubscribe", "channel": self.channel})

    # What follows is for the client, from the task that reads.

    def ask(self) -> None:
        """Subscribe over the present connection, if there is one and it is time to."""
        exchange = self._host.exchange
        if exchange is None or self._stage not in (Stage.OFFLINE, Stage.LAGGING):
            return
        if self._stage is Stage.LAGGING and not self._inbox.has_room:
            return
        self._cancel_timer()
        fields: dict[str, Any] = {"type": "subscribe", "channel": self.channel}
        since = self._cursor.since()
        if since is not None:
            fields["since"] = since
        if self._presence:
            fields["presence"] = True
        self._advance(Input.ASK)
        self._asked_at = asyncio.get_running_loop().time()
        try:
            exchange.post(fields, self._answered)
        except ConnectionLost:
            self._advance(Input.LOST)

    def lost(self) -> None:
        """Learn that the connection is over."""
        if self._stage is not Stage.ENDED:
            self._cancel_timer()
            self._advance(Input.LOST)

    def received(self, publication: Publication) -> None:
        """Take a publication; what is not new, or is still under way after we left, is dropped."""
        if self._stage is not Stage.FOLLOWING:
            return
        here = self._cursor.position
        if here is not None and publication.epoch not in (None, here.epoch) and not publication.retained:
            self._report(recovered=False)
        extra = MAX_GAP if self._is_past(publication) else 0
        if self._make_room(extra) and self._cursor.admit(publication):
            self._inbox.put(publication)

    def told(self, message: Joined | Left | PresenceTold | MissedTold | Unsubscribed) -> None:
        """Take what the hub says about the channel."""
        match message:
            case Unsubscribed():
                self._unsubscribed(message)
            case MissedTold():
                _log.warning("the hub dropped %d publications of %s: this reader is slow", message.count, self.channel)
                self._inbox.put(Missed(message.count))
                self._host.told("missed", self.channel, message.count)
            case _ if self._stage is not Stage.FOLLOWING:
                pass  # still under way after we left
            case PresenceTold():
                members = None if message.members is None else tuple(map(member_of, message.members))
                self._members = {_identity(member): member for member in members or ()}
                self.count = message.count if members is None else len(members)
                self._put(PresenceState(members, self.count))
            case Joined():
                self._came(member_of(message.member))
            case Left():
                self._went(member_of(message.member))

    def end(self, error: ChappeError | None) -> None:
        """End; with an error, iterating raises it behind what is queued."""
        if self._stage is Stage.ENDED:
            return
        self._cancel_timer()
        self._advance(Input.END)
        self._error = error
        self._first.set()
        self._inbox.wake()
        self._host.discard(self)

    def _unsubscribed(self, told: Unsubscribed) -> None:
        """Take the hub's end of the subscription: for good below code 2500, else subscribe again."""
        if self._stage is Stage.ENDED:
            return
        if told.code < _AGAIN:
            self.end(ChappeError(told.code, told.reason))
            return
        self._advance(Input.LOST)
        steady = asyncio.get_running_loop().time() - self._asked_at >= _STEADY_S
        self._tries = 0 if steady else self._tries + 1
        self._ask_later()

    def _came(self, member: Member) -> None:
        self._members[_identity(member)] = member
        self.count = len(self._members)
        self._put(Join(member))

    def _went(self, member: Member) -> None:
        self._members.pop(_identity(member), None)
        self.count = len(self._members)
        self._put(Leave(member))

    async def _subscribe(self) -> Self:
        self._host.add(self)
        self.ask()
        timeout_s = self._host.command_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                await self._first.wait()
        except TimeoutError:
            self._give_up()
            raise TimedOut(f"subscribe to {self.channel}", timeout_s) from None
        except BaseException:
            self._give_up()
            raise
        if self._stage is Stage.ENDED:
            raise self._error or ClientClosed("the subscription ended before it began")
        return self

    def _give_up(self) -> None:
        """End although the answer may still come: the hub would count us as subscribed, and refuse the next one."""
        if self._stage in (Stage.ASKING, Stage.FOLLOWING):
            self._leave_quietly()
        self.end(None)

    def _leave(self) -> Callable[[dict[str, Any]], Any] | None:
        """End, and return how to tell the hub if it counts us as subscribed."""
        exchange = self._host.exchange
        known = self._stage in (Stage.ASKING, Stage.FOLLOWING)
        self.end(None)
        if known and exchange is None:
            self._host.left(self.channel)
        return exchange.request if known and exchange is not None else None

    async def _next(self) -> Item:
        while (item := self._inbox.take()) is None:
            if self._stage is Stage.ENDED:
                if self._error is None or isinstance(self._error, ClientClosed):
                    raise StopAsyncIteration
                raise self._error
            await self._inbox.wait()
        if isinstance(item, Publication):
            if not item.retained and not self._is_pattern:
                self.position = item.position or self.position
        elif isinstance(item, Resubscribed):
            self.recovered = item.recovered
            if not item.recovered:
                self.position = item.position
        elif isinstance(item, Missed):
            self.missed += item.count
        if self._stage is Stage.LAGGING:
            self.ask()
        return item

    def _answered(self, answer: Answer) -> None:
        if self._stage is not Stage.ASKING:
            return
        if isinstance(answer, ConnectionLost):
            self._advance(Input.LOST)
        elif isinstance(answer, Reply):
            self._accepted(answer)
        else:
            self._refused(answer)

    def _accepted(self, reply: Reply) -> None:
        recovered = self._cursor.answered(reply)
        self._answer_place = None if reply.epoch is None else Position(reply.epoch, reply.offset)
        self._advance(Input.ANSWERED)
        self._tries = 0
        if self._first.is_set():
            self._report(recovered)
            return
        self.recovered = recovered
        # With a gap or a backlog under way, the place is still the one that was asked for.
        if self.position is None or not recovered:
            self.position = self._cursor.position
        self._first.set()

    def _refused(self, error: ChappeError) -> None:
        busy = isinstance(error, HubError) and error.retry_after_s is not None
        if not self._first.is_set() and not busy:
            self.end(error)
            return
        if error.code in _PLACE_REFUSED and self._cursor.since() is not None:
            self._cursor.forget()
        elif not error.retry:
            self.end(error)
            return
        self._advance(Input.LOST)
        self._tries += 1
        self._ask_later((error.retry_after_s or 0.0) if isinstance(error, HubError) else 0.0)

    def _report(self, recovered: bool) -> None:
        self._inbox.put(Resubscribed(recovered, self._cursor.position))
        if not recovered:
            _log.warning("publications of %s may be missing: the hub could not recover the gap", self.channel)
        self._host.told("resubscribed", self.channel, recovered)

    def _put(self, item: Item) -> None:
        if self._make_room():
            self._inbox.put(item)

    def _is_past(self, publication: Publication) -> bool:
        """Tell whether it was there before the last answer: part of a gap or of a backlog."""
        place, answer = publication.position, self._answer_place
        return (
            place is not None and answer is not None and place.epoch == answer.epoch and place.offset <= answer.offset
        )

    def _make_room(self, extra: int = 0) -> bool:
        """Make room for one item by the overflow policy; False: it must not be taken."""
        if len(self._inbox) < self._queue_size + extra:
            return True
        if self._overflow == "drop_oldest":
            self._inbox.drop_oldest()
            self._host.told("missed", self.channel, 1)
            return True
        if self._overflow == "fail":
            self._leave_quietly()
            reason = f"{self._queue_size} items of {self.channel} wait to be taken, expected fewer"
            self.end(QueueFull("queue_size", self._queue_size, reason))
            return False
        _log.info("leaving %s until its reader has taken what is queued", self.channel)
        self._leave_quietly()
        self._advance(Input.OVERFLOWED)
        return False

    def _leave_quietly(self) -> None:
        exchange = self._host.exchange
        if exchange is None:
            self._host.left(self.channel)
            return
        with suppress(ChappeError):
            exchange.post({"type": "unsubscribe", "channel": self.channel}, lambda _: None)

    def _ask_later(self, not_before_s: float = 0.0) -> None:
        delay_ms = self._host.policy.delay_ms(self._tries, random.random()) if self._tries else 0.0  # noqa: S311
        self._cancel_timer()
        self._timer = asyncio.get_running_loop().call_later(max(delay_ms / 1000, not_before_s), self.ask)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _advance(self, happened: Input) -> None:
        self._stage = advance(self._stage, happened)


def _identity(member: Member) -> str:
    # Sessions of one authenticated user share one entry.
    return f"user {member.user}" if member.user is not None else f"session {member.session}"
