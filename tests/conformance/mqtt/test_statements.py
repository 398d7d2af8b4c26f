"""Every numbered statement of both specifications has a test, a vector or a reason; what is named exists."""

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.conformance.mqtt.statements import FILES, FOLDER, Statement, load
from tests.protocols.vectors import load as load_vectors

TESTS = FOLDER.parents[1]
#: How many the specifications have, by their own appendices.
COUNTS = {"5.0": 252, "3.1.1": 141}
ALL = [pytest.param(label, each, id=f"{version} {label}") for version in FILES for label, each in load(version).items()]
VECTORS = {vector["name"] for vector in load_vectors("mqtt.packets.json")}


@cache
def functions_of(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in tree.body if isinstance(node, kinds) and node.name.startswith("test_"))


@pytest.mark.parametrize("version", FILES)
def test_no_statement_is_missing(version: str) -> None:
    assert len(load(version)) == COUNTS[version]


@pytest.mark.parametrize(("label", "statement"), ALL)
def test_a_statement_is_shown_or_has_a_reason(label: str, statement: Statement) -> None:
    assert label.startswith("MQTT-")
    shown = bool(statement.tests or statement.vectors or statement.same)
    assert shown != bool(statement.reason)
    for name in statement.tests:
        path, _, test = name.partition("::")
        assert test in functions_of(TESTS / path), name
    assert set(statement.vectors) <= VECTORS
    if statement.same:
        assert not load("5.0")[statement.same].reason
