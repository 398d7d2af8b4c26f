"""The catalogue of hostile inputs keeps its promises: enough of them, and one for each lesson."""

import re

import pytest

from tests.docs.library import ROOT
from tests.hostile.catalogue import TABLES, count, find
from tests.hostile.lessons import LESSONS, Lesson


def test_there_are_at_least_300_named_inputs() -> None:
    assert count() >= 300
    assert len({table.name for table in TABLES}) == len(TABLES)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.text[0])
def test_a_lesson_has_its_case_and_a_neighbour_and_all_of_them_are_there(lesson: Lesson) -> None:
    assert len(lesson.inputs) + len(lesson.tests) >= 2
    for entry in lesson.inputs:
        table, _, name = entry.partition(": ")
        assert name in find(table).answers
    for entry in lesson.tests:
        path, _, name = entry.partition("::")
        assert re.search(rf"def {name}\(", (ROOT / path).read_text(encoding="utf-8")), entry


def test_no_table_of_named_inputs_is_forgotten() -> None:
    known = {id(name) for table in TABLES for name in table.answers}
    for path in sorted((ROOT / "tests/hostile").glob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        for found in re.finditer(r'parametrize\("name", ([A-Z_]+)\)', text):
            module = __import__(f"tests.hostile.{path.stem}", fromlist=["_"])
            assert {id(name) for name in getattr(module, found[1])} <= known, (path.name, found[1])
