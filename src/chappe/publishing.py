"""Publishing and reading as the application itself: the part of the public `Hub` that needs no session."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from chappe.hub.contracts import Outcome, ReadResult
from chappe.hub.hub import HubCore
from chappe.hub.permissions import APPLICATION
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.model.position import Position
from chappe.model.publication import Kind, Publication
from chappe.protocols import base

#: The application publishes so much before other tasks have their turn: readers must be able to read.
_TURN_PUBLICATIONS: Final = 64
_TURN_BYTES: Final = 262_144


class Publishing:
    """What an application says and reads in channels, whatever the rights of its clients are."""

    _core: HubCore

    def __init__(self) -> None:
        self._turn_publications = 0
        self._turn_bytes = 0

    async def publish(
        self,
        channel: str,
        data: Any,
        *,
        key: str | None = None,
        expect: int | Position | None = None,
        retain: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Position:
        """Publish, as the application itself; returns where it is stored, when the broker has it.

        Other tasks get their turn at least every 64 publications or 256 KiB of them.

        Args:
            data: any JSON value; `bytes` are published raw.
            key: idempotency key: within five minutes the same key gives the same answer and stores nothing twice.
            expect: store only if this is the channel's last offset, or position.
        Raises:
            ChappeError: 107, 108, 113, 114 (`detail` has the position and what was missed).
        """
        payload, kind = (data, Kind.BINARY) if isinstance(data, bytes) else (msgspec.json.encode(data), Kind.JSON)
        answer: asyncio.Future[Position] = asyncio.get_running_loop().create_future()

        def done(outcome: Outcome | None, error: ChappeError | None) -> None:
            if answer.done():
                return
            if outcome is None:
                answer.set_exception(error or ChappeError(Code.NOT_AVAILABLE))
            else:
                answer.set_result(outcome.position)

        command = base.Publish(0, channel, payload, kind, key, expect, retain, headers)
        self._core.publish(APPLICATION, command, done)
        self._turn_publications += 1
        self._turn_bytes += len(payload)
        if self._turn_publications >= _TURN_PUBLICATIONS or self._turn_bytes >= _TURN_BYTES:
            self._turn_publications = self._turn_bytes = 0
            await asyncio.sleep(0)
        return await answer

    async def history(self, channel: str, *, limit: int = 100, reverse: bool = False) -> list[Publication]:
        """Return the newest publications of a channel, oldest first (newest first with `reverse`).

        Raises:
            ChappeError: 107, 108.
        """
        answer: asyncio.Future[list[Publication]] = asyncio.get_running_loop().create_future()

        def done(result: ReadResult | None, error: ChappeError | None) -> None:
            if answer.done():
                return
            if result is None:
                answer.set_exception(error or ChappeError(Code.NOT_AVAILABLE))
            else:
                answer.set_result(list(result.publications))

        self._core.read_history(APPLICATION, base.History(0, channel, limit, None, reverse), done)
        return await answer
