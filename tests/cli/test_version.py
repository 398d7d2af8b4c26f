"""`chappe version` says what runs here."""

import json
import platform

from chappe.cli.version import chappe_version

from .conftest import Run


def test_it_prints_one_line_a_part(run: Run) -> None:
    lines = run("version").stdout.splitlines()
    assert lines[0].split() == ["chappe", chappe_version()]
    assert any(line.startswith("uvicorn ") for line in lines)


def test_json_has_the_same(run: Run) -> None:
    versions = json.loads(run("version", "--json").stdout)
    assert versions["chappe"] == chappe_version()
    assert platform.python_version() in versions["python"]
