"""Appends on their way: sent as they come, acknowledged by the streams, answered in the order of each channel."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from msgspec.structs import replace

from chappe.brokers.nats.acks import Ack, ack_of
from chappe.brokers.nats.births import Births
from chappe.brokers.nats.channels import UNAVAILABLE, Batch, Channel, Channels, Ticket
from chappe.brokers.nats.conditions import EXPECTED_ID, MESSAGE_ID, NO_ID, headers_of, id_of
from chappe.brokers.nats.connection import Connection, ConnectionFailed, Refused, StreamLost
from chappe.brokers.nats.record import encode, record_of
from chappe.brokers.nats.streams import Streams
from chappe.brokers.nats.subjects import MAX_SUBJECT_BYTES
from chappe.hub.contracts import IDEMPOTENCY_S, Append, Clock, Outcome
from chappe.model.error_codes import Code
from chappe.model.errors import ConfigurationError
from chappe.model.position import Position

#: How many publications more than wanted a channel may have before its stream is asked to trim it.
_TRIM_SLACK: Final = 256
#: Seconds until a stream is asked again about what is on its way to its replicas.
_AGAIN_S: Final = 0.005
#: Bytes that headers may take beside the body.
_HEADER_BYTES: Final = 512


class Publishing:
    """Carries out `append`.

    Attributes:
        untold: numbers of appends whose outcome is not told yet; what the feed brings of them has to wait.
        duplicates: appends whose key was known.
        conflicts: appends refused because `expect` did not hold.
        failed: appends answered 108.
    """

    def __init__(self, clock: Clock, streams: Streams, channels: Channels, births: Births, origin: int) -> None:
        self._clock = clock
        self._streams = streams
        self._channels = channels
        self._origin = origin
        self._births = births
        self._connection: Connection | None = None
        self._last_number = 0
        self._sent_at: dict[int, tuple[Ticket, float]] = {}
        self._ready: deque[Batch] = deque()
        self._telling = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._passed_keys: dict[tuple[str, str, str], float] = {}
        self._all_told = asyncio.Event()
        self.untold: set[int] = set()
        self.told: Callable[[], None] = _nothing
        self.duplicates = 0
        self.conflicts = 0
        self.failed = 0

    def begin(self, connection: Connection) -> None:
        """Send by a connection from now on."""
        self._connection = connection

    def end(self) -> None:
        """Answer everything that is pending 108: its fate is unknown."""
        self._connection = None
        for task in self._tasks:
            task.cancel()
        self._sent_at.clear()
        for channel in self._channels.all():
            channel.opening = False
            channel.waiting.clear()
            channel.in_flight = 0
        pending = {id(batch): batch for channel in self._channels.all() for batch in channel.batches}
        for batch in pending.values():
            self.failed += batch.unknown
            batch.unknown = 0
        for batch in tuple(pending.values()):
            self._settle(batch)

    async def drained(self) -> None:
        """Wait until everything is answered."""
        self._all_told.clear()
        if self.untold and self._connection is not None:
            await self._all_told.wait()

    def oldest_s(self, now: float) -> float:
        """Return for how long the oldest publication that was sent is not acknowledged."""
        return now - next(iter(self._sent_at.values()))[1] if self._sent_at else 0.0

    def append(self, batch: Sequence[Append], done: Callable[[Sequence[Outcome]], None]) -> None:
        """Send publications, or let them wait behind others of their channels."""
        if self._connection is None or not batch:
            self.failed += len(batch)
            done([UNAVAILABLE] * len(batch))
            return
        pending = Batch(len(batch), done)
        tickets: list[Ticket] = []
        for index, item in enumerate(batch):
            channel = self._channels.get(item.channel, item.namespace.keeps_history)
            self._last_number = number = self._last_number + 1
            self.untold.add(number)
            pending.numbers.append(number)
            if not channel.batches or channel.batches[-1] is not pending:
                channel.batches.append(pending)
                pending.channels.append(channel)
            tickets.append(Ticket(item, channel, pending, index, number))
        for ticket in tickets:
            self._queue(ticket)

    # --- On the way --------------------------------------------------------------------------------------------------

    def _queue(self, ticket: Ticket) -> None:
        channel = ticket.channel
        room = ticket.item.namespace.history_count + 2
        known = channel.is_known(self._clock.now()) and (
            room <= self._streams.main.room or not ticket.item.namespace.keeps_history
        )
        if known and not channel.waiting and not channel.opening and not (ticket.item.transient and channel.in_flight):
            self._send(ticket)
            return
        channel.waiting.append(ticket)
        if not known:
            self._open(channel, room)

    def _continue(self, channel: Channel) -> None:
        """Send what waits in a channel, as far as it can go."""
        while channel.waiting and not channel.opening and self._connection is not None:
            if channel.waiting[0].item.transient and channel.in_flight:
                return
            self._send(channel.waiting.popleft())

    def _send(self, ticket: Ticket) -> None:
        item, channel, connection = ticket.item, ticket.channel, self._connection
        assert connection is not None
        if item.transient:
            if item.expect is None:
                self._pass(ticket, connection)
            else:
                channel.opening = True
                self._spawn(self._pass_if_expected(ticket, connection, item.expect))
            return
        body = encode(record_of(item, channel.birth, self._origin, ticket.number))
        if len(body) + _HEADER_BYTES > connection.max_payload or len(channel.subject) > MAX_SUBJECT_BYTES:
            self._known(ticket, UNAVAILABLE)
            return
        self._ask(ticket, connection, body, headers_of(item, channel))
        channel.since_trim += 1
        room = item.namespace.history_count + 2
        if channel.since_trim > room + _TRIM_SLACK and item.namespace.keeps_history:
            channel.since_trim = 0
            if room < self._streams.main.room:
                self._streams.trim(channel.subject, room)

    def _ask(
        self,
        ticket: Ticket,
        connection: Connection,
        body: bytes,
        headers: dict[str, str],
        conflict: Outcome | None = None,
    ) -> None:
        ticket.channel.in_flight += 1
        self._sent_at[ticket.number] = (ticket, self._clock.now())
        reply = connection.expect(lambda headers, data: self._acknowledged(ticket, conflict, headers, data))
        connection.publish(ticket.channel.subject, body, headers, reply)

    def _pass(self, ticket: Ticket, connection: Connection) -> None:
        """Send to whoever listens now; nothing acknowledges it, and it is answered when it is on its way."""
        item, channel = ticket.item, ticket.channel
        outcome = Outcome(0, Position(channel.epoch, 0))
        if item.key is not None and self._is_repeated(item):
            self.duplicates += 1
            self._known(ticket, Outcome(0, outcome.position, True))
            return
        body = encode(record_of(item, channel.birth, self._origin, ticket.number))
        if len(body) + _HEADER_BYTES > connection.max_payload:
            self._known(ticket, UNAVAILABLE)
            return
        connection.publish(self._streams.feed_prefix + channel.tokens, body)
        self._known(ticket, outcome)

    async def _pass_if_expected(self, ticket: Ticket, connection: Connection, expect: Position) -> None:
        """Pass on if the channel is where it was expected a moment ago; what is not stored can not be more exact."""
        channel = ticket.channel
        try:
            now = channel.position(await self._births.last(channel))
        except Refused:
            channel.opening = False
            self._known(ticket, UNAVAILABLE)
            self._continue(channel)
            return
        channel.opening = False
        if expect.offset == now.offset and expect.epoch in ("", now.epoch):
            self._pass(ticket, connection)
        else:
            self.conflicts += 1
            self._known(ticket, Outcome(Code.CONFLICT, now))
        self._continue(channel)

    def _is_repeated(self, item: Append) -> bool:
        """Tell whether a transient publication with this key was passed on here; other nodes do not know its key."""
        now, keys = self._clock.now(), self._passed_keys
        while keys and next(iter(keys.values())) <= now:
            del keys[next(iter(keys))]
        name = (item.channel, item.key_owner, item.key or "")
        if name in keys:
            return True
        keys[name] = now + IDEMPOTENCY_S
        return False

    def _acknowledged(self, ticket: Ticket, conflict: Outcome | None, headers: bytes, data: bytes) -> None:
        channel = ticket.channel
        channel.in_flight -= 1
        self._sent_at.pop(ticket.number, None)
        try:
            ack = ack_of(headers, data)
        except StreamLost as error:
            self._abort(str(error))
            return
        if ack.error is not None:
            self._refused(ticket, ack, conflict)
        elif conflict is not None and ack.seq > conflict.position.offset:
            # The key belongs to a later append, which overtook this question.
            self.conflicts += 1
            self._known(ticket, conflict)
        elif not ack.duplicate and ack.seq <= channel.birth:
            self._abort("a stream began anew")
        else:
            self._stored(ticket, ack)
        self._continue(channel)

    def _stored(self, ticket: Ticket, ack: Ack) -> None:
        channel = ticket.channel
        channel.touch(self._clock.now())
        channel.state.saw(ack.seq)
        channel.told = max(channel.told, ack.seq)
        position = Position(channel.epoch, ack.seq)
        if ack.duplicate:
            self.duplicates += 1
            self._known(ticket, Outcome(0, position, True))
        elif ticket.item.retain:
            self._spawn(self._retain(ticket, position))
        else:
            self._known(ticket, Outcome(0, position))

    def _refused(self, ticket: Ticket, ack: Ack, conflict: Outcome | None) -> None:
        if ack.is_conflict:
            if ack.last is None or ticket.channel.state.replicas > 1:
                self._seek_conflict(ticket)
            else:
                self._conflicted(ticket, ticket.channel.position(ack.last))
        elif conflict is not None and ack.is_unknown_id:
            self.conflicts += 1
            self._known(ticket, conflict)
        elif ack.is_in_process:
            self._clock.call_later(_AGAIN_S, lambda: self._ask_again(ticket, conflict))
        else:
            self._known(ticket, UNAVAILABLE)

    def _ask_again(self, ticket: Ticket, conflict: Outcome | None) -> None:
        if self._connection is None or not ticket.batch.unknown:
            return  # it was given up
        if conflict is None:
            self._send(ticket)
        else:
            self._conflicted(ticket, conflict.position)

    def _seek_conflict(self, ticket: Ticket) -> None:
        """Find out where the channel is, once what was sent here before is answered.

        A stream with replicas refuses because of a message that these do not have yet, and tells or gives the last one
        before it.
        """
        if self._connection is None or not ticket.batch.unknown:
            return  # it was given up
        if any(each.channel is ticket.channel and each.number < ticket.number for each, _ in self._sent_at.values()):
            self._clock.call_later(_AGAIN_S, lambda: self._seek_conflict(ticket))
        else:
            self._spawn(self._find_conflict(ticket))

    async def _find_conflict(self, ticket: Ticket) -> None:
        channel, expect = ticket.channel, ticket.item.expect
        try:
            position = channel.position(await self._births.last(channel))
        except Refused:
            self._known(ticket, UNAVAILABLE)
            return
        if expect is not None and expect.offset == position.offset and expect.epoch in ("", position.epoch):
            # Another node's message, which is on its way, stood in its way.
            self._clock.call_later(_AGAIN_S, lambda: self._ask_again(ticket, None))
        else:
            self._conflicted(ticket, position)

    def _conflicted(self, ticket: Ticket, position: Position) -> None:
        """Answer a conflict, unless the key is known: streams look at it after what is expected, hubs before."""
        conflict = Outcome(Code.CONFLICT, position)
        item, connection = ticket.item, self._connection
        if item.key is None or connection is None:
            self.conflicts += 1
            self._known(ticket, conflict)
            return
        if ticket.channel.state.replicas > 1:
            # There the question below would let the id count as one that is in process, for ever.
            self._spawn(self._find_key(ticket, conflict))
            return
        # Ask for the key alone, with a condition that is looked at after it and never holds.
        self._ask(ticket, connection, b"", {MESSAGE_ID: id_of(item), EXPECTED_ID: NO_ID}, conflict)

    async def _find_key(self, ticket: Ticket, conflict: Outcome) -> None:
        """Look for the key in what the channel keeps."""
        item, channel = ticket.item, ticket.channel
        found, _ = await self._streams.after(channel.state, channel.subject, 0)
        youngest_s = self._clock.wall_ms() / 1_000 - self._streams.clock_skew_s - IDEMPOTENCY_S
        for message in found:
            record = message.record
            if record is None or message.sequence > conflict.position.offset or message.time_s() < youngest_s:
                continue
            if record.key == item.key and record.owner == item.key_owner:
                self.duplicates += 1
                self._known(ticket, Outcome(0, Position(channel.epoch, message.sequence), True))
                return
        self.conflicts += 1
        self._known(ticket, conflict)

    async def _retain(self, ticket: Ticket, position: Position) -> None:
        channel = ticket.channel
        record = record_of(ticket.item, channel.birth, self._origin, ticket.number)
        try:
            await self._births.retain(channel, replace(record, offset=position.offset))
        except Refused:
            self._known(ticket, UNAVAILABLE)
        else:
            self._known(ticket, Outcome(0, position))

    # --- Births ------------------------------------------------------------------------------------------------------

    def _open(self, channel: Channel, room: int) -> None:
        """Find out about the birth of a channel, then send what waits in it."""
        if not channel.opening:
            channel.opening = True
            self._spawn(self._opened(channel, room))

    async def _opened(self, channel: Channel, room: int) -> None:
        main = self._streams.main
        try:
            while True:
                if channel.state is main and room > main.room:
                    await self._streams.make_room(room)
                await self._births.last(channel)
                # Who came meanwhile may want more room.
                room = max((ticket.item.namespace.history_count + 2 for ticket in channel.waiting), default=0)
                if channel.state is not main or room <= main.room:
                    break
        except Refused:
            waiting = tuple(channel.waiting)
            channel.waiting.clear()
            channel.opening = False
            for ticket in waiting:
                self._known(ticket, UNAVAILABLE)
        else:
            channel.opening = False
            self._continue(channel)

    # --- Answers -----------------------------------------------------------------------------------------------------

    def _known(self, ticket: Ticket, outcome: Outcome) -> None:
        batch = ticket.batch
        if not batch.unknown:
            return  # it was given up
        if outcome.error == Code.NOT_AVAILABLE:
            self.failed += 1
        batch.outcomes[ticket.index] = outcome
        batch.unknown -= 1
        if not batch.unknown:
            self._settle(batch)

    def _settle(self, batch: Batch) -> None:
        """Answer a batch, and those behind it, if nothing is unknown before it in any of its channels."""
        candidates = deque([batch])
        while candidates:
            batch = candidates.popleft()
            if batch.unknown or not batch.channels or any(each.batches[0] is not batch for each in batch.channels):
                continue
            for channel in batch.channels:
                channel.batches.popleft()
                if channel.batches:
                    candidates.append(channel.batches[0])
            batch.channels = []
            self._ready.append(batch)
        self._tell()

    def _tell(self) -> None:
        # A callback that raises is a bug of its owner: what others wait for must arrive all the same.
        if self._telling:
            return
        self._telling = True
        failure: BaseException | None = None
        while self._ready:
            batch = self._ready.popleft()
            self.untold.difference_update(batch.numbers)
            try:
                batch.done(batch.outcomes)
            except BaseException as error:
                failure = failure or error
        self._telling = False
        if not self.untold:
            self._all_told.set()
        self.told()
        if failure is not None:
            raise failure

    def _abort(self, reason: str) -> None:
        if self._connection is not None:
            self._connection.abort(reason)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(self._run(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (ConnectionFailed, StreamLost, ConfigurationError, TimeoutError) as error:
            # What waits is answered by the end of the connection.
            self._abort(str(error) or "an acknowledgement did not come in time")


def _nothing() -> None:
    pass
