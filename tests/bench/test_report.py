"""benchmarks/RESULTS.md has a section for each row, says what is missed, and gives the README its table."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import report
from tools.generate_readme_figures import RESULTS_BEGIN, RESULTS_END, between

ENTRY: dict[str, Any] = {
    "date": "2026-01-02",
    "machine": "a machine",
    "versions": {"chappe": "1.0"},
    "command": "python benchmarks/bench.py",
    "title": "echo",
    "unit": "messages",
    "tables": [[["server", "figure"], ["chappe", "12 (10-14)"]]],
    "demands": [
        {"text": "Chappe / C floor >= 0.9", "value": 0.95, "met": True},
        {"text": "Chappe / picows >= 1", "value": 0.5, "met": False},
    ],
    "notes": ["A note."],
    "summary": {"chappe": 12_000.0, "floor": 13_000.0},
}


def test_a_section_names_machine_versions_and_command_and_judges_each_demand() -> None:
    text = report.section_text("P1", ENTRY)
    assert "## P1: echo" in text
    assert "2026-01-02, a machine, chappe 1.0; `python benchmarks/bench.py`." in text
    assert "| chappe | 12 (10-14) |" in text
    assert "Chappe / C floor >= 0.9; measured 0.95: met." in text
    assert "Chappe / picows >= 1; measured 0.50: missed." in text
    assert "- A note." in text


def test_the_readme_gets_its_table() -> None:
    text = report.text({"P1": ENTRY, "P9": {**ENTRY, "title": "idle"}})
    table = between(text, RESULTS_BEGIN, RESULTS_END, "RESULTS.md").splitlines()
    assert table[0].startswith("| per CPU-second of the server | Chappe |")
    assert table[2:] == ["| echo (messages) | 12,000 | - | - | - | - | 13,000 |"]


@pytest.mark.parametrize("row", ["| P1 | Chappe / C floor >= 0.9 | 0.95 | met |", "| **missed** |"])
def test_one_table_has_all_demands(row: str) -> None:
    assert row in report.demands({"P1": ENTRY})
