"""A suite that passes its budget of minutes is stopped, whole, and says so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

BUDGET = Path(__file__).resolve().parents[2] / "tools" / "budget.py"


def budget(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(BUDGET), *arguments], capture_output=True, text=True, check=False)


def is_running(pid: int) -> bool:
    """Tell whether a process lives; one that waits to be reaped, by an init that is in no hurry, does not."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_the_status_of_the_command_is_passed_on() -> None:
    done = budget("1", "suite", "--", "sh", "-c", "exit 3")
    assert done.returncode == 3
    assert "== suite: failed (3)" in done.stdout


def test_the_time_used_is_printed() -> None:
    done = budget("1", "suite", "--", "true")
    assert done.returncode == 0
    assert "== suite: done, 0.0 of 1 minutes" in done.stdout


@pytest.mark.slow
def test_a_command_over_its_budget_ends_with_its_children(tmp_path: Path) -> None:
    child = tmp_path / "child"
    done = budget("0.005", "suite", "--", "sh", "-c", f"sleep 60 & echo $! > {child}; wait")
    assert done.returncode == 124
    assert "budget spent, stopped" in done.stdout
    assert not is_running(int(child.read_text()))


def test_a_wrong_command_line_shows_the_usage() -> None:
    done = budget("1", "suite", "true")
    assert done.returncode == 2
    assert "MINUTES NAME -- COMMAND" in done.stderr
