"""What the file has and memory no longer has, or has otherwise: written along with the next transaction."""

from collections import deque
from typing import Final

from chappe.brokers.sqlite.database import Changes
from chappe.brokers.sqlite.group import Group, StoredStream

#: Publications deleted in one transaction, so that what waits for the next one does not wait long.
_DELETE_SLICE: Final = 4_000

_Range = tuple[int, int, int]


class Backlog:
    """Rows to be put right.

    Attributes:
        dirty: channels whose row is not what memory has.
        slots: channels whose retained slot is not.
        deleted: publications deleted from the file so far.
    """

    def __init__(self) -> None:
        self.dirty: dict[str, StoredStream] = {}
        self.slots: dict[str, StoredStream] = {}
        self.deleted = 0
        self._forgotten: list[int] = []
        self._ranges: deque[_Range] = deque()
        self._beyond_log: int | None = None
        self._beyond_key = 0
        # What the transaction on its way does.
        self._taken_dirty: dict[str, StoredStream] = {}
        self._taken_slots: dict[str, StoredStream] = {}

    def __bool__(self) -> bool:
        return bool(self.dirty or self.slots or self._forgotten or self._ranges) or self._beyond_log is not None

    def forget(self, channel: str, stream: StoredStream) -> None:
        """Delete a channel from the file."""
        self.dirty.pop(channel, None)
        self.slots.pop(channel, None)
        if stream.id:
            self._forgotten.append(stream.id)
            self.delete(stream.id, stream.disk_trimmed + 1, stream.offset)

    def delete(self, stream: int, first: int, last: int) -> None:
        """Delete publications of a stream, a slice at a time."""
        for begin in range(first, last + 1, _DELETE_SLICE):
            self._ranges.append((stream, begin, min(begin + _DELETE_SLICE - 1, last)))

    def trim(self) -> None:
        """Turn what was trimmed in memory into rows to delete; before a group is planned, whose rows say so."""
        for stream in self.dirty.values():
            if stream.trimmed_offset > stream.disk_trimmed:
                self.delete(stream.id, stream.disk_trimmed + 1, stream.trimmed_offset)
                stream.disk_trimmed = stream.trimmed_offset

    def take(self, changes: Changes) -> None:
        """Put what fits into a transaction that has the rows of its group already."""
        self._taken_dirty, self.dirty = self.dirty, {}
        self._taken_slots, self.slots = self.slots, {}
        for channel, stream in self._taken_dirty.items():
            if stream.id:
                changes.streams.setdefault(stream.id, stream.record(channel))
        for stream in self._taken_slots.values():
            kept = stream.retained if stream.disk_retained else None
            changes.slots.setdefault(stream.id, kept)
        changes.forgotten = tuple(self._forgotten)
        changes.beyond_log, changes.beyond_key = self._beyond_log, self._beyond_key
        ranges: list[_Range] = []
        size = 0
        for each in self._ranges:
            size += each[2] - each[1] + 1
            if ranges and size > _DELETE_SLICE:
                break
            ranges.append(each)
        changes.ranges = ranges

    def done(self, changes: Changes) -> None:
        """Forget what a transaction did."""
        del self._forgotten[: len(changes.forgotten)]
        for _ in changes.ranges:
            _, first, last = self._ranges.popleft()
            self.deleted += last - first + 1
        self._beyond_log = None
        self._taken_dirty, self._taken_slots = {}, {}

    def failed(self, group: Group, sequence: int, last_key: int) -> None:
        """Keep what a transaction did not do, and have the next one remove what it may have left behind.

        Args:
            sequence: the last log position that anybody was told.
            last_key: the last key that was.
        """
        self.dirty = {**self._taken_dirty, **self.dirty}
        self.slots = {**self._taken_slots, **self.slots}
        if self._beyond_log is None:
            self._beyond_log, self._beyond_key = sequence, last_key
        for channel, tail in group.tails.items():
            if tail.namespace is None:
                continue
            if tail.stream.id:
                self.dirty[channel] = tail.stream
                if tail.slot_changes:
                    self.slots[channel] = tail.stream
            else:
                self._forgotten.append(tail.id)
