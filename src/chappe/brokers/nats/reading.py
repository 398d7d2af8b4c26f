"""History and the log, read from the streams.

A stream tells which messages it has, not which it lost. A channel's oldest message tells that: what came after a
position is whole if the channel still has a message from there or before, or the mark of its birth.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from chappe.brokers.nats.births import Births
from chappe.brokers.nats.channels import NOWHERE, Channel, Channels, birth_of, is_publication
from chappe.brokers.nats.connection import ConnectionFailed, Refused, StreamLost
from chappe.brokers.nats.feed import Feed
from chappe.brokers.nats.record import LOG_STEP
from chappe.brokers.nats.streams import Message, Streams, StreamState
from chappe.brokers.nats.subjects import MAX_SUBJECT_BYTES, channel_of, filter_of
from chappe.hub.contracts import Clock, Read, ReadLog, ReadLogResult, ReadResult
from chappe.model.channels import pattern_matches
from chappe.model.error_codes import Code
from chappe.model.errors import ConfigurationError
from chappe.model.position import Position
from chappe.model.publication import Publication

#: More digits are no position of ours; Python refuses to read very long numbers.
_MAX_DIGITS: Final = 32
#: Live messages looked at to find out whether one was published and not only a channel born.
_LIVE_LOOKS: Final = 256

_UNABLE: Final = (ConnectionFailed, StreamLost, Refused, ConfigurationError, asyncio.CancelledError)
UNREADABLE: Final = ReadResult(Code.NOT_AVAILABLE, NOWHERE)


class Reading:
    """Carries out `read` and `read_log`."""

    def __init__(self, clock: Clock, streams: Streams, channels: Channels, births: Births, feed: Feed) -> None:
        self._clock = clock
        self._streams = streams
        self._channels = channels
        self._births = births
        self._feed = feed
        self._tasks: set[asyncio.Task[None]] = set()

    def read(self, request: Read, done: Callable[[ReadResult], None]) -> None:
        """Read a channel."""
        self._spawn(self._read(request), done, UNREADABLE)

    def read_log(self, request: ReadLog, done: Callable[[ReadLogResult], None]) -> None:
        """Read all channels that match."""
        self._spawn(self._read_log(request), done, unreadable_log())

    async def end(self) -> None:
        """Answer what is asked 108."""
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _spawn(self, work: Coroutine[Any, Any, Any], done: Callable[[Any], None], failed: object) -> None:
        async def run() -> None:
            try:
                result = await work
            except _UNABLE:
                result = failed
            done(result)

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- One channel -------------------------------------------------------------------------------------------------

    async def _read(self, request: Read) -> ReadResult:
        namespace = request.namespace
        channel = self._channels.get(request.channel, namespace.keeps_history)
        if len(channel.subject) > MAX_SUBJECT_BYTES:
            return UNREADABLE
        retained = asyncio.ensure_future(
            self._streams.last(self._streams.retained, self._streams.retained.prefix + channel.tokens)
        )
        try:
            last = await self._births.last(channel)
            position = channel.position(last)
            publications: list[Publication]
            if not namespace.keeps_history:
                publications, missing_until = [], position.offset
            elif _needs_nothing(request, position):
                publications, missing_until = [], 0
            else:
                publications, missing_until = await self._kept(channel, request, last)
            slot = await retained
        finally:
            retained.cancel()
        chosen, complete, unbroken = _select(publications, missing_until, position, request)
        return ReadResult(0, position, chosen, complete, self._slot(request.channel, slot), unbroken)

    async def _kept(self, channel: Channel, request: Read, last: int) -> tuple[list[Publication], int]:
        """Return what may be asked for, oldest first, and the last place where something is missing."""
        count, since = request.namespace.history_count, request.since
        if since is not None and not request.reverse:
            wanted = max(min(request.limit, count), 0) + 1
            start = max(since.offset, channel.birth)
            found, more = await self._streams.after(channel.state, channel.subject, start, wanted)
            if channel.state.replicas > 1 and not more and start < last and (not found or found[-1].sequence < last):
                raise StreamLost("a replica is behind another")
            if len(found) + more <= count:
                oldest = await self._streams.first(channel.state, channel.subject)
                return self._fresh(channel, request, found, last, _missing_before(oldest))
        found, _ = await self._streams.after(channel.state, channel.subject, 0)
        missing = _missing_before(found[0] if found else None)
        found = [message for message in found if is_publication(message.record)]
        if len(found) > count:
            missing = found[-count - 1].sequence
            found = found[-count:]
        return self._fresh(channel, request, found, last, missing)

    def _fresh(
        self, channel: Channel, request: Read, found: Sequence[Message], last: int, missing: int
    ) -> tuple[list[Publication], int]:
        """Return what is young enough and was there when the position was read."""
        age_s = request.namespace.history_age_s
        oldest_s = self._now_s() - age_s
        publications: list[Publication] = []
        for message in found:
            if not is_publication(message.record) or message.sequence > last:
                continue
            if age_s > 0 and message.time_s() <= oldest_s:
                missing = max(missing, message.sequence)
            else:
                publications.append(self._publication(channel.name, channel.state, message))
        return publications, missing

    def _publication(self, channel: str, state: StreamState, message: Message) -> Publication:
        record = message.record
        assert record is not None
        epoch = f"{state.id}-{birth_of(message):x}"
        return record.publication(channel, message.sequence, epoch, message.sequence * LOG_STEP)

    def _slot(self, channel: str, message: Message | None) -> Publication | None:
        record = message.record if message is not None else None
        if record is None or not record.payload:
            return None
        state = self._streams.main if record.kept else self._streams.live
        log = record.offset * LOG_STEP if record.kept else 0
        return record.publication(channel, record.offset, f"{state.id}-{record.birth:x}", log, retained=True)

    def _now_s(self) -> float:
        return self._clock.wall_ms() / 1_000 - self._streams.clock_skew_s

    # --- The log -----------------------------------------------------------------------------------------------------

    async def _read_log(self, request: ReadLog) -> ReadLogResult:
        streams = self._streams
        tokens = filter_of(request.pattern)
        # The end first: what comes after it, comes in the feed.
        newest = await streams.last(streams.main, ">")
        end = newest.sequence if newest is not None else 0
        live = await streams.last(streams.live, streams.live.prefix + tokens)
        live_end = live.sequence if live is not None else 0
        slots, _ = await streams.after(streams.retained, streams.retained.prefix + tokens, 0)
        since = self._parse_log(request.since, end)
        found: list[Message] = []
        complete = False
        limit = max(request.limit, 0)
        if since is not None:
            found, more = await streams.after(streams.main, streams.main.prefix + tokens, since[0], 2 * limit + 2)
            complete = not more and await self._is_whole(request.pattern, since, found, tokens, live_end)
        publications = self._log_publications(request.pattern, found, end)
        self._feed.raise_clock(end)
        sequence = end * LOG_STEP
        return ReadLogResult(
            0,
            f"{self._log_epoch(live_end)}:{sequence}",
            sequence,
            publications[:limit],
            complete and len(publications) <= limit,
            self._slots(request.pattern, slots),
        )

    def _log_publications(self, pattern: str, found: Sequence[Message], end: int) -> list[Publication]:
        publications: list[Publication] = []
        for message in found:
            channel = self._channel(message, self._streams.main.prefix)
            if message.sequence > end or not is_publication(message.record) or not channel:
                continue
            record = message.record
            old = record is not None and record.age_s > 0 and message.time_s() <= self._now_s() - record.age_s
            if pattern_matches(pattern, channel) and not old:
                publications.append(self._publication(channel, self._streams.main, message))
        return publications

    def _slots(self, pattern: str, found: Sequence[Message]) -> list[Publication]:
        slots: list[Publication] = []
        for message in found:
            channel = self._channel(message, self._streams.retained.prefix)
            publication = self._slot(channel, message) if channel and pattern_matches(pattern, channel) else None
            if publication is not None:
                slots.append(publication)
        return sorted(slots, key=_log_of)

    def _channel(self, message: Message, prefix: str) -> str:
        try:
            return channel_of(message.subject.removeprefix(prefix))
        except ValueError:
            return ""

    async def _is_whole(
        self, pattern: str, since: tuple[int, int], found: Sequence[Message], tokens: str, live_end: int
    ) -> bool:
        """Tell whether nothing of matching channels is missing after a log position."""
        streams = self._streams
        after, live_after = since
        if not await self._is_young(after):
            return False
        if live_end > live_after:
            # Births are no publications.
            passed, more = await streams.after(streams.live, streams.live.prefix + tokens, live_after, _LIVE_LOOKS)
            if more or any(is_publication(message.record) for message in passed):
                return False
        counts: dict[str, int] = {}
        firsts: dict[str, Message] = {}
        for message in found:
            counts[message.subject] = counts.get(message.subject, 0) + is_publication(message.record)
            firsts.setdefault(message.subject, message)
            record = message.record
            if record is None or counts[message.subject] > record.count > 0:
                return False
            if record.age_s > 0 and message.time_s() <= self._now_s() - record.age_s:
                return False
        oldest = await asyncio.gather(
            *(streams.first(streams.main, subject) for subject, first in firsts.items() if is_publication(first.record))
        )
        return all(_missing_before(message) <= after for message in oldest)

    async def _is_young(self, after: int) -> bool:
        """Tell whether a log position is from a time of which every channel has left something."""
        if self._streams.is_young(self._now_s()):
            return True
        tick = await self._streams.first(self._streams.main, self._streams.tick_subject)
        return tick is not None and tick.sequence <= after

    def _log_epoch(self, live: int) -> str:
        return f"{self._streams.main.id}.{self._streams.live.id}.{live}"

    def _parse_log(self, since: str | None, end: int) -> tuple[int, int] | None:
        """Return the places in both streams that a log position means, or None if it is of another time."""
        epoch, _, digits = (since or "").rpartition(":")
        main, _, rest = epoch.partition(".")
        live, _, place = rest.partition(".")
        if not (_is_number(digits) and _is_number(place)) or (main, live) != (
            self._streams.main.id,
            self._streams.live.id,
        ):
            return None
        sequence = int(digits) // LOG_STEP
        return (sequence, int(place)) if sequence <= end else None


def unreadable_log() -> ReadLogResult:
    """Return the answer of a broker that cannot tell."""
    return ReadLogResult(Code.NOT_AVAILABLE, ":0")


def _needs_nothing(request: Read, position: Position) -> bool:
    since = request.since
    if since is None:
        return request.limit <= 0
    # Its place is not in this life of the channel.
    return since.epoch != position.epoch or since.offset > position.offset


def _missing_before(oldest: Message | None) -> int:
    """Return the last place where a publication may be missing, judged by the oldest message of a channel."""
    if oldest is None or not is_publication(oldest.record):
        return 0
    return oldest.sequence - 1


def _select(
    kept: Sequence[Publication], missing_until: int, position: Position, request: Read
) -> tuple[list[Publication], bool, bool]:
    """Return what was asked for, whether that is all, and whether it is without a gap."""
    since, limit = request.since, max(request.limit, 0)
    if since is None:
        newest = list(kept[-limit:]) if limit else []
        return (newest[::-1] if request.reverse else newest), False, False
    if since.epoch != position.epoch or since.offset > position.offset:
        return [], False, False
    if request.reverse:
        before = [publication for publication in kept if publication.offset < since.offset][::-1]
        return before[:limit], len(before) <= limit and missing_until == 0, False
    after = [publication for publication in kept if publication.offset > since.offset]
    unbroken = since.offset >= missing_until
    return after[:limit], unbroken and len(after) <= limit, unbroken and since.offset >= 0


def _is_number(text: str) -> bool:
    return len(text) <= _MAX_DIGITS and text.isascii() and text.isdigit()


def _log_of(publication: Publication) -> int:
    return publication.log
