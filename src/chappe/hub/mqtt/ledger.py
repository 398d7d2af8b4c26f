"""What members at other nodes are to acknowledge: kept until they did, for when their node does not come to it."""

from typing import Final

import msgspec

from chappe.hub.mqtt.choosing import Place
from chappe.model.publication import Publication

#: Counted for each message beside its payload.
_OVERHEAD_BYTES: Final = 200


class Entry(msgspec.Struct, gc=False):
    """A message that another node sends on.

    Attributes:
        owner: that node.
        qos: what the message was made with.
        since: when that node was last told of it, or was chosen; monotonic seconds.
        publication: None: it has to be read first.
    """

    owner: str
    qos: int
    since: float
    publication: Publication | None = None

    @property
    def size_bytes(self) -> int:
        """What it counts as."""
        return _OVERHEAD_BYTES + (len(self.publication.payload) if self.publication is not None else 0)


class Ledger:
    """The messages of one group that other nodes send on, by place; the oldest go when there are too many.

    Attributes:
        entries: by place, the oldest first.
        forgotten: how many were given up for want of room.
    """

    __slots__ = ("_bytes", "_most", "_most_bytes", "entries", "forgotten")

    def __init__(self, most: int, most_bytes: int) -> None:
        """Make an empty one for so many messages and bytes."""
        self.entries: dict[Place, Entry] = {}
        self.forgotten = 0
        self._most = most
        self._most_bytes = most_bytes
        self._bytes = 0

    def put(self, place: Place, entry: Entry) -> None:
        """Keep a message, in place of what is known of it."""
        self.pop(place)
        self.entries[place] = entry
        self._bytes += entry.size_bytes
        while len(self.entries) > self._most or (self._bytes > self._most_bytes and len(self.entries) > 1):
            self.pop(next(iter(self.entries)))
            self.forgotten += 1

    def pop(self, place: Place) -> Entry | None:
        """Forget a message, and return it."""
        entry = self.entries.pop(place, None)
        if entry is not None:
            self._bytes -= entry.size_bytes
        return entry

    def of(self, owner: str) -> list[Place]:
        """Return what a node sends on, the oldest first."""
        return [place for place, entry in self.entries.items() if entry.owner == owner]

    def clear(self) -> None:
        """Forget everything."""
        self.entries.clear()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self.entries)
