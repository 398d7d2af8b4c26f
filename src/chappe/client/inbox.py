"""What a subscription received and its user has not taken yet: bounded, in order."""

import asyncio
from collections import deque
from typing import TypeAlias

import msgspec

from chappe.client.messages import Publication
from chappe.model.member import Member
from chappe.model.position import Position


class Resubscribed(msgspec.Struct, frozen=True, gc=False):
    """The subscription was made again after a cut.

    Attributes:
        recovered: everything published in between follows; False: something may be missing at this place.
        position: where the channel goes on, or None for a pattern.
    """

    recovered: bool
    position: Position | None


class Missed(msgspec.Struct, frozen=True, gc=False):
    """So many publications were dropped at this place because this reader was slow."""

    count: int


class Join(msgspec.Struct, frozen=True, gc=False):
    """Somebody came."""

    member: Member


class Leave(msgspec.Struct, frozen=True, gc=False):
    """Somebody went."""

    member: Member


class PresenceState(msgspec.Struct, frozen=True, gc=False):
    """Who is there, from scratch; above 200 members `members` is None and only `count` is told."""

    members: tuple[Member, ...] | None
    count: int


Item: TypeAlias = Publication | Resubscribed | Missed | Join | Leave | PresenceState


class Inbox:
    """A queue of items for one reader.

    It never drops by itself: its length says when the subscription's overflow policy has to act. Markers
    (`Resubscribed`, `Missed`) always fit; those that follow each other are merged, so they too are bounded.
    """

    def __init__(self, max_items: int) -> None:
        self._max = max_items
        self._items: deque[Item] = deque()
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def has_room(self) -> bool:
        """Tell whether it is at most half full: the time to ask for more."""
        return len(self._items) <= self._max // 2

    def put(self, item: Item) -> None:
        """Add an item at the end."""
        merged = self._merge(item)
        if not merged:
            self._items.append(item)
        self._filled.set()

    def drop_oldest(self) -> None:
        """Replace the oldest publication by word of its loss."""
        for index, item in enumerate(self._items):
            if isinstance(item, Publication | Join | Leave):
                lost = 1 if isinstance(item, Publication) else 0
                before = self._items[index - 1] if index else None
                if isinstance(before, Missed):
                    self._items[index - 1] = Missed(before.count + lost)
                    del self._items[index]
                else:
                    self._items[index] = Missed(lost)
                return

    def take(self) -> Item | None:
        """Return the oldest item, or None: there is none."""
        return self._items.popleft() if self._items else None

    async def wait(self) -> None:
        """Wait until there may be something to take; cancelling it loses nothing."""
        if not self._items:
            self._filled.clear()
            await self._filled.wait()

    def wake(self) -> None:
        """Let a waiting reader look again: nothing more will come."""
        self._filled.set()

    def _merge(self, item: Item) -> bool:
        """Merge a marker into one of its kind with no publication in between."""
        if not isinstance(item, Resubscribed | Missed):
            return False
        for index in range(len(self._items) - 1, -1, -1):
            other = self._items[index]
            if isinstance(other, Resubscribed) and isinstance(item, Resubscribed):
                self._items[index] = Resubscribed(other.recovered and item.recovered, item.position)
                return True
            if isinstance(other, Missed) and isinstance(item, Missed):
                self._items[index] = Missed(other.count + item.count)
                return True
            if not isinstance(other, Resubscribed | Missed):
                return False
        return False
