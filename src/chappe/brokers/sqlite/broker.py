"""Publications kept in one SQLite file.

Memory has everything that is kept, as `MemoryBroker` has it, and answers every read. The file has the same, so that it
survives: appends are gathered while the transaction before them is written, go to disk together in a thread, and only
then reach memory, are answered and fed. A failed transaction changes nothing in memory: what waited is answered 108.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Final

from chappe.brokers.memory import passed
from chappe.brokers.sqlite.database import Changes, Database, Sync, Verify
from chappe.brokers.sqlite.group import Done, Group, Planned, StoredStream, Tail, is_written
from chappe.brokers.sqlite.loading import load
from chappe.brokers.sqlite.mirror import KEY_BITS, Mirror
from chappe.brokers.sqlite.records import KeyRecord, PublicationRow, State
from chappe.hub.contracts import (
    IDEMPOTENCY_S,
    Append,
    BrokerSink,
    Clock,
    Outcome,
    Random,
    Read,
    ReadResult,
)
from chappe.hub.namespaces import Level
from chappe.model.channels import namespace_of
from chappe.model.error_codes import Code
from chappe.model.position import Position
from chappe.model.publication import Publication

_log = logging.getLogger("chappe.broker")

#: Log positions taken ahead: after a crash the log goes on behind them, so that none is told twice.
_RESERVE: Final = 1 << 32
#: Namespaces of channels that are not written, remembered one by one; with more, any may have lost something.
_MOST_LOSSY: Final = 256
#: Publications that were trimmed and wait in the file before the next transaction deletes them.
_TRIM_SLICE: Final = 1_000
_UNAVAILABLE: Final = Outcome(Code.NOT_AVAILABLE, Position("", 0))


class SqliteBroker(Mirror):
    """Keeps publications in one file; one process has it at a time.

    Namespaces of level `durable` are acknowledged after fsync (`synchronous=FULL`), `recoverable` when the operating
    system has them, or after fsync too with `sync="full"`. `live` and ephemeral ones are not written.

    Attributes:
        path: of the file.
        commits, commit_failures: transactions.
    """

    name = "sqlite"
    durable = True
    shared = False

    def __init__(
        self,
        clock: Clock,
        random: Random,
        path: Path,
        *,
        sync: Sync = "normal",
        verify: Verify = "quick",
        **limits: int,
    ) -> None:
        """Name the file; it is opened by `start`.

        Args:
            path: of the file; its directory is there.
            sync: `full`: every transaction is synced before it is acknowledged.
            verify: `full`: indexes are compared with tables at start; rows are checked in any case.
            limits: as of `MemoryBroker`; they bound the file too.
        """
        super().__init__(clock, random, **limits)
        self.path, self._sync, self._verify = path, sync, verify
        self._database: Database | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._gathered: list[tuple[Sequence[Append], Done]] = []
        self._flying: Group | None = None
        self._changes: Changes | None = None
        self._is_flush_asked = self._is_settling = self._is_closing = False
        self._ceiling = 0
        self.commits = 0
        self.commit_failures = 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing is on its way to the file."""
        return not (self._gathered or self._is_flush_asked) and self._flying is None

    def metrics(self) -> dict[str, float]:
        """Return what memory counts, and how often the file was written or could not be."""
        return {
            **super().metrics(),
            "chappe_broker_commits_total": self.commits,
            "chappe_broker_commit_failures_total": self.commit_failures,
        }

    # --- Life --------------------------------------------------------------------------------------------------------

    async def start(self, sink: BrokerSink) -> None:
        """Open the file, read and check it.

        Raises:
            ConfigurationError: it cannot be used; the text names it and says what to do.
        """
        self._loop = asyncio.get_running_loop()
        database = Database(self.path, self._sync)
        opening = asyncio.ensure_future(asyncio.to_thread(self._open_database, database))
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            await asyncio.wait([opening])
            database.close()
            raise
        self._database = database
        self._pool = ThreadPoolExecutor(1, "chappe-sqlite")
        self._is_flush_asked = self._is_closing = False
        await super().start(sink)

    async def stop(self) -> None:
        """Write what was asked for, mark the file clean, close it."""
        if self._database is None:
            return
        self._is_closing = True
        try:
            while self._flying is not None or self._gathered:
                if self._flying is None:
                    self._flush()
                elif self._flying.future is not None:
                    await asyncio.to_thread(wait, [self._flying.future])
                    self._landed()
        finally:
            database, self._database = self._database, None
            pool, self._pool = self._pool, None
            try:
                self._abandon()
            finally:
                await super().stop()
            assert pool is not None
            closing = asyncio.wrap_future(pool.submit(self._close, database, self._last_changes()))
            pool.shutdown(wait=False)
        await closing

    def _abandon(self) -> None:
        """Answer what could not be waited for; the last transaction removes what is written of it."""
        if self._flying is None and self._gathered:
            self._flying = Group(self._time.now(), self.sequence)
        if self._flying is not None:
            self._flying.error = OSError("stopped before it was written")
            self._settle()

    def _open_database(self, database: Database) -> None:
        database.open(self._verify)
        try:
            loaded = load(database, lambda: self._random(6).hex())
            if loaded.reason:
                _log.warning("%s: %s; %d channels begin a new epoch", database.path, loaded.reason, loaded.new_epochs)
            self._adopt(loaded, database)
            changes = self._make_changes(Group(self._time.now(), self.sequence))
            changes.strays = loaded.strays
            changes.durable = True
            database.begin(changes)
            self._wrote(changes)
        except sqlite3.Error as error:
            database.close()
            raise database.refusal(error) from None
        except BaseException:
            database.close()
            raise

    def _close(self, database: Database, changes: Changes) -> None:
        try:
            database.finish(changes)
        except (sqlite3.Error, OSError) as error:
            _log.error("%s could not be closed in order: %s", database.path, error)

    def _last_changes(self) -> Changes:
        """Return the last transaction: with the epochs of channels that are waited for and still empty."""
        self._backlog.trim()
        changes = self._make_changes(Group(self._time.now(), self.sequence))
        number = changes.state.reserved
        for channel, stream in self._streams.items():
            if isinstance(stream, StoredStream) and stream.is_awaited and not stream.id and not stream.offset:
                number += 1
                changes.streams[number] = stream.record(channel)
        changes.state = changes.state._replace(reserved=number + 1)
        changes.durable = True
        return changes

    # --- Appending ---------------------------------------------------------------------------------------------------

    def append(self, batch: Sequence[Append], done: Done) -> None:
        """Store publications with the next transaction; what is not written passes at once if nothing is before it."""
        if self._database is None or self._is_closing:
            done([_UNAVAILABLE] * len(batch))
        elif self._passes(batch):
            super().append(batch, done)
        else:
            self._gathered_channels.update(item.channel for item in batch)
            self._gathered.append((batch, done))
            self._ask_flush()

    def read(self, request: Read, done: Callable[[ReadResult], None]) -> None:
        """Read a channel from memory."""
        super().read(request, done)
        if is_written(request.namespace):
            stream = self._streams.get(request.channel)
            if isinstance(stream, StoredStream):
                stream.is_awaited = True

    def _passes(self, batch: Sequence[Append]) -> bool:
        """Whether nothing of a batch goes to disk, and nothing of its channels waits for that."""
        if self._is_settling or self.sequence + len(batch) >= self._ceiling:
            return False
        for item in batch:
            channel = item.channel
            if channel in self._gathered_channels or channel in self._flying_channels:
                return False
            if item.transient and item.key is None:
                continue
            if is_written(item.namespace) or not self._is_known_lossy(channel):
                return False
            stream = self._streams.get(channel)
            if isinstance(stream, StoredStream) and stream.id:
                return False
        return True

    def _is_known_lossy(self, channel: str) -> bool:
        return namespace_of(channel) in self._lossy or "+" in self._lossy

    def _ask_flush(self) -> None:
        if not self._is_flush_asked and self._flying is None and self._loop is not None:
            self._is_flush_asked = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Plan what was gathered and send it to the writer."""
        self._is_flush_asked = False
        if self._flying is not None or self._is_settling or self._database is None or self._pool is None:
            return
        entries, self._gathered = self._gathered, []
        self._flying_channels, self._gathered_channels = self._gathered_channels, set()
        for channel in self._flying_channels:
            # They get a publication: no other name may push them out before that.
            self._unborn.pop(channel, None)
        self._backlog.trim()
        group = Group(self._time.now(), self.sequence, entries)
        lossy = self._plan(group)
        self._flying = group
        self._ceiling = group.begin
        is_needed = group.written or group.written_keys or lossy != self._lossy or self._backlog
        if not is_needed and group.sequence < self._reserved - _RESERVE // 2:
            self._settle()
            return
        changes = self._changes = self._make_changes(group)
        if lossy != self._lossy:
            changes.lossy = tuple(sorted(lossy))
        group.future = self._pool.submit(self._write, self._database, changes)
        group.future.add_done_callback(self._wake)

    def _plan(self, group: Group) -> frozenset[str]:
        """Plan every entry; return the lossy namespaces there will be."""
        lossy = self._lossy
        for batch, _ in group.entries:
            plans = []
            for item in batch:
                stream = self._streams.get(item.channel) or self._open(item.channel, group.now)
                assert isinstance(stream, StoredStream)
                stream.touched = group.now
                known = None
                if item.key is not None:
                    held = self._keys.get((item.channel, item.key_owner, item.key))
                    known = held[0] if held is not None and held[1] > group.now else None
                plans.append(group.plan(item, stream, known))
                if not is_written(item.namespace) and not item.transient and "+" not in lossy:
                    lossy |= {namespace_of(item.channel)}
            group.plans.append(plans)
        return lossy if len(lossy) <= _MOST_LOSSY else frozenset("+")

    def _make_changes(self, group: Group) -> Changes:
        reserved = self._reserved
        if group.sequence >= reserved - _RESERVE // 2:
            reserved = group.sequence + _RESERVE
        state = State(self._commit + 1, reserved, self._log_epoch, self._forgotten_log, group.now, ())
        changes = Changes(state, group.is_durable)
        changes.publications = [PublicationRow(number, each, group.now) for number, each in group.written]
        for channel, tail in group.tails.items():
            if tail.namespace is not None:
                changes.streams[tail.id] = tail.record(channel)
                if tail.slot_changes:
                    changes.slots[tail.id] = tail.slot
        number = max(self._last_key, round((group.now + IDEMPOTENCY_S) * 1000) << KEY_BITS)
        for name in group.written_keys:
            number += 1
            position = group.keys[name].position
            changes.keys.append((number, KeyRecord(*name, position.epoch, position.offset)))
        changes.expired_key = round(group.now * 1000) << KEY_BITS
        self._backlog.take(changes)
        return changes

    @staticmethod
    def _write(database: Database, changes: Changes) -> None:
        database.commit(changes)

    def _wake(self, _: Future[None]) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._landed)
        except RuntimeError:
            # The loop ended without `stop`; the next `stop` settles what is here.
            return

    # --- Answering ---------------------------------------------------------------------------------------------------

    def _landed(self) -> None:
        """Take the writer's word about the group on its way."""
        group = self._flying
        if group is None or group.future is None or not group.future.done():
            return
        error = group.future.exception()
        if isinstance(error, Exception):
            group.error = error
        try:
            self._settle()
        finally:
            if self._gathered:
                self._flush()
            elif self._backlog and group.error is None:
                self._ask_flush()

    def _settle(self) -> None:
        """Bring memory up to the group and answer, or answer that nothing was stored."""
        group, changes = self._flying, self._changes
        assert group is not None
        self._changes = None
        failures: list[BaseException] = []
        self._is_settling = True
        if group.error is not None:
            self._fail(group, failures)
        else:
            if changes is not None:
                self._wrote(changes)
            self._apply(group, failures)
        self._is_settling = False
        self._flying = None
        self._flying_channels = set()
        self._ceiling = self._reserved
        for channel, tail in group.tails.items():
            if not tail.stream.offset and not self._is_in_use(channel):
                self._watch_unborn(channel)
        if failures:
            raise failures[0]

    def _fail(self, group: Group, failures: list[BaseException]) -> None:
        self.commit_failures += 1
        _log.error("%s: a transaction failed: %s", self.path, group.error)
        self._backlog.failed(group, self.sequence, self._last_key)
        # What came after it was meant to follow it.
        later, self._gathered = self._gathered, []
        self._gathered_channels = set()
        for batch, done in (*group.entries, *later):
            try:
                done([_UNAVAILABLE] * len(batch))
            except BaseException as error:
                failures.append(error)

    def _apply(self, group: Group, failures: list[BaseException]) -> None:
        for tail in group.tails.values():
            if tail.namespace is not None:
                _settle_row(tail)
        if group.sequence > group.begin:
            self.sequence = group.begin
        for (batch, done), plans in zip(group.entries, group.plans, strict=True):
            outcomes, fed = [], []
            for item, planned in zip(batch, plans, strict=True):
                publication = self._realize(item, planned, group.now)
                outcomes.append(planned.outcome)
                if publication is not None and self._is_fed(item.channel):
                    fed.append(publication)
            try:
                self._answer_and_feed(done, outcomes, fed)
            except BaseException as error:
                failures.append(error)
        for channel, tail in group.tails.items():
            self._settle_slot(channel, tail)
            stream = tail.stream
            if stream.id and stream.trimmed_offset - stream.disk_trimmed >= _TRIM_SLICE:
                self._backlog.dirty[channel] = stream

    def _is_fed(self, channel: str) -> bool:
        if channel in self._attached:
            return True
        return bool(self._patterns) and self._fed_by_pattern(self._streams[channel], channel)

    def _wrote(self, changes: Changes) -> None:
        """Remember what a transaction did."""
        self.commits += 1
        self._commit = changes.state.commit
        self._reserved = self._ceiling = changes.state.reserved
        if changes.keys:
            self._last_key = changes.keys[-1][0]
        if changes.lossy is not None:
            self._lossy = frozenset(changes.lossy)
        self._backlog.done(changes)

    def _settle_slot(self, channel: str, tail: Tail) -> None:
        """Compare the retained slot in memory with the one that was written."""
        stream = tail.stream
        if not tail.slot_changes:
            return
        stream.disk_retained = 0 if tail.slot is None else tail.slot.offset
        if stream.disk_retained and stream.retained is None:
            # There was no room for it.
            stream.disk_retained = 0
            self._backlog.slots[channel] = self._backlog.dirty[channel] = stream
            return
        self._backlog.slots.pop(channel, None)
        if stream.disk_trimmed == stream.trimmed_offset:
            self._backlog.dirty.pop(channel, None)

    def _realize(self, item: Append, planned: Planned, now: float) -> Publication | None:
        """Have in memory what was planned for one append; return what is fed of it."""
        outcome, stream = planned.outcome, self._streams[item.channel]
        if not (planned.is_stored or planned.is_passed):
            self.duplicates += outcome.duplicate
            self.conflicts += not outcome.duplicate
            return None
        publication = self._store(stream, item, now) if planned.is_stored else passed(stream, item)
        if item.key is not None:
            self._remember(item, outcome, now)
        return publication


def _settle_row(tail: Tail) -> None:
    """Remember what the file has of a channel now."""
    stream, namespace = tail.stream, tail.namespace
    assert namespace is not None, "a row without a publication"
    if not stream.id:
        stream.id, stream.disk_trimmed = tail.id, tail.base_offset
    stream.is_durable = namespace.level is Level.DURABLE
