"""The command line of the checker."""

from pathlib import Path

import pytest

from chappe.testing.checker.__main__ import main
from chappe.testing.checker.defects import DEFECTS, good_log
from chappe.testing.checker.journal import to_text


def test_a_clean_log_exits_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = good_log()
    (tmp_path / "a").write_text(to_text(log[:20]))
    (tmp_path / "b").write_text(to_text(log[20:]))
    assert main([str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    assert capsys.readouterr().out.startswith("clean: ")


def test_a_broken_log_exits_1_and_names_what_is_broken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = good_log()
    DEFECTS[2][0](log)
    (tmp_path / "a").write_text(to_text(log))
    assert main([str(tmp_path / "a")]) == 1
    first, last = capsys.readouterr().out.splitlines()
    assert first == "doubled: a: steady saw 5 of epoch 'e1' after 5"
    assert last.startswith("broken: 1 doubled; ")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["/nowhere/log"]])
def test_wrong_usage_exits_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err
