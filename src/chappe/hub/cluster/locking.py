"""Locks that hold on all nodes: a record each, which changes hands only from what was read.

Order: sessions of one node stand in one line; whose node is quicker when a lock becomes free is not decided. A lease is
counted by the wall clocks of the nodes. Tokens of one resource grow as long as the engine keeps its record, and beyond
that as long as the wall clock does.
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypedDict

from chappe.hub.cluster.bus import Bus, Tell
from chappe.hub.cluster.held import Line, NodeLocks, Waiter
from chappe.hub.cluster.nodes import Nodes
from chappe.hub.cluster.records import KEEP, RECORD_AGE_S, Changed, Found, Records, Sweep
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
#: How often who waits tries without being told to, seconds: the word that a lock is free may be lost.
_PATIENCE_S: Final = 5.0
#: How often a lock is given back again whose record could not be changed, seconds.
_REPAIR_S: Final = 1.0


class _Record(TypedDict):
    """A lock; a free one has no node, and keeps its token so that the next one is greater."""

    node: str
    session: str
    token: int
    expires: int


class SharedLocking(Locking):
    """Carries out `lock`, `unlock` and `lock_owner` where several nodes share a broker."""

    def __init__(self, hub: "HubCore", bus: Bus, nodes: Nodes, records: Records) -> None:
        super().__init__(hub)
        self._bus = bus
        self._nodes = nodes
        self._records = records
        self.held = NodeLocks()
        self._timer_renewal: Timer | None = None
        # What nobody has any more although its record may say so: the engine did not answer.
        self._unsure: dict[tuple[str, int], Grant] = {}
        self._timer_repair: Timer | None = None
        self._sweep = Sweep(self._check)
        self._repairs = Sweep(self._give_back_again)
        bus.on("lock.free", self._freed, str)
        nodes.on_gone.append(lambda node: self._try_all())
        nodes.on_return.append(self.hold_again)

    def start(self) -> None:
        """Write what is held again now and then, so that the engine does not forget it."""
        self._timer_renewal = self._hub.clock.call_later(_RENEWAL_S, self._renew)

    def stop(self) -> None:
        """Write nothing more."""
        for timer in (self._timer_renewal, self._timer_repair):
            if timer is not None:
                timer.cancel()
        self._timer_renewal = self._timer_repair = None

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

        self._records.read(_record(command.resource), found, _Record)

    def release_all(self, session: Session) -> None:
        """Give back what a session that ended held or waited for."""
        for line in tuple(self.held.lines.values()):
            for waiter in [waiter for waiter in line.waiters if waiter.session is session]:
                self._leave(line, waiter)
        for grant in self.held.of(session.id, self._hub.clock.now()):
            self._drop(grant)

    # --- Records -----------------------------------------------------------------------------------------------------

    def _acquire(
        self, session: Session, command: base.Lock, decided: Callable[[Grant | None, ChappeError | None], None]
    ) -> None:
        """Take the record if nobody has it; `decided` gets the grant, or why there is none."""
        hub, resource, owner = self._hub, command.resource, session.id

        def decide(value: _Record | None) -> Any:
            is_mine = self._is_mine(resource, owner, value)
            if not is_mine and self._in_force(value, _SKEW_S) and not self._is_left_over(resource, owner, value):
                return KEEP
            now_ms = hub.clock.wall_ms()
            token = value["token"] if is_mine and value else max(now_ms, value["token"] + 1 if value else 0)
            expires = now_ms + round(command.ttl * 1_000) if command.ttl else 0
            return _Record(node=self._bus.node, session=owner, token=token, expires=expires)

        def changed(result: Changed) -> None:
            if result.done:
                grant = self._grant_of(resource, result.value)
                self.held.put(grant)
                decided(grant, None)
            elif result.error:
                self._doubt(resource, result.value)
                decided(None, ChappeError(result.error))
            else:
                line = self.held.lines.get(resource)
                if line is not None:
                    line.expires = result.value["expires"]
                decided(None, held_error(Held(resource, result.value["session"], False)))

        self._records.change(_record(resource), decide, changed, _Record)

    def _release(self, resource: str, owner: str, token: int | None, done: Callable[[Changed], None]) -> None:
        """Free the record if it is of this session (and token)."""

        def decide(value: _Record | None) -> Any:
            is_ours = value is not None and value["node"] == self._bus.node and value["session"] == owner
            if value is None or not is_ours or not self._in_force(value) or token not in (None, value["token"]):
                return KEEP
            return _Record(node="", session="", token=value["token"], expires=0)

        def changed(result: Changed) -> None:
            held = self.held.get(resource)
            if held is not None and held.owner == owner and token in (None, held.token) and not result.error:
                self.held.discard(held)
            if result.done:
                self._bus.tell("lock.free", resource)
                self._try(resource)
            done(result)

        self._records.change(_record(resource), decide, changed, _Record)

    def _drop(self, grant: Grant | None) -> None:
        """Give back what nobody here has any more, however long the engine takes to hear it."""
        if grant is None:
            return
        self.held.discard(grant)

        def released(result: Changed) -> None:
            if result.error:
                self._unsure[grant.resource, grant.token] = grant
                self._repair_soon()

        self._release(grant.resource, grant.owner, grant.token, released)

    def _doubt(self, resource: str, value: _Record | None) -> None:
        """Give back what the engine may have granted; a lock that was renewed is still had."""
        if value is None:
            return
        grant = self._grant_of(resource, value)
        held = self.held.get(resource)
        if held is None or held.token != grant.token:
            self._unsure[resource, grant.token] = grant
            self._repair_soon()

    def _repair_soon(self) -> None:
        if self._timer_repair is None:
            self._timer_repair = self._hub.clock.call_later(_REPAIR_S, self._repair)

    def _repair(self) -> None:
        self._timer_repair = None
        self._repairs.begin(self._unsure.values())
        if self._unsure:
            self._repair_soon()

    def _give_back_again(self, grant: Grant, looked: Callable[[], None]) -> None:
        def released(result: Changed) -> None:
            if not result.error:
                self._unsure.pop((grant.resource, grant.token), None)
            looked()

        self._release(grant.resource, grant.owner, grant.token, released)

    def _give_back(self, session: Session, grant: Grant) -> None:
        """Give a lock back whose operation failed, if it is still the same grant."""
        self._drop(grant)

    def _grant_of(self, resource: str, value: _Record) -> Grant:
        clock = self._hub.clock
        ends = clock.now() + (value["expires"] - clock.wall_ms()) / 1_000 if value["expires"] else None
        return Grant(resource, value["session"], value["token"], ends)

    def _is_mine(self, resource: str, owner: str, value: _Record | None) -> bool:
        """Tell whether a record is what a session of this node has; it may be of one before it with the same id."""
        held = self.held.get(resource)
        if held is None or value is None or not self._in_force(value):
            return False
        return value["node"] == self._bus.node and held.owner == owner and held.token == value["token"]

    def _is_left_over(self, resource: str, owner: str, value: _Record | None) -> bool:
        """Tell whether a record is of this session, which has not got the lock: nobody has it."""
        return value is not None and value["node"] == self._bus.node and value["session"] == owner

    def _in_force(self, value: _Record | None, margin_s: float = 0.0) -> bool:
        """Tell whether a record says that somebody holds the lock now; a lease outlives its node.

        Args:
            margin_s: how much longer the lease of another node is taken for one, since clocks of nodes are not one.
        """
        if value is None or not value["node"]:
            return False
        if value["expires"]:
            margin_ms = margin_s * 1_000 if value["node"] != self._bus.node else 0.0
            return value["expires"] + margin_ms > self._hub.clock.wall_ms()
        return self._nodes.is_alive(value["node"])

    # --- Waiting -----------------------------------------------------------------------------------------------------

    def _check_limit(self, session: Session, resource: str) -> None:
        has = sum(grant.resource != resource for grant in self.held.of(session.id, self._hub.clock.now()))
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
            line = self.held.lines[command.resource] = Line(deque())
        if len(line.waiters) >= DEFAULT_WAITERS_PER_RESOURCE:
            detail = {"limit": "waiters of a resource", "maximum": DEFAULT_WAITERS_PER_RESOURCE}
            session.fail(command.id, ChappeError(Code.LIMIT_EXCEEDED, detail=detail))
            return
        waiter = Waiter(session, command, self._hub.clock.now() + command.wait)
        line.waiters.append(waiter)
        waiter.timer = self._hub.clock.call_later(command.wait, lambda: self._give_up(line, waiter, error))
        # It may have become free while we decided to wait.
        self._try(command.resource)

    def _give_up(self, line: Line, waiter: Waiter, error: ChappeError) -> None:
        self._leave(line, waiter)
        waiter.session.send(waiter.session.failure(waiter.command.id, error))

    def _leave(self, line: Line, waiter: Waiter) -> None:
        if waiter.timer is not None:
            waiter.timer.cancel()
        if waiter in line.waiters:
            line.waiters.remove(waiter)
        resource = waiter.command.resource
        if not line.waiters and not line.trying:
            self._forget_line(resource, line)

    def _forget_line(self, resource: str, line: Line) -> None:
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
            elif line.again or grant is not None:
                self._try(resource)
            else:
                self._try_later(resource, line)

        self._acquire(waiter.session, waiter.command, decided)

    def _try_later(self, resource: str, line: Line) -> None:
        """Try again when the lease that is in the way ends, or in a while."""
        if line.timer is not None:
            line.timer.cancel()
        clock = self._hub.clock
        left_s = (line.expires - clock.wall_ms()) / 1_000 + _SKEW_S if line.expires else _PATIENCE_S
        line.timer = clock.call_later(min(max(left_s, 0.01), _PATIENCE_S), lambda: self._try(resource))

    def _try_all(self) -> None:
        for resource in tuple(self.held.lines):
            self._try(resource)

    def _freed(self, sender: str, body: Any, answer: Tell) -> None:
        self._try(body)

    # --- Holding on --------------------------------------------------------------------------------------------------

    def hold_again(self, renew: bool = False) -> None:
        """See what is still ours after others may have taken this node for gone, or the engine forgotten it.

        Who lost a lock comes back and learns it.

        Args:
            renew: also write what is as it should be, so that the engine keeps it.
        """
        self._sweep.begin([(grant, renew) for grant in self.held.all(self._hub.clock.now())])
        self._try_all()

    def _check(self, item: tuple[Grant, bool], looked: Callable[[], None]) -> None:
        grant, renew = item
        clock = self._hub.clock
        left_ms = 0 if grant.expires_at is None else round((grant.expires_at - clock.now()) * 1_000)
        expires = clock.wall_ms() + left_ms if grant.expires_at is not None else 0
        mine = _Record(node=self._bus.node, session=grant.owner, token=grant.token, expires=expires)

        def decide(value: _Record | None) -> Any:
            if self.held.get(grant.resource) is not grant or left_ms < 0:
                return KEEP
            is_same = value is not None and value["token"] == grant.token and value["node"] == self._bus.node
            return mine if value is None or (is_same and renew and grant.expires_at is None) else KEEP

        def changed(result: Changed) -> None:
            looked()
            value = result.value
            if result.error or self.held.get(grant.resource) is not grant:
                return
            if value is None or value["token"] != grant.token:
                self.held.discard(grant)
                session = self._hub.sessions.get(grant.owner)
                if session is not None:
                    session.close(Code.INSUFFICIENT_STATE)
            elif not value["node"]:
                # It was given back, and the answer to that lost.
                self.held.discard(grant)

        self._records.change(_record(grant.resource), decide, changed, _Record)

    def _renew(self) -> None:
        self._timer_renewal = self._hub.clock.call_later(_RENEWAL_S, self._renew)
        self.hold_again(renew=True)


def _record(resource: str) -> str:
    return f"lock/{resource}"
