"""What goes out: it waits in one line, is sent in its order, and stays known until the outside broker has it."""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from chappe.model.publication import Publication

if TYPE_CHECKING:
    from chappe.bridges.mqtt.feed import Feed

#: Messages that wait: an hour of ten sensors that speak every three seconds.
DEFAULT_MESSAGES: Final = 10_000
#: Their bytes, names and headers included.
DEFAULT_BYTES: Final = 67_108_864
#: Messages of QoS 0 that are handed to the connection at the same time.
_QOS_0_AT_ONCE: Final = 256
#: What an item costs beside its bytes: the item, its publication, its place.
_OVERHEAD_BYTES: Final = 512


class Item(msgspec.Struct, eq=False):
    """One message on its way.

    Attributes:
        place: where its feed is when everything up to here is done; empty: it does not move.
        retain: None: not known yet.
    """

    feed: "Feed"
    publication: Publication
    topic: str
    payload: bytes
    qos: int
    place: str
    retain: bool | None = None
    is_done: bool = False

    @property
    def size(self) -> int:
        """The bytes it counts for."""
        headers = sum(len(name) + len(value) for name, value in (self.publication.headers or {}).items())
        return len(self.payload) + len(self.topic) + headers + _OVERHEAD_BYTES


class Outbox:
    """A bounded line of messages.

    Order: first in, first sent; one whose retain flag is not known holds those behind it. In a cut what has QoS 0 is
    dropped and counted; the rest waits. When it is full the feed decides: it reads again later what a history keeps,
    and drops and counts what is kept nowhere.

    Attributes:
        bytes: what waits or is under way, without headers of MQTT.
        dropped: messages that will never arrive, by reason: `cut` (QoS 0), `full`, `too-large`, `stopped`.
    """

    def __init__(self, messages: int = DEFAULT_MESSAGES, bytes_: int = DEFAULT_BYTES) -> None:
        """Take the limits; one message is let in whatever its size."""
        self._most = messages
        self._most_bytes = bytes_
        self._waiting: deque[Item] = deque()
        self._sent: dict[int, Item] = {}
        self.bytes = 0
        self.dropped: Counter[str] = Counter()

    def __len__(self) -> int:
        """Return how many wait or are under way."""
        return len(self._waiting) + len(self._sent)

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be put in."""
        return len(self) >= self._most or self.bytes >= self._most_bytes

    @property
    def is_half_empty(self) -> bool:
        """Whether feeds that were kept out may come back."""
        return len(self) <= self._most // 2 and self.bytes <= self._most_bytes // 2

    def put(self, item: Item) -> None:
        """Let an item wait; the caller has asked whether the box is full."""
        self._waiting.append(item)
        self.bytes += item.size

    def next(self, inflight: int) -> Item | None:
        """Return what is to be sent now, if anything is, and may be: it is given to `sent` or `drop` then."""
        if not self._waiting or self._waiting[0].retain is None:
            return None
        first = self._waiting[0]
        under_way = sum(1 for each in self._sent.values() if (each.qos > 0) == (first.qos > 0))
        if under_way >= (inflight if first.qos else _QOS_0_AT_ONCE):
            return None
        return self._waiting.popleft()

    def sent(self, packet_id: int, item: Item) -> None:
        """Know an item by its packet id until it is confirmed."""
        self._sent[packet_id] = item

    def confirmed(self, packet_id: int) -> Item | None:
        """Return the item that was confirmed, which is done."""
        item = self._sent.pop(packet_id, None)
        if item is not None:
            self._done(item)
        return item

    def drop(self, item: Item, reason: str) -> None:
        """Give an item up that `next` returned."""
        self.dropped[reason] += 1
        self._done(item)

    def cut(self) -> None:
        """Drop what has QoS 0: there is no connection."""
        for packet_id in [packet_id for packet_id, item in self._sent.items() if not item.qos]:
            self.drop(self._sent.pop(packet_id), "cut")
        without = [item for item in self._waiting if not item.qos]
        if without:
            self._waiting = deque(item for item in self._waiting if item.qos)
            for item in without:
                self.drop(item, "cut")

    def clear(self, reason: str, is_lost: Callable[[Item], bool]) -> int:
        """Forget everything; count and return those that are lost by it."""
        items = [*self._sent.values(), *self._waiting]
        lost = sum(1 for item in items if is_lost(item))
        if lost:
            self.dropped[reason] += lost
        self._sent.clear()
        self._waiting.clear()
        self.bytes = 0
        return lost

    @property
    def under_way(self) -> Mapping[int, Item]:
        """What was sent and is not confirmed yet, by packet id."""
        return self._sent

    def _done(self, item: Item) -> None:
        self.bytes -= item.size
        item.is_done = True
        item.feed.finished()
