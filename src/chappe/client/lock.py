"""Locks of a client."""

import asyncio
import datetime
import math
from collections.abc import Generator
from contextlib import suppress
from types import TracebackType
from typing import Any

import msgspec

from chappe.client.session import Session
from chappe.model.errors import ChappeError


class Lock(msgspec.Struct, frozen=True):
    """A lock that is held.

    Attributes:
        owner: the holder's public session id.
        token: fencing token; grows with each holder. Hand it to whatever the lock protects, which refuses smaller ones.
        expires: when the hub frees it by itself, or None.
    """

    resource: str
    owner: str
    token: int
    expires: datetime.datetime | None


class LockRequest:
    """A lock to acquire: `async with` holds it for the block, `await` acquires it."""

    def __init__(self, session: Session, resource: str, ttl: float, wait: float) -> None:
        self._session = session
        self._resource = resource
        self._ttl = ttl
        self._wait = wait

    def __await__(self) -> Generator[Any, None, Lock]:
        return self._acquire().__await__()

    async def __aenter__(self) -> Lock:
        return await self._acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Gone with the connection or with its lease: then it is not ours to release.
        with suppress(ChappeError):
            await release(self._session, self._resource)

    async def _acquire(self) -> Lock:
        fields = {"type": "lock", "resource": self._resource, "ttl": self._ttl, "wait": self._wait}
        reply = await self._session.request(fields, wait_s=self._wait, unwanted=self._give_back)
        now = asyncio.get_running_loop().time()
        self._session.held[self._resource] = now + (self._ttl or math.inf)
        return Lock(self._resource, reply.owner, reply.token, reply.expires)

    def _give_back(self) -> None:
        """Release what was granted after we ceased to wait, unless it renewed a lock that we hold."""
        now = asyncio.get_running_loop().time()
        if self._session.held.get(self._resource, 0.0) <= now:
            self._session.post({"type": "unlock", "resource": self._resource})


async def release(session: Session, resource: str) -> None:
    """Release a lock.

    Raises:
        ChappeError: 118, it is not ours.
    """
    session.held.pop(resource, None)
    await session.request({"type": "unlock", "resource": resource})
