"""A lock has one holder, tokens grow, and the line is kept."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chappe.hub.locks import Expired, Grant, Held, LockTable, Refusal
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError


def _granted(answer: Grant | Held) -> Grant:
    assert isinstance(answer, Grant)
    return answer


def test_a_second_owner_is_told_who_holds_the_lock() -> None:
    locks = LockTable()
    assert _granted(locks.acquire("doc/1", "s1", 0.0)).expires_at is None
    assert locks.acquire("doc/1", "s2", 0.0) == Held("doc/1", "s1", waiting=False)
    assert locks.holder("doc/1", 1e9) == Grant("doc/1", "s1", 1, None)


def test_the_holder_renews_its_lease_and_keeps_its_token() -> None:
    locks = LockTable()
    first = _granted(locks.acquire("doc", "s1", 0.0, ttl_s=10))
    again = _granted(locks.acquire("doc", "s1", 5.0, ttl_s=10))
    assert again.token == first.token
    assert again.expires_at == 15.0
    assert locks.next_deadline() == 15.0
    assert _granted(locks.acquire("doc", "s1", 6.0)).expires_at is None
    assert locks.next_deadline() is None


def test_tokens_grow_over_all_resources() -> None:
    locks = LockTable(first_token=100)
    tokens = [_granted(locks.acquire(name, "s1", 0.0)).token for name in ("a", "b", "c")]
    locks.release("b", "s1", 0.0)
    tokens.append(_granted(locks.acquire("b", "s1", 0.0)).token)
    assert tokens == [100, 101, 102, 103]


def test_only_the_holder_can_release() -> None:
    locks = LockTable()
    locks.acquire("doc", "s1", 0.0)
    assert locks.release("doc", "s2", 0.0) == (False, None)
    assert locks.release("other", "s1", 0.0) == (False, None)
    assert locks.release("doc", "s1", 0.0) == (True, None)
    assert len(locks) == 0


def test_a_released_lock_goes_to_the_first_in_line_with_a_lease_from_then() -> None:
    locks = LockTable()
    locks.acquire("doc", "s1", 0.0)
    assert locks.acquire("doc", "s2", 1.0, ttl_s=10, wait_s=60) == Held("doc", "s1", waiting=True)
    locks.acquire("doc", "s3", 2.0, wait_s=60)
    assert locks.waiters("doc") == ["s2", "s3"]
    assert locks.release("doc", "s1", 5.0) == (True, Grant("doc", "s2", 2, 15.0))
    assert locks.expire(15.0) == Expired([Grant("doc", "s3", 3, None)], [])


def test_a_wait_that_is_over_is_refused_with_the_holder() -> None:
    locks = LockTable()
    locks.acquire("doc", "s1", 0.0)
    locks.acquire("doc", "s2", 0.0, wait_s=5)
    assert locks.next_deadline() == 5.0
    assert locks.expire(4.9) == Expired([], [])
    assert locks.expire(5.0) == Expired([], [Refusal("doc", "s2", "s1")])
    assert locks.next_deadline() is None


def test_a_wait_and_a_lease_that_end_together_are_a_refusal_and_a_free_lock() -> None:
    locks = LockTable()
    locks.acquire("doc", "s1", 0.0, ttl_s=5)
    locks.acquire("doc", "s2", 0.0, wait_s=5)
    assert locks.expire(5.0) == Expired([], [Refusal("doc", "s2", "s1")])
    assert locks.holder("doc", 5.0) is None
    assert len(locks) == 0


def test_nobody_passes_the_line_when_a_lease_is_over_and_the_timer_is_late() -> None:
    locks = LockTable()
    locks.acquire("doc", "s1", 0.0, ttl_s=5)
    locks.acquire("doc", "s2", 0.0, wait_s=60)
    assert isinstance(locks.acquire("doc", "s3", 6.0), Held)
    assert isinstance(locks.acquire("doc", "s1", 6.0, ttl_s=5), Held)
    assert locks.expire(6.0).granted == [Grant("doc", "s2", 2, None)]


def test_a_lease_that_is_over_is_taken_anew_with_a_new_token() -> None:
    locks = LockTable()
    locks.acquire("doc", "s1", 0.0, ttl_s=5)
    assert locks.release("doc", "s1", 5.0) == (False, None)
    assert _granted(locks.acquire("doc", "s1", 6.0, ttl_s=5)).token == 2
    assert _granted(locks.acquire("doc", "s2", 11.0)).token == 3


def test_who_waits_already_keeps_its_place_and_its_time() -> None:
    locks = LockTable()
    locks.acquire("doc", "s1", 0.0)
    locks.acquire("doc", "s2", 0.0, wait_s=5)
    assert locks.acquire("doc", "s2", 1.0, wait_s=50) == Held("doc", "s1", waiting=False)
    assert locks.next_deadline() == 5.0


def test_a_cancelled_wait_gets_no_answer() -> None:
    locks = LockTable()
    locks.acquire("doc", "s1", 0.0)
    locks.acquire("doc", "s2", 0.0, wait_s=5)
    assert locks.cancel("doc", "s2")
    assert not locks.cancel("doc", "s2")
    assert not locks.cancel("doc", "s1")
    assert locks.expire(10.0) == Expired([], [])
    assert locks.release("doc", "s1", 11.0) == (True, None)


def test_an_owner_that_goes_leaves_its_locks_and_its_lines() -> None:
    locks = LockTable()
    locks.acquire("a", "s1", 0.0)
    locks.acquire("b", "s1", 0.0)
    locks.acquire("c", "s2", 0.0)
    locks.acquire("a", "s2", 0.0, wait_s=60)
    locks.acquire("c", "s1", 0.0, wait_s=60)
    assert locks.release_all("s1", 1.0) == [Grant("a", "s2", 4, None)]
    assert locks.waiters("c") == []
    assert {grant.resource for grant in locks} == {"a", "c"}
    assert locks.release_all("s1", 1.0) == []


def test_an_owner_cannot_hold_and_wait_for_more_than_its_limit() -> None:
    locks = LockTable(locks_per_owner=2)
    locks.acquire("a", "s1", 0.0)
    locks.acquire("b", "s2", 0.0)
    locks.acquire("b", "s1", 0.0, wait_s=60)
    for resource in ("c", "d"):
        with pytest.raises(ChappeError) as caught:
            locks.acquire(resource, "s1", 0.0)
        assert caught.value.code == Code.LIMIT_EXCEEDED
        assert caught.value.detail["maximum"] == 2
    assert locks.refused_locks == 2
    assert _granted(locks.acquire("a", "s1", 0.0)).token == 1
    locks.release("a", "s1", 0.0)
    assert isinstance(locks.acquire("c", "s1", 0.0), Grant)


def test_a_line_has_an_end() -> None:
    locks = LockTable(waiters_per_resource=1)
    locks.acquire("doc", "s1", 0.0)
    locks.acquire("doc", "s2", 0.0, wait_s=60)
    with pytest.raises(ChappeError) as caught:
        locks.acquire("doc", "s3", 0.0, wait_s=60)
    assert caught.value.code == Code.LIMIT_EXCEEDED
    assert locks.refused_waits == 1
    assert locks.acquire("doc", "s3", 0.0) == Held("doc", "s1", waiting=False)


_RESOURCES = st.sampled_from(["a", "b", "c"])
_OWNERS = st.sampled_from(["s1", "s2", "s3", "s4"])
_SPANS = st.integers(1, 8)


class LockMachine(RuleBasedStateMachine):
    """A fenced resource watches every grant; owners believe in a lock exactly as long as their grant says."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.locks = LockTable(locks_per_owner=3, waiters_per_resource=2)
        self.last_token = 0
        self.held: dict[str, Grant] = {}
        self.lines: dict[str, list[tuple[str, float]]] = {"a": [], "b": [], "c": []}

    def _alive(self, resource: str) -> Grant | None:
        grant = self.held.get(resource)
        if grant is None or (grant.expires_at is not None and grant.expires_at <= self.now):
            return None
        return grant

    def _see(self, grant: Grant, from_line: bool) -> None:
        assert self._alive(grant.resource) is None, "two holders"
        assert grant.token > self.last_token
        self.last_token = grant.token
        self.held[grant.resource] = grant
        if from_line:
            assert self.lines[grant.resource].pop(0)[0] == grant.owner
        else:
            assert not self.lines[grant.resource]

    @rule(resource=_RESOURCES, owner=_OWNERS, ttl_s=st.none() | _SPANS, wait_s=st.just(0) | _SPANS)
    def acquire(self, resource: str, owner: str, ttl_s: int | None, wait_s: int) -> None:
        alive = self._alive(resource)
        try:
            answer = self.locks.acquire(resource, owner, self.now, ttl_s, wait_s)
        except ChappeError as error:
            assert error.code == Code.LIMIT_EXCEEDED  # noqa: PT017 - a legal outcome
            used = sum(grant.owner == owner for grant in self.held.values())
            used += sum(waiter == owner for line in self.lines.values() for waiter, _ in line)
            assert used == 3 or len(self.lines[resource]) == 2
            return
        if isinstance(answer, Held):
            assert alive is None or alive.owner != owner
            if answer.waiting:
                self.lines[resource].append((owner, self.now + wait_s))
        elif alive is not None:
            assert (answer.owner, answer.token) == (alive.owner, alive.token)
            self.held[resource] = answer
        else:
            self._see(answer, from_line=False)

    @rule(resource=_RESOURCES, owner=_OWNERS)
    def release(self, resource: str, owner: str) -> None:
        alive = self._alive(resource)
        released, following = self.locks.release(resource, owner, self.now)
        assert released is (alive is not None and alive.owner == owner)
        if released:
            del self.held[resource]
            assert (following is not None) is bool(self.lines[resource])
        if following is not None:
            self._see(following, from_line=True)

    @rule(resource=_RESOURCES, owner=_OWNERS)
    def cancel(self, resource: str, owner: str) -> None:
        line = [waiter for waiter in self.lines[resource] if waiter[0] != owner]
        assert self.locks.cancel(resource, owner) is (len(line) < len(self.lines[resource]))
        self.lines[resource] = line

    @rule(owner=_OWNERS)
    def vanish(self, owner: str) -> None:
        granted = self.locks.release_all(owner, self.now)
        self.held = {resource: grant for resource, grant in self.held.items() if grant.owner != owner}
        for resource, line in self.lines.items():
            self.lines[resource] = [waiter for waiter in line if waiter[0] != owner]
        for grant in granted:
            self._see(grant, from_line=True)
        for resource, line in self.lines.items():
            assert resource in self.held or not line

    @rule(seconds=_SPANS)
    def time_passes_and_the_timer_is_late(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def the_timer_fires(self) -> None:
        self._expire()

    @precondition(lambda self: self.locks.next_deadline() is not None)
    @rule()
    def time_passes_to_the_next_deadline(self) -> None:
        deadline = self.locks.next_deadline()
        assert deadline is not None
        self.now = max(self.now, deadline)
        self._expire()

    def _expire(self) -> None:
        expired = self.locks.expire(self.now)
        over = {(r, owner) for r, line in self.lines.items() for owner, deadline in line if deadline <= self.now}
        assert {(refusal.resource, refusal.owner) for refusal in expired.refused} == over
        assert len(expired.refused) == len(over)
        for resource, line in self.lines.items():
            self.lines[resource] = [waiter for waiter in line if waiter[1] > self.now]
        lapsed = {resource for resource in self.held if self._alive(resource) is None}
        assert {grant.resource for grant in expired.granted} == {r for r in lapsed if self.lines[r]}
        for resource in lapsed:
            del self.held[resource]
        for grant in expired.granted:
            self._see(grant, from_line=True)
        deadline = self.locks.next_deadline()
        assert deadline is None or deadline > self.now

    @invariant()
    def the_table_says_what_the_resource_saw(self) -> None:
        deadlines = [deadline for line in self.lines.values() for _, deadline in line]
        deadlines += [grant.expires_at for grant in self.held.values() if grant.expires_at is not None]
        assert self.locks.next_deadline() == min(deadlines, default=None)
        for resource in ("a", "b", "c"):
            assert self.locks.holder(resource, self.now) == self._alive(resource)
            assert self.locks.waiters(resource) == [owner for owner, _ in self.lines[resource]]


TestLockMachine = pytest.mark.slow(LockMachine.TestCase)
TestLockMachine.settings = settings(deadline=None, stateful_step_count=80)
