"""Locks of named resources: one holder each, leases, fencing tokens, and waiting in line."""

from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from chappe.hub.deadlines import Deadlines
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError

#: Locks held and waited for by one owner; a session that needs more uses coarser resources.
DEFAULT_LOCKS_PER_OWNER: Final = 128
#: Owners in line for one resource; at a hold of a second the last of 64 waits a minute.
DEFAULT_WAITERS_PER_RESOURCE: Final = 64


class Grant(msgspec.Struct, frozen=True, gc=False):
    """A lock that an owner has.

    Attributes:
        token: fencing token: greater than that of every grant before it, of any resource. A store that refuses tokens
            smaller than the greatest it saw is safe from a holder that sleeps through the end of its lease.
        expires_at: monotonic seconds, or None: until it is released.
    """

    resource: str
    owner: str
    token: int
    expires_at: float | None


class Held(msgspec.Struct, frozen=True, gc=False):
    """The answer that somebody else has the lock.

    Attributes:
        owner: who has it.
        waiting: whether the asker is in line now: a grant or a refusal follows.
    """

    resource: str
    owner: str
    waiting: bool


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """The end of a wait in vain.

    Attributes:
        owner: who waited.
        holder: who has the lock.
    """

    resource: str
    owner: str
    holder: str


class Expired(NamedTuple):
    """What became of locks and waits as time passed.

    Attributes:
        granted: locks that waiters have now.
        refused: waits that ended in vain.
    """

    granted: list[Grant]
    refused: list[Refusal]


class _Waiter:
    __slots__ = ("deadline", "owner", "ttl_s")

    def __init__(self, owner: str, ttl_s: float | None, deadline: float) -> None:
        self.owner = owner
        self.ttl_s = ttl_s
        self.deadline = deadline


class _Lock:
    __slots__ = ("grant", "waiters")

    def __init__(self, grant: Grant) -> None:
        self.grant = grant
        self.waiters: deque[_Waiter] = deque()


class LockTable:
    """The locks of one process.

    Order: a lock that becomes free goes to the first in line; nobody passes the line. Every wait ends in exactly one
    grant or one refusal, unless its owner gives it up with `cancel` or `release_all`. The caller runs `expire` at
    `next_deadline`; a late call lets leases and waits end late and never gives a lock to two.

    Attributes:
        refused_locks, refused_waits: how often a limit was met.
    """

    def __init__(
        self,
        locks_per_owner: int = DEFAULT_LOCKS_PER_OWNER,
        waiters_per_resource: int = DEFAULT_WAITERS_PER_RESOURCE,
        first_token: int = 1,
    ) -> None:
        """Begin without locks.

        Args:
            locks_per_owner: most locks an owner may hold and wait for together.
            waiters_per_resource: most owners in line for a resource.
            first_token: greater than every token of the process before, for example from the wall clock.
        """
        self._locks: dict[str, _Lock] = {}
        # What each owner holds and waits for, in the order it asked.
        self._resources: dict[str, dict[str, None]] = {}
        # (resource, None) is a lease and (resource, owner) a wait.
        self._deadlines: Deadlines[tuple[str, str | None]] = Deadlines()
        self._locks_per_owner = locks_per_owner
        self._waiters_per_resource = waiters_per_resource
        self._next_token = first_token
        self.refused_locks = 0
        self.refused_waits = 0

    def acquire(
        self, resource: str, owner: str, now: float, ttl_s: float | None = None, wait_s: float = 0.0
    ) -> Grant | Held:
        """Take a lock, renew it, or stand in line.

        The holder's own call renews the lease from now and keeps the token. A lease that is over is not renewed: with
        nobody in line it is taken anew, with a new token.

        Args:
            ttl_s: length of the lease, above 0; None: until it is released.
            wait_s: how long to stand in line if somebody else has it; 0: not at all. Who stands in line already keeps
                its place and its time, and this call is answered that it does not wait.
        Raises:
            ChappeError: 106, one of the two limits is met; `detail` has `limit` and `maximum`.
        """
        lock = self._locks.get(resource)
        if lock is None:
            self._check_owner_limit(owner)
            return self._grant(resource, owner, now, ttl_s)
        is_over = lock.grant.expires_at is not None and lock.grant.expires_at <= now
        if is_over and not lock.waiters:
            if lock.grant.owner != owner:
                self._check_owner_limit(owner)
            self._forget(resource, lock.grant.owner)
            return self._grant(resource, owner, now, ttl_s)
        if lock.grant.owner == owner and not is_over:
            lock.grant = Grant(resource, owner, lock.grant.token, None if ttl_s is None else now + ttl_s)
            self._set_lease(lock.grant)
            return lock.grant
        return self._wait(lock, owner, now, ttl_s, wait_s)

    def release(self, resource: str, owner: str, now: float) -> tuple[bool, Grant | None]:
        """Give a lock back; return whether the owner had it, and the grant of the next in line.

        A lease that is over is not had any more: what follows is told by `expire`.
        """
        lock = self._locks.get(resource)
        if lock is None or lock.grant.owner != owner:
            return False, None
        if lock.grant.expires_at is not None and lock.grant.expires_at <= now:
            return False, None
        return True, self._hand_over(lock, now)

    def cancel(self, resource: str, owner: str) -> bool:
        """Leave the line; return False if the owner did not stand in it. No refusal follows."""
        lock = self._locks.get(resource)
        waiter = _find(lock, owner)
        if lock is None or waiter is None:
            return False
        self._end_wait(lock, waiter)
        return True

    def release_all(self, owner: str, now: float) -> list[Grant]:
        """Give back everything an owner has and leave every line; return the grants of those who were next."""
        granted: list[Grant] = []
        for resource in list(self._resources.get(owner, ())):
            lock = self._locks[resource]
            waiter = _find(lock, owner)
            if waiter is not None:
                self._end_wait(lock, waiter)
            if lock.grant.owner == owner:
                following = self._hand_over(lock, now)
                if following is not None:
                    granted.append(following)
        return granted

    def expire(self, now: float) -> Expired:
        """End the leases and the waits whose time is over.

        Where both ended, the wait is refused and not granted: its owner counted on an answer by then.
        """
        due = self._deadlines.pop_due(now)
        refused: list[Refusal] = []
        for resource, waiting in due:
            lock = self._locks[resource]
            if waiting is not None:
                waiter = _find(lock, waiting)
                assert waiter is not None
                self._end_wait(lock, waiter)
                refused.append(Refusal(resource, waiting, lock.grant.owner))
        granted: list[Grant] = []
        for resource, waiting in due:
            if waiting is None:
                following = self._hand_over(self._locks[resource], now)
                if following is not None:
                    granted.append(following)
        return Expired(granted, refused)

    def next_deadline(self) -> float | None:
        """Return when `expire` has something to do, in monotonic seconds, or None: never as things are."""
        return self._deadlines.next()

    def holder(self, resource: str, now: float) -> Grant | None:
        """Return who has a resource; None if nobody has, or a lease is over."""
        lock = self._locks.get(resource)
        if lock is None or (lock.grant.expires_at is not None and lock.grant.expires_at <= now):
            return None
        return lock.grant

    def waiters(self, resource: str) -> list[str]:
        """Return the owners in line for a resource, first to last."""
        lock = self._locks.get(resource)
        return [waiter.owner for waiter in lock.waiters] if lock is not None else []

    def __iter__(self) -> Iterator[Grant]:
        """Go through all grants, leases that wait for `expire` included."""
        return (lock.grant for lock in list(self._locks.values()))

    def __len__(self) -> int:
        """Return the number of locks that are held."""
        return len(self._locks)

    def _grant(self, resource: str, owner: str, now: float, ttl_s: float | None) -> Grant:
        grant = Grant(resource, owner, self._next_token, None if ttl_s is None else now + ttl_s)
        self._next_token += 1
        lock = self._locks.get(resource)
        if lock is None:
            self._locks[resource] = _Lock(grant)
        else:
            lock.grant = grant
        self._resources.setdefault(owner, {})[resource] = None
        self._set_lease(grant)
        return grant

    def _set_lease(self, grant: Grant) -> None:
        if grant.expires_at is None:
            self._deadlines.discard((grant.resource, None))
        else:
            self._deadlines.set((grant.resource, None), grant.expires_at)

    def _wait(self, lock: _Lock, owner: str, now: float, ttl_s: float | None, wait_s: float) -> Held:
        resource = lock.grant.resource
        # A holder whose lease is over may be named here for the moment until `expire` hands the lock on.
        if wait_s <= 0 or owner == lock.grant.owner or _find(lock, owner) is not None:
            return Held(resource, lock.grant.owner, False)
        self._check_owner_limit(owner)
        if len(lock.waiters) >= self._waiters_per_resource:
            self.refused_waits += 1
            raise _limit_met("waiters of a resource", self._waiters_per_resource)
        lock.waiters.append(_Waiter(owner, ttl_s, now + wait_s))
        self._resources.setdefault(owner, {})[resource] = None
        self._deadlines.set((resource, owner), now + wait_s)
        return Held(resource, lock.grant.owner, True)

    def _hand_over(self, lock: _Lock, now: float) -> Grant | None:
        """Take the lock from its holder and give it to the first in line, whose wait may have ended just now untold."""
        resource = lock.grant.resource
        self._forget(resource, lock.grant.owner)
        if lock.waiters:
            first = lock.waiters[0]
            self._end_wait(lock, first)
            return self._grant(resource, first.owner, now, first.ttl_s)
        self._deadlines.discard((resource, None))
        del self._locks[resource]
        return None

    def _end_wait(self, lock: _Lock, waiter: _Waiter) -> None:
        lock.waiters.remove(waiter)
        self._deadlines.discard((lock.grant.resource, waiter.owner))
        self._forget(lock.grant.resource, waiter.owner)

    def _forget(self, resource: str, owner: str) -> None:
        resources = self._resources[owner]
        del resources[resource]
        if not resources:
            del self._resources[owner]

    def _check_owner_limit(self, owner: str) -> None:
        if len(self._resources.get(owner, ())) >= self._locks_per_owner:
            self.refused_locks += 1
            raise _limit_met("locks of a session", self._locks_per_owner)


def _find(lock: _Lock | None, owner: str) -> _Waiter | None:
    if lock is not None:
        for waiter in lock.waiters:
            if waiter.owner == owner:
                return waiter
    return None


def _limit_met(limit: str, maximum: int) -> ChappeError:
    return ChappeError(Code.LIMIT_EXCEEDED, detail={"limit": limit, "maximum": maximum})
