"""The verdict over some logs, given only after the checker has shown that it finds what it must."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import msgspec

from chappe.testing.checker.defects import DEFECTS, Log, defect_name, good_log
from chappe.testing.checker.findings import Finding, Kind
from chappe.testing.checker.journal import Ack, Attempt, Event, Seen, Subscribed
from chappe.testing.checker.rules import check


class CheckerBroken(AssertionError):
    """The checker did not find a seeded defect, or found one in a good log: it must not judge."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What some logs prove.

    Attributes:
        findings: every broken promise.
        defects_found: seeded defects that were found before this verdict was given.
        attempts, acknowledged, seen, subscriptions, recovered: how much was judged.
    """

    findings: tuple[Finding, ...]
    defects_found: int
    attempts: int
    acknowledged: int
    seen: int
    subscriptions: int
    recovered: int

    @property
    def empty(self) -> bool:
        """Whether there was nothing to judge: nothing acknowledged, or nothing seen."""
        return not (self.acknowledged and self.seen)

    @property
    def clean(self) -> bool:
        """Whether something was judged and no promise is broken."""
        return not self.empty and not self.findings

    def __str__(self) -> str:
        judged = (
            f"{self.attempts} attempts, {self.acknowledged} acknowledged, {self.seen} seen in "
            f"{self.subscriptions} subscriptions, {self.recovered} of them recovered; "
            f"{self.defects_found} seeded defects found first"
        )
        if self.empty:
            return f"nothing to judge: {judged}"
        if self.clean:
            return f"clean: {judged}"
        counts = ", ".join(f"{count} {kind}" for kind, count in Counter(each.kind for each in self.findings).items())
        return f"broken: {counts}; {judged}"


def self_test(defects: Sequence[tuple[Callable[[Log], None], Kind]] = DEFECTS) -> int:
    """Spoil a good log in every known way and find each; return how many.

    Raises:
        CheckerBroken: a defect was not found, or the good log is called bad.
    """
    if wrong := check(good_log()):
        raise CheckerBroken(f"a good log is called bad: {wrong[0]}")
    for defect, kind in defects:
        log = good_log()
        defect(log)
        found = {finding.kind for finding in check(log)}
        if kind not in found:
            raise CheckerBroken(f"{defect_name(defect)!r} was not found as {kind!s}, only as {sorted(found)}")
    return len(defects)


def verdict(events: Iterable[Event]) -> Verdict:
    """Judge some logs, after the self-test.

    Raises:
        CheckerBroken: see `self_test`.
    """
    defects_found = self_test()
    log = list(events)
    return Verdict(
        findings=tuple(check(log)),
        defects_found=defects_found,
        attempts=sum(isinstance(event, Attempt) for event in log),
        acknowledged=sum(isinstance(event, Ack) for event in log),
        seen=sum(isinstance(event, Seen) for event in log),
        subscriptions=sum(isinstance(event, Subscribed) for event in log),
        recovered=sum(isinstance(event, Subscribed) and event.recovered for event in log),
    )
