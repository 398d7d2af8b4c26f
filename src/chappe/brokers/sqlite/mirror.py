"""Memory that knows what the file has of it, and notes what the file must follow."""

from typing import Any, Final

from chappe.brokers.memory import MemoryBroker
from chappe.brokers.sqlite.backlog import Backlog
from chappe.brokers.sqlite.database import Database
from chappe.brokers.sqlite.file_clock import FileClock
from chappe.brokers.sqlite.group import StoredStream
from chappe.brokers.sqlite.loading import Loaded, LoadedStream
from chappe.brokers.sqlite.records import StreamRecord
from chappe.brokers.streams import Ledger, Stream, size_of
from chappe.hub.contracts import Clock, Outcome, Random
from chappe.model.channels import namespace_of
from chappe.model.position import Position

#: A key's id is the millisecond at which it expires, and so many bits to tell keys of one millisecond apart.
KEY_BITS: Final = 20


class Mirror(MemoryBroker):
    """What is kept, in memory, as the file has it or is about to.

    Attributes:
        new_epochs: channels that began anew at start because something of them was missing.
    """

    _stream_type = StoredStream

    def __init__(self, clock: Clock, random: Random, **limits: Any) -> None:
        self._time = FileClock(clock)
        super().__init__(self._time, random, **limits)
        self._backlog = Backlog()
        self._gathered_channels: set[str] = set()
        self._flying_channels: set[str] = set()
        self._commit = self._reserved = self._last_key = 0
        self._lossy: frozenset[str] = frozenset()
        # At start: namespaces that lost publications before, up to which log position.
        self._lost: tuple[frozenset[str], int] = (frozenset(), 0)
        self.new_epochs = 0

    @property
    def deleted(self) -> int:
        """Publications deleted from the file."""
        return self._backlog.deleted

    def _ask_flush(self) -> None:
        """Have the backlog written soon."""
        raise NotImplementedError

    # --- What memory does and the file follows -----------------------------------------------------------------------

    def _is_in_use(self, channel: str) -> bool:
        return super()._is_in_use(channel) or channel in self._gathered_channels or channel in self._flying_channels

    def _forget(self, channel: str) -> None:
        stream = self._streams[channel]
        super()._forget(channel)
        if isinstance(stream, StoredStream):
            self._backlog.forget(channel, stream)
            self._ask_flush()

    def _clear_retained(self, channel: str) -> None:
        stream = self._retained.get(channel)
        super()._clear_retained(channel)
        if isinstance(stream, StoredStream) and stream.disk_retained:
            stream.disk_retained = 0
            self._backlog.slots[channel] = self._backlog.dirty[channel] = stream

    def _is_forgettable(self, channel: str, stream: Stream, now: float) -> bool:
        # The sweep asks this of every channel, after it let go what is too old.
        if isinstance(stream, StoredStream) and stream.id and stream.trimmed_offset > stream.disk_trimmed:
            self._backlog.dirty[channel] = stream
            self._ask_flush()
        return super()._is_forgettable(channel, stream, now)

    def _lost_log(self, pattern: str) -> int:
        names, until = self._lost
        root = namespace_of(pattern)
        is_lost = bool(names) and (root in names or root in ("+", "#") or "+" in names)
        return max(super()._lost_log(pattern), until if is_lost else 0)

    # --- Taking over what the file has -------------------------------------------------------------------------------

    def _adopt(self, loaded: Loaded, database: Database) -> None:
        """Have in memory what the file has, and nothing else."""
        state = loaded.state
        self._time.begin(state.time_s)
        now = self._time.now()
        self._streams.clear()
        self._unborn.clear()
        self._retained.clear()
        self._keys.clear()
        self._unswept = []
        self.retained_bytes = 0
        self._ledger = Ledger()
        self._backlog = Backlog()
        self._log_epoch = state.log_epoch or self._random(6).hex()
        self._forgotten_log = state.forgotten_log
        statement = database.statement
        self._commit = max(state.commit, 0 if statement is None else statement.commit)
        newest = max((stream.record.log for stream in loaded.streams), default=0)
        newest = max(newest, *loaded.strays["publications"], 0)
        self.sequence = max(state.reserved, newest)
        self._reserved = 0
        self._lossy = frozenset(state.lossy)
        self._lost = (self._lossy, self.sequence)
        self.new_epochs += loaded.new_epochs
        for each in sorted(loaded.streams, key=lambda each: 0 if each.retained is None else each.retained.log):
            self._take_stream(each, now)
        self._ledger.trim(self._max_history_bytes)
        for number, record in loaded.keys[-self._max_keys :]:
            channel, owner, key, epoch, offset = record
            first = Outcome(0, Position(epoch, offset), True)
            self._keys[channel, owner, key] = (first, (number >> KEY_BITS) / 1000)
        self._last_key = loaded.keys[-1][0] if loaded.keys else 0

    def _take_stream(self, loaded: LoadedStream, now: float) -> None:
        record: StreamRecord = loaded.record
        channel = record.channel
        stream = StoredStream(record.epoch, now, self._ledger)
        stream.id = loaded.id
        stream.offset, stream.log = record.offset, record.log
        stream.trimmed_offset, stream.trimmed_log = record.trimmed_offset, record.trimmed_log
        stream.disk_trimmed, stream.disk_retained = record.trimmed_offset, record.retained_offset
        stream.count, stream.age_s, stream.is_durable = record.history_count, record.age_s, record.durable
        for publication, stored_s in loaded.kept:
            stream.keep(publication, stored_s)
        stream.expire(now)
        self._streams[channel] = stream
        if loaded.retained is not None:
            stream.retained = loaded.retained
            self._retained[channel] = stream
            self.retained_bytes += size_of(loaded.retained)
        if loaded.changed:
            self._backlog.dirty[channel] = stream
            self._backlog.delete(loaded.id, 1, record.trimmed_offset)
        if not stream.offset and not self._is_in_use(channel):
            self._watch_unborn(channel)
