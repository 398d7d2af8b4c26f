"""The verdict is given only by a checker that sees."""

import pytest

from chappe.testing.checker import CheckerBroken, verdict
from chappe.testing.checker.defects import DEFECTS, good_log
from chappe.testing.checker.findings import Kind
from chappe.testing.checker.judge import self_test


def test_a_good_log_gets_a_clean_verdict_after_all_defects_were_found() -> None:
    result = verdict(good_log())
    assert result.clean
    assert result.defects_found == len(DEFECTS)
    assert str(result).startswith("clean: 13 attempts, 11 acknowledged")


def test_a_bad_log_is_broken_and_counted() -> None:
    log = good_log()
    DEFECTS[0][0](log)
    result = verdict(log)
    assert not result.clean
    assert str(result).startswith(f"broken: 1 {Kind.LOST}")
    assert str(result.findings[0]) == "lost: a: steady did not see 5 of epoch 'e1'"


def test_an_empty_log_proves_nothing() -> None:
    result = verdict([])
    assert result.empty
    assert not result.clean
    assert str(result).startswith("nothing to judge")


def test_a_blind_checker_does_not_judge() -> None:
    with pytest.raises(CheckerBroken, match="was not found as lost"):
        self_test([*DEFECTS, (lambda log: None, Kind.LOST)])
