"""Locks as sessions use them: leases, waiting, release at the end of the session."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from chappe.hub.contracts import Timer
from chappe.hub.locks import Grant, Held, LockTable
from chappe.hub.permissions import Action
from chappe.hub.session import Session
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.protocols import base

if TYPE_CHECKING:
    from chappe.hub.hub import HubCore

#: Longest lease and longest wait, seconds: who needs more renews.
_LONGEST_S: Final = 3_600.0
#: Bytes of a resource name, as of a channel name.
_RESOURCE_BYTES: Final = 255


class Locking:
    """Carries out `lock`, `unlock` and `lock_owner`."""

    def __init__(self, hub: "HubCore") -> None:
        self._hub = hub
        # Tokens grow over restarts too, as long as the wall clock does.
        self.table = LockTable(first_token=hub.clock.wall_ms())
        self._waiting: dict[tuple[str, str], tuple[Session, base.Lock]] = {}
        self._timer: Timer | None = None

    def lock(self, session: Session, command: base.Lock) -> None:
        """Acquire, renew or wait; who waits is answered later, and its other commands go on.

        Raises:
            ChappeError: 103, 106, 107, 118 (`detail` has the owner).
        """
        hub = self._hub
        check_lock(command)
        hub.permissions.authorize(session.actor, Action.LOCK, command.resource)
        ttl_s = command.ttl or None
        answer = self.table.acquire(command.resource, session.id, hub.clock.now(), ttl_s, command.wait)
        self._watch()
        if isinstance(answer, Grant):
            self._granted(session, command, answer)
        elif answer.waiting:
            self._waiting[(command.resource, session.id)] = (session, command)
        else:
            raise held_error(answer)

    def unlock(self, session: Session, command: base.Unlock) -> None:
        """Release a lock.

        Raises:
            ChappeError: 118, this session does not hold it (`detail` has the owner, empty if nobody does).
        """
        hub = self._hub
        hub.permissions.authorize(session.actor, Action.LOCK, command.resource)
        now = hub.clock.now()
        released, following = self.table.release(command.resource, session.id, now)
        if not released:
            owner = self.table.holder(command.resource, now)
            detail = {"resource": command.resource, "owner": owner.owner if owner else ""}
            raise ChappeError(Code.LOCKED_BY_ANOTHER, detail=detail)
        session.answer(base.Unlocked(command.id, command.resource))
        self._grant_waiter(following)

    def owner(self, session: Session, command: base.LockOwner) -> None:
        """Tell who holds a lock."""
        self._hub.permissions.authorize(session.actor, Action.LOCK, command.resource)
        grant = self.table.holder(command.resource, self._hub.clock.now())
        session.answer(base.LockOwned(command.id, command.resource, grant.owner if grant else ""))

    def grants(self, now: float) -> list[tuple[Grant, int]]:
        """Return what is held now, and how many wait for each."""
        table = self.table
        held = [grant for grant in table if table.holder(grant.resource, now) is not None]
        return [(grant, len(table.waiters(grant.resource))) for grant in held]

    def release_all(self, session: Session) -> None:
        """Give back what a session that ended held or waited for."""
        for key in [key for key in self._waiting if key[1] == session.id]:
            del self._waiting[key]
        for grant in self.table.release_all(session.id, self._hub.clock.now()):
            self._grant_waiter(grant)

    def _granted(self, session: Session, command: base.Lock, grant: Grant) -> None:
        if not self._has_operation(command):
            session.answer(self._locked(command, grant, False))
            return
        session.hold()

        def done(message: base.Message) -> None:
            session.answer(message)
            session.release()

        self._carry_out(session, command, grant, done)

    def _has_operation(self, command: base.Lock) -> bool:
        return command.operation is not None and bool(self._hub.hooks.operation)

    def _carry_out(
        self, session: Session, command: base.Lock, grant: Grant, done: Callable[[base.Message], None]
    ) -> None:
        """Ask the hooks to do what the lock was taken for; one that fails gives the lock to the next in line."""
        hub = self._hub

        def finished(error: BaseException | None) -> None:
            if error is None:
                done(self._locked(command, grant, True))
                return
            done(session.failure(command.id, hub.as_refusal(error)))
            self._give_back(session, grant)

        hub.hooks.run(hub.hooks.operation, (session.handle_of(), command.resource, command.operation), finished)

    def _give_back(self, session: Session, grant: Grant) -> None:
        now = self._hub.clock.now()
        holder = self.table.holder(grant.resource, now)
        # The lease may have ended meanwhile and another have begun: that one is not ours to give back.
        if holder is not None and holder.token == grant.token:
            self._grant_waiter(self.table.release(grant.resource, session.id, now)[1])

    def _locked(self, command: base.Lock, grant: Grant, completed: bool) -> base.Locked:
        clock = self._hub.clock
        expires_ms = None
        if grant.expires_at is not None:
            expires_ms = clock.wall_ms() + round((grant.expires_at - clock.now()) * 1_000)
        return base.Locked(command.id, grant.resource, grant.owner, grant.token, expires_ms, completed)

    def _grant_waiter(self, grant: Grant | None) -> None:
        waiting = self._waiting.pop((grant.resource, grant.owner), None) if grant else None
        self._watch()
        if grant is None or waiting is None:
            return
        self._grant_waiting(*waiting, grant)

    def _grant_waiting(self, session: Session, command: base.Lock, grant: Grant) -> None:
        """Answer who waited; not by `answer`, since it stood in line while later commands were answered."""
        if self._has_operation(command):
            self._carry_out(session, command, grant, session.send)
        else:
            session.send(self._locked(command, grant, False))

    def _watch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self.table.next_deadline()
        if deadline is not None:
            self._timer = self._hub.clock.call_later(max(0.0, deadline - self._hub.clock.now()), self._expire)

    def _expire(self) -> None:
        self._timer = None
        expired = self.table.expire(self._hub.clock.now())
        for refusal in expired.refused:
            waiting = self._waiting.pop((refusal.resource, refusal.owner), None)
            if waiting is not None:
                held = Held(refusal.resource, refusal.holder, False)
                waiting[0].send(waiting[0].failure(waiting[1].id, held_error(held)))
        for grant in expired.granted:
            self._grant_waiter(grant)
        self._watch()


def check_lock(command: base.Lock) -> None:
    """Refuse a lock command whose fields are out of range.

    Raises:
        ChappeError: 107.
    """
    if not 1 <= len(command.resource.encode("utf-8", "surrogatepass")) <= _RESOURCE_BYTES:
        raise _out_of_range("resource", f"expected 1 to {_RESOURCE_BYTES} bytes")
    if not 0 <= command.ttl <= _LONGEST_S:
        raise _out_of_range("ttl", f"expected 0 to {_LONGEST_S:g} seconds")
    if not 0 <= command.wait <= _LONGEST_S:
        raise _out_of_range("wait", f"expected 0 to {_LONGEST_S:g} seconds")


def _out_of_range(field: str, problem: str) -> ChappeError:
    return ChappeError(Code.BAD_REQUEST, detail={"field": field, "problem": problem})


def held_error(held: Held) -> ChappeError:
    """Return error 118, which names the holder."""
    detail: dict[str, Any] = {"resource": held.resource, "owner": held.owner}
    return ChappeError(Code.LOCKED_BY_ANOTHER, detail=detail)
