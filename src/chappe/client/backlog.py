"""Messages that wait for the loop that takes them; when it is full, the one who puts waits."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

from chappe.model.errors import ChappeError, LocalProtocolError

T = TypeVar("T")


class Backlog(Generic[T]):
    """A bounded queue that stays readable after its end.

    Put from one task, which stops reading its socket while it waits here: TCP slows the peer down, nothing is dropped.
    """

    def __init__(self, max_items: int) -> None:
        if max_items < 1:
            raise LocalProtocolError(f"queue_size is {max_items}, expected 1 or more")
        self._max = max_items
        self._items: deque[T] = deque()
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._error: ChappeError | None = None

    async def put(self, item: T) -> None:
        """Add an item; returns when there is room for the next. Cancelled, the item stays."""
        self._items.append(item)
        self._filled.set()
        while len(self._items) >= self._max:
            self._room.clear()
            await self._room.wait()

    async def get(self) -> T:
        """Return the oldest item; cancelling it loses nothing.

        Raises:
            ChappeError: what `end` was given; all items were taken.
        """
        while not self._items:
            if self._error is not None:
                raise self._error
            self._filled.clear()
            await self._filled.wait()
        item = self._items.popleft()
        self._room.set()
        return item

    def end(self, error: ChappeError) -> None:
        """Say that nothing more will be put."""
        self._error = error
        self._filled.set()
