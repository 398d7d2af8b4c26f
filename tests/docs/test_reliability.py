"""The table of promises names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.docs.library import DOCS, ROOT, name_of

PAGES = [DOCS / folder / page for folder in ("", "fr") for page in ("concepts/reliability.md", "deploy/brokers.md")]
_NAMED = re.compile(r"\[`(test_\w+)`\]\(([^)]+)\)")
_NOTHING = {"not yet", "pas encore", "lost", "perdu", "lost with the process", "perdu avec le processus"}
_NOTHING |= {"nothing was kept", "rien n'était gardé"}


def names_in(file: Path) -> set[str]:
    """Name the tests of a file."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def rows(page: Path) -> list[list[str]]:
    """Return the cells of the tables of promises, without their heads: those with a column for each level."""
    found, promising = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if not line.startswith("| "):
            promising = False
        elif cells[1:] == ["`live`", "`recoverable`", "`durable`"]:
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
    for fault, *cells in rows(page):
        assert len(cells) == 3, fault
        for cell in cells:
            promises_nothing = cell in _NOTHING or cell.endswith(("not yet", "pas encore"))
            assert promises_nothing or _NAMED.search(cell), f"{fault}: {cell}"
