"""A group of appends on its way to the disk: what each will have become once the group is there.

A group is planned when no other is on its way, so what memory holds is what is on disk, and the group's own appends are
all that has to be added to it: `expect` and keys see those before them.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final

from chappe.brokers.sqlite.records import StreamRecord
from chappe.brokers.streams import Ledger, Stream
from chappe.hub.contracts import Append, Outcome
from chappe.hub.namespaces import Level, Namespace
from chappe.model.error_codes import Code
from chappe.model.position import Position
from chappe.model.publication import Publication

Done = Callable[[Sequence[Outcome]], None]
Key = tuple[str, str, str]

#: Log positions left free before each group, for what is fed meanwhile without being written.
_LOG_STRIDE: Final = 4_096


class StoredStream(Stream):
    """A channel, and what the file has of it.

    Attributes:
        id: of its row; 0: it has none.
        disk_trimmed: what its row says; rows of publications up to here are gone or about to be deleted.
        disk_retained: offset of the publication in its slot on disk; 0: none.
        is_durable: whether its last publication was synced before it was acknowledged.
        is_awaited: somebody read it in a namespace that is written: its epoch is worth keeping before it has anything.
    """

    __slots__ = ("disk_retained", "disk_trimmed", "id", "is_awaited", "is_durable")

    def __init__(self, epoch: str, now: float, ledger: Ledger) -> None:
        super().__init__(epoch, now, ledger)
        self.id = 0
        self.disk_trimmed = 0
        self.disk_retained = 0
        self.is_awaited = False
        self.is_durable = False

    def record(self, channel: str) -> StreamRecord:
        """Return its row as memory has it."""
        return StreamRecord(
            channel,
            self.epoch,
            self.offset,
            self.log,
            self.trimmed_offset,
            self.trimmed_log,
            self.count,
            self.age_s,
            self.is_durable,
            self.disk_retained,
        )


def is_written(namespace: Namespace) -> bool:
    """Whether publications of a namespace belong on disk."""
    return namespace.level is not Level.LIVE and not namespace.ephemeral


@dataclass
class Tail:
    """Where a channel will be when the group is on disk.

    Attributes:
        id: of its row; 0: it will have none.
        base_offset, base_log: what the row of a channel that is new on disk says is not kept.
        slot: the publication in its retained slot on disk, or None: cleared; only meaningful if `slot_changes`.
    """

    stream: StoredStream
    id: int
    offset: int
    log: int
    base_offset: int
    base_log: int
    namespace: Namespace | None = None
    slot_changes: bool = False
    slot: Publication | None = None

    def record(self, channel: str) -> StreamRecord:
        """Return the row that goes with the group."""
        stream, namespace = self.stream, self.namespace
        assert namespace is not None, "a row without a publication"
        retained = stream.disk_retained
        if self.slot_changes:
            retained = 0 if self.slot is None else self.slot.offset
        return StreamRecord(
            channel,
            stream.epoch,
            self.offset,
            self.log,
            self.base_offset,
            self.base_log,
            namespace.history_count if namespace.keeps_history else 0,
            namespace.history_age_s,
            namespace.level is Level.DURABLE,
            retained,
        )


@dataclass(frozen=True, slots=True)
class Planned:
    """What one append will have become: `outcome`, or a publication that is stored or passed on."""

    outcome: Outcome
    is_stored: bool = False
    is_passed: bool = False


@dataclass
class Group:
    """Appends that are written together.

    Attributes:
        now: the broker's second at which they were planned: that is when they are stored.
        begin: log position before its first publication.
        sequence: log position of its last one so far.
        entries: in the order in which they were asked for.
        written: the publications that go to disk.
        keys: keys that begin with this group.
    """

    now: float
    begin: int
    entries: Sequence[tuple[Sequence[Append], Done]] = ()
    sequence: int = 0
    plans: list[list[Planned]] = field(default_factory=list)
    tails: dict[str, Tail] = field(default_factory=dict)
    written: list[tuple[int, Publication]] = field(default_factory=list)
    keys: dict[Key, Outcome] = field(default_factory=dict)
    written_keys: list[Key] = field(default_factory=list)
    is_durable: bool = False
    future: Future[None] | None = None
    error: Exception | None = None

    def __post_init__(self) -> None:
        self.begin += _LOG_STRIDE
        self.sequence = self.begin

    def plan(self, item: Append, stream: StoredStream, known: Outcome | None) -> Planned:
        """Decide about one append; `known` is the first answer to its key, if memory has one."""
        tail = self.tails.get(item.channel)
        if tail is None:
            base_offset, base_log = stream.disk_trimmed, stream.trimmed_log
            tail = Tail(stream, stream.id, stream.offset, stream.log, base_offset, base_log)
            self.tails[item.channel] = tail
        name = (item.channel, item.key_owner, item.key or "")
        if item.key is not None:
            known = self.keys.get(name, known)
            if known is not None:
                return Planned(known)
        expect = item.expect
        if expect is not None and (expect.offset != tail.offset or expect.epoch not in ("", stream.epoch)):
            return Planned(Outcome(Code.CONFLICT, Position(stream.epoch, tail.offset)))
        offset = 0 if item.transient else self._store(item, tail)
        outcome = Outcome(0, Position(stream.epoch, offset))
        if item.key is not None:
            self.keys[name] = Outcome(0, outcome.position, True)
            # A key of a transient publication speaks of nothing that is in the file.
            if is_written(item.namespace) and not item.transient:
                self.written_keys.append(name)
                self.is_durable |= item.namespace.level is Level.DURABLE
        return Planned(outcome, is_stored=not item.transient, is_passed=item.transient)

    def _store(self, item: Append, tail: Tail) -> int:
        self.sequence = log = self.sequence + 1
        if not tail.id and is_written(item.namespace):
            # The log position of its first row names a stream: it is never used again.
            tail.id, tail.base_offset, tail.base_log = log, tail.offset, tail.log
        tail.offset += 1
        tail.log = log
        if not tail.id:
            return tail.offset
        tail.namespace = item.namespace
        publication = Publication(
            item.channel,
            item.payload,
            item.kind,
            tail.offset,
            tail.stream.epoch,
            item.time_ms,
            item.sender,
            item.key,
            item.headers,
            log,
        )
        self.written.append((tail.id, publication))
        self.is_durable |= item.namespace.level is Level.DURABLE
        if item.retain:
            tail.slot_changes = True
            tail.slot = publication if item.payload else None
        return tail.offset
