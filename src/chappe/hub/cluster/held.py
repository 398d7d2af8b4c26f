"""What sessions of this node have of locks, and who of them waits."""

from collections import deque

import msgspec

from chappe.hub.contracts import Timer
from chappe.hub.locks import Grant
from chappe.hub.session import Session
from chappe.protocols import base


class Waiter(msgspec.Struct, eq=False):
    """A session that waits for a lock until a deadline."""

    session: Session
    command: base.Lock
    deadline: float
    timer: Timer | None = None


class Line(msgspec.Struct, eq=False):
    """Who waits on this node for one resource.

    Attributes:
        trying: a change is on its way; `again`: something happened meanwhile.
        expires: wall clock in milliseconds at which the lease in the way ends; 0: it has none, or none is known.
    """

    waiters: deque[Waiter]
    trying: bool = False
    again: bool = False
    expires: int = 0
    timer: Timer | None = None


class NodeLocks:
    """The locks that sessions of this node have, and who waits for some.

    Attributes:
        lines: who waits, by resource.
    """

    def __init__(self) -> None:
        self.lines: dict[str, Line] = {}
        self._grants: dict[str, Grant] = {}
        self._resources: dict[str, set[str]] = {}

    def get(self, resource: str) -> Grant | None:
        """Return what a session of this node has of a resource, its lease over or not."""
        return self._grants.get(resource)

    def put(self, grant: Grant) -> None:
        """Keep a grant, in place of an older one."""
        former = self._grants.get(grant.resource)
        if former is not None:
            if former.token > grant.token:
                return
            self.discard(former)
        self._grants[grant.resource] = grant
        self._resources.setdefault(grant.owner, set()).add(grant.resource)

    def discard(self, grant: Grant) -> None:
        """Forget a grant, unless a newer one stands in its place."""
        found = self._grants.get(grant.resource)
        if found is None or found.token != grant.token:
            return
        del self._grants[grant.resource]
        resources = self._resources[grant.owner]
        resources.discard(grant.resource)
        if not resources:
            del self._resources[grant.owner]

    def of(self, owner: str, now: float) -> list[Grant]:
        """Return what a session has; leases that are over are forgotten."""
        found = [self._grants[resource] for resource in self._resources.get(owner, ())]
        for grant in found:
            if _is_over(grant, now):
                self.discard(grant)
        return [grant for grant in found if not _is_over(grant, now)]

    def all(self, now: float) -> list[Grant]:
        """Return what is held now."""
        return [grant for grant in self._grants.values() if not _is_over(grant, now)]

    def grants(self, now: float) -> list[tuple[Grant, int]]:
        """Return what is held now, and how many of this node wait for it."""
        lines = self.lines
        return [(each, len(lines[each.resource].waiters) if each.resource in lines else 0) for each in self.all(now)]

    def __len__(self) -> int:
        """Return how many grants are kept."""
        return len(self._grants)


def _is_over(grant: Grant, now: float) -> bool:
    return grant.expires_at is not None and grant.expires_at <= now
