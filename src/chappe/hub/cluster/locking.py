"""Locks that hold on all nodes: a record each, which changes hands only from what was read.

Order: sessions of one node stand in one line; whose node is quicker when a lock becomes free is not decided. A lease is
counted by the wall clocks of the nodes. Tokens of one resource grow as long as the engine keeps its record, and beyond
that as long as the wall clock does.
"""

from collections import deque
from typing import TYPE_CHECKING, Any, Final

import msgspec

from chappe.hub.cluster.bus import Bus, Tell
from chappe.hub.cluster.nodes import Nodes
from chappe.hub.cluster.records import KEEP, RECORD_AGE_S, Changed, Found, Records
from chappe.hub.contracts import Timer
from chappe.hub.locking import Locking, check_lock, held_error
from chappe.hub.locks import DEFAULT_LOCKS_PER_OWNER, DEFAULT_WAITERS_PER_RESOURCE, Grant, Held
from chappe.hub.permissions import Action
from chappe.hub.session import Session
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.protocols import base

if TYPE_CHECKING:
    from chappe.hub.hub import HubCore

#: Beyond the end of another's lease, before it is tried for, seconds: clocks of nodes are not one clock.
_SKEW_S: Final = 0.2
_RENEWAL_S: Final = RECORD_AGE_S / 4


class _Waiter(msgspec.Struct, eq=False):
    session: Session
    command: base.Lock
    deadline: float
    timer: Timer | None = None


class _Line(msgspec.Struct, eq=False):
    """Who waits on this node for one resource.

    Attributes:
        trying: a change is on its way; `again`: something happened meanwhile.
    """

    waiters: deque[_Waiter]
    trying: bool = False
    again: bool = False
    timer: Timer | None = None


class NodeLocks(dict[str, Grant]):
    """The locks that sessions of this node have, by resource."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, _Line] = {}

    def grants(self, now: float) -> list[tuple[Grant, int]]:
        """Return what is held now, and how many of this node wait for it."""
        held = [grant for grant in self.values() if grant.expires_at is None or grant.expires_at > now]
        lines = self.lines
        return [(each, len(lines[each.resource].waiters) if each.resource in lines else 0) for each in held]


class SharedLocking(Locking):
    """Carries out `lock`, `unlock` and `lock_owner` where several nodes share a broker."""

    def __init__(self, hub: "HubCore", bus: Bus, nodes: Nodes, records: Records) -> None:
        super().__init__(hub)
        self._bus = bus
        self._nodes = nodes
        self._records = records
        self.held = NodeLocks()
        self._timer_renewal: Timer | None = None
        bus.on("lock.free", self._freed)
        nodes.on_gone.append(lambda node: self._try_all())
        nodes.on_return.append(self._hold_again)

    def start(self) -> None:
        """Write what is held again now and then, so that the engine does not forget it."""
        self._timer_renewal = self._hub.clock.call_later(_RENEWAL_S, self._renew)

    def stop(self) -> None:
        """Write nothing more."""
        if self._timer_renewal is not None:
            self._timer_renewal.cancel()
            self._timer_renewal = None

    def grants(self, now: float) -> list[tuple[Grant, int]]:
        """Return the locks of this node's sessions, and how many of this node wait for each."""
        return self.held.grants(now)

    def lock(self, session: Session, command: base.Lock) -> None:
        """Acquire, renew or wait; the session's later commands wait until it is known which.

        Raises:
            ChappeError: 103, 106, 107.
        """
        check_lock(command)
        self._hub.permissions.authorize(session.actor, Action.LOCK, command.resource)
        self._check_limit(session, command.resource)
        session.hold()

        def decided(grant: Grant | None, held: ChappeError | None) -> None:
            if session.is_over:
                self._drop(grant)
            elif grant is not None:
                self._granted(session, command, grant)
            else:
                assert held is not None
                self._wait_or_fail(session, command, held)
            session.release()

        self._acquire(session, command, decided)

    def unlock(self, session: Session, command: base.Unlock) -> None:
        """Release a lock.

        Raises:
            ChappeError: 103.
        """
        self._hub.permissions.authorize(session.actor, Action.LOCK, command.resource)
        session.hold()

        def released(result: Changed) -> None:
            if result.done:
                session.answer(base.Unlocked(command.id, command.resource))
            elif result.error:
                session.fail(command.id, ChappeError(result.error))
            else:
                owner = result.value["session"] if self._in_force(result.value) else ""
                detail = {"resource": command.resource, "owner": owner}
                session.fail(command.id, ChappeError(Code.LOCKED_BY_ANOTHER, detail=detail))
            session.release()

        self._release(command.resource, session.id, None, released)

    def owner(self, session: Session, command: base.LockOwner) -> None:
        """Tell who holds a lock."""
        self._hub.permissions.authorize(session.actor, Action.LOCK, command.resource)
        session.hold()

        def found(record: Found | None) -> None:
            if record is None:
                session.fail(command.id, ChappeError(Code.NOT_AVAILABLE))
            else:
                owner = record.value["session"] if self._in_force(record.value) else ""
                session.answer(base.LockOwned(command.id, command.resource, owner))
            session.release()

        self._records.read(_record(command.resource), found)

    def release_all(self, session: Session) -> None:
        """Give back what a session that ended held or waited for."""
        for line in tuple(self.held.lines.values()):
            for waiter in [waiter for waiter in line.waiters if waiter.session is session]:
                self._leave(line, waiter)
        for grant in [grant for grant in self.held.values() if grant.owner == session.id]:
            self._drop(grant)

    # --- Records -----------------------------------------------------------------------------------------------------

    def _acquire(self, session: Session, command: base.Lock, decided: Any) -> None:
        """Take the record if nobody has it; `decided` gets the grant, or why there is none."""
        hub, resource, owner = self._hub, command.resource, session.id

        def decide(value: Any) -> Any:
            mine = self._in_force(value) and value["node"] == self._bus.node and value["session"] == owner
            if self._in_force(value) and not mine:
                return KEEP
            now_ms = hub.clock.wall_ms()
            token = value["token"] if mine else max(now_ms, value["token"] + 1 if value else 0)
            expires = now_ms + round(command.ttl * 1_000) if command.ttl else 0
            return {"node": self._bus.node, "session": owner, "token": token, "expires": expires}

        def changed(result: Changed) -> None:
            if result.done:
                ends = hub.clock.now() + (result.value["expires"] - hub.clock.wall_ms()) / 1_000
                grant = Grant(resource, owner, result.value["token"], ends if result.value["expires"] else None)
                self.held[resource] = grant
                decided(grant, None)
            elif result.error:
                decided(None, ChappeError(result.error))
            else:
                self._await_end(resource, result.value)
                decided(None, held_error(Held(resource, result.value["session"], False)))

        self._records.change(_record(resource), decide, changed)

    def _release(self, resource: str, owner: str, token: int | None, done: Any) -> None:
        def decide(value: Any) -> Any:
            mine = self._in_force(value) and value["node"] == self._bus.node and value["session"] == owner
            if not mine or token not in (None, value["token"]):
                return KEEP
            # The token stays, so that the next one is greater.
            return {"node": "", "session": "", "token": value["token"], "expires": 0}

        def changed(result: Changed) -> None:
            held = self.held.get(resource)
            if held is not None and held.owner == owner and not result.error:
                del self.held[resource]
            if result.done:
                self._bus.tell("lock.free", resource)
                self._try(resource)
            done(result)

        self._records.change(_record(resource), decide, changed)

    def _drop(self, grant: Grant | None) -> None:
        if grant is not None:
            self._release(grant.resource, grant.owner, grant.token, lambda result: None)

    def _give_back(self, session: Session, grant: Grant) -> None:
        """Give a lock back whose operation failed, if it is still the same grant."""
        self._drop(grant)

    def _in_force(self, value: Any) -> bool:
        """Tell whether a record says that somebody holds the lock now; a lease outlives its node."""
        if value is None or not value["node"]:
            return False
        if value["expires"]:
            return bool(value["expires"] > self._hub.clock.wall_ms())
        return self._nodes.is_alive(value["node"])

    # --- Waiting -----------------------------------------------------------------------------------------------------

    def _check_limit(self, session: Session, resource: str) -> None:
        has = sum(grant.owner == session.id for grant in self.held.values() if grant.resource != resource)
        has += sum(waiter.session is session for line in self.held.lines.values() for waiter in line.waiters)
        if has >= DEFAULT_LOCKS_PER_OWNER:
            detail = {"limit": "locks of a session", "maximum": DEFAULT_LOCKS_PER_OWNER}
            raise ChappeError(Code.LIMIT_EXCEEDED, detail=detail)

    def _wait_or_fail(self, session: Session, command: base.Lock, error: ChappeError) -> None:
        line = self.held.lines.get(command.resource)
        waits_already = line is not None and any(waiter.session is session for waiter in line.waiters)
        if error.code != Code.LOCKED_BY_ANOTHER or command.wait <= 0 or waits_already:
            session.fail(command.id, error)
            return
        if line is None:
            line = self.held.lines[command.resource] = _Line(deque())
        if len(line.waiters) >= DEFAULT_WAITERS_PER_RESOURCE:
            detail = {"limit": "waiters of a resource", "maximum": DEFAULT_WAITERS_PER_RESOURCE}
            session.fail(command.id, ChappeError(Code.LIMIT_EXCEEDED, detail=detail))
            return
        waiter = _Waiter(session, command, self._hub.clock.now() + command.wait)
        line.waiters.append(waiter)
        waiter.timer = self._hub.clock.call_later(command.wait, lambda: self._give_up(line, waiter, error))
        # It may have become free while we decided to wait.
        self._try(command.resource)

    def _give_up(self, line: _Line, waiter: _Waiter, error: ChappeError) -> None:
        self._leave(line, waiter)
        waiter.session.send(waiter.session.failure(waiter.command.id, error))

    def _leave(self, line: _Line, waiter: _Waiter) -> None:
        if waiter.timer is not None:
            waiter.timer.cancel()
        if waiter in line.waiters:
            line.waiters.remove(waiter)
        resource = waiter.command.resource
        if not line.waiters and not line.trying:
            self._forget_line(resource, line)

    def _forget_line(self, resource: str, line: _Line) -> None:
        if line.timer is not None:
            line.timer.cancel()
        if self.held.lines.get(resource) is line:
            del self.held.lines[resource]

    def _try(self, resource: str) -> None:
        """Try for the first in line; one at a time."""
        line = self.held.lines.get(resource)
        if line is None or not line.waiters:
            return
        if line.trying:
            line.again = True
            return
        line.trying, line.again = True, False
        waiter = line.waiters[0]

        def decided(grant: Grant | None, error: ChappeError | None) -> None:
            line.trying = False
            if grant is not None and (waiter not in line.waiters or waiter.session.is_over):
                # Its time was over, or it went, while the engine decided.
                self._drop(grant)
            elif grant is not None:
                self._leave(line, waiter)
                self._grant_waiting(waiter.session, waiter.command, grant)
            if not line.waiters:
                self._forget_line(resource, line)
            elif line.again:
                self._try(resource)

        self._acquire(waiter.session, waiter.command, decided)

    def _await_end(self, resource: str, value: Any) -> None:
        """Try again when the lease that is in the way ends."""
        line = self.held.lines.get(resource)
        if line is None or not value["expires"]:
            return
        if line.timer is not None:
            line.timer.cancel()
        left_s = max(0.0, (value["expires"] - self._hub.clock.wall_ms()) / 1_000) + _SKEW_S
        line.timer = self._hub.clock.call_later(left_s, lambda: self._try(resource))

    def _try_all(self) -> None:
        for resource in tuple(self.held.lines):
            self._try(resource)

    def _freed(self, sender: str, body: Any, answer: Tell) -> None:
        self._try(body)

    # --- Holding on --------------------------------------------------------------------------------------------------

    def _hold_again(self) -> None:
        """See what is still ours after others took this node for gone; who lost a lock comes back and learns it."""
        for grant in tuple(self.held.values()):
            if grant.expires_at is None:
                self._check_held(grant)
        self._try_all()

    def _check_held(self, grant: Grant) -> None:
        mine = {"node": self._bus.node, "session": grant.owner, "token": grant.token, "expires": 0}

        def decide(value: Any) -> Any:
            return mine if value is None or value["token"] == grant.token else KEEP

        def changed(result: Changed) -> None:
            if result.done or result.error or self.held.get(grant.resource) is not grant:
                return
            del self.held[grant.resource]
            session = self._hub.sessions.get(grant.owner)
            if session is not None:
                session.close(Code.INSUFFICIENT_STATE)

        self._records.change(_record(grant.resource), decide, changed)

    def _renew(self) -> None:
        self._timer_renewal = self._hub.clock.call_later(_RENEWAL_S, self._renew)
        self._hold_again()


def _record(resource: str) -> str:
    return f"lock/{resource}"
