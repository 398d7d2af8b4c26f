"""The OpenAPI document is written and checked by one tool."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import generate_openapi
from tools.generate_openapi import main


def test_the_document_in_the_tree_is_current() -> None:
    assert main(["--check"]) == 0


def test_an_old_or_missing_document_is_found_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate_openapi, "TARGET", tmp_path / "openapi.json")
    assert main(["--check"]) == 1
    assert "generate_openapi.py" in capsys.readouterr().err
    assert main([]) == 0
    assert main(["--check"]) == 0
    (tmp_path / "openapi.json").write_text("{}")
    assert main(["--check"]) == 1


def test_an_unknown_argument_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--chek"]) == 2
    assert "--chek" in capsys.readouterr().err
