"""Every seeded defect is found, and nothing in a good log is."""

from collections.abc import Callable

import pytest

from chappe.testing.checker import check
from chappe.testing.checker.defects import DEFECTS, Log, defect_name, good_log
from chappe.testing.checker.findings import Kind


def test_a_good_log_is_clean() -> None:
    assert check(good_log()) == []


@pytest.mark.parametrize(("defect", "kind"), DEFECTS, ids=[defect_name(defect) for defect, _ in DEFECTS])
def test_a_defect_is_found_by_its_name(defect: Callable[[Log], None], kind: Kind) -> None:
    log = good_log()
    defect(log)
    assert kind in {finding.kind for finding in check(log)}


def test_every_kind_has_a_defect() -> None:
    assert {kind for _, kind in DEFECTS} == set(Kind)
    assert len(DEFECTS) >= 10
