"""The table of promises names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.docs.library import DOCS, ROOT, name_of

PAGES = [DOCS / folder / "concepts/reliability.md" for folder in ("", "fr")]
_NAMED = re.compile(r"\[`(test_\w+)`\]\(([^)]+)\)")
_NOTHING = {"not yet", "pas encore", "lost", "perdu", "lost with the process", "perdu avec le processus"}
_NOTHING |= {"nothing was kept", "rien n'était gardé"}
#: A row for each of these has to be there, for each broker that it concerns.
FAULTS = {
    "the hub is killed": 3,
    "the machine crashes": 2,
    "the engine's machine crashes": 2,
    "is full": 4,
    "with persistence": 2,
    "without persistence": 2,
    "FLUSHALL": 1,
    "purged": 1,
    "cut off from its engine": 1,
    "half-open": 3,
    "failover": 2,
    "node death": 1,
    "reader is slow": 1,
}


def names_in(file: Path) -> set[str]:
    """Name the tests of a file."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def rows(page: Path) -> list[list[str]]:
    """Return the cells of the table of promises, without its head: it has a column for each level."""
    found, promising = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if not line.startswith("| "):
            promising = False
        elif cells[2:] == ["`live`", "`recoverable`", "`durable`"]:
            promising = True
        elif promising and not line.startswith("| ---"):
            found.append(cells)
    return found


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_test_that_is_named_exists(page: Path) -> None:
    named = _NAMED.findall(page.read_text(encoding="utf-8"))
    assert len(named) > 10
    for name, target in named:
        file = (page.parent / target).resolve()
        assert name in names_in(file), f"{file.relative_to(ROOT)} has no {name}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_cell_names_a_test_or_promises_nothing(page: Path) -> None:
    for fault, _, *cells in rows(page):
        assert len(cells) == 3, fault
        for cell in cells:
            promises_nothing = cell in _NOTHING or cell.endswith(("not yet", "pas encore"))
            assert promises_nothing or _NAMED.search(cell), f"{fault}: {cell}"


def test_every_fault_has_its_rows_and_both_languages_have_the_same() -> None:
    english, french = (rows(page) for page in PAGES)
    for fault, least in FAULTS.items():
        assert sum(fault in row[0] for row in english) >= least, f"{fault}: expected {least} rows or more"
    assert [shown_by(row) for row in english] == [shown_by(row) for row in french]
    brokers = {broker for row in english for broker in re.findall(r"`(\w+)://`", row[1])}
    assert brokers == {"memory", "sqlite", "redis", "nats"}


def shown_by(row: list[str]) -> list[list[str]]:
    """Name the tests in each cell."""
    return [[name for name, _ in _NAMED.findall(cell)] for cell in row]
