"""Remembers the events of a client, and lets a test wait for them."""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from chappe.client.session import EVENTS


class Emitter(Protocol):
    def on(self, event: str, listener: Callable[..., object]) -> object: ...


class Recorder:
    def __init__(self, client: Emitter, *more: str) -> None:
        self.seen: list[tuple[Any, ...]] = []
        self._change = asyncio.Event()
        # States are told beside everything else: who wants them asks for them.
        for name in (*(name for name in EVENTS if name != "state"), *more):
            try:
                client.on(name, self._listener(name))
            except Exception:
                assert name in ("resubscribed", "missed"), name

    def names(self, *without: str) -> list[str]:
        return [event[0] for event in self.seen if event[0] not in without]

    def of(self, name: str) -> list[tuple[Any, ...]]:
        return [event[1:] for event in self.seen if event[0] == name]

    async def wait(self, name: str, count: int = 1) -> tuple[Any, ...]:
        """Return the arguments of the `count`-th event of a name."""
        while len(self.of(name)) < count:
            self._change.clear()
            await self._change.wait()
        return self.of(name)[count - 1] if count else ()

    def _listener(self, name: str) -> Callable[..., None]:
        def listen(*arguments: Any) -> None:
            self.seen.append((name, *arguments))
            self._change.set()

        return listen
