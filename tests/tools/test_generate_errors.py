"""The table of errors is refused for what it must not say, and its generated files are current."""

from __future__ import annotations

import pytest

from tools.generate_errors import ROOT, SOURCE, TableError, outputs, read_table

GOOD = '[[error]]\ncode = 103\nname = "DENIED"\nen = "denied"\nfr = "Refusé"\nretry = false\nhttp = 403\n'
CLOSE = '[[error]]\ncode = 3001\nname = "SHUTDOWN"\nen = "bye"\nfr = "Au revoir"\n'


def test_generated_files_are_current() -> None:
    for path, text in outputs(read_table(SOURCE.read_text(encoding="utf-8"))).items():
        assert path.read_text(encoding="utf-8") == text, f"{path.relative_to(ROOT)}: run make generate"


def test_a_good_table_is_read_in_order() -> None:
    assert [entry.code for entry in read_table(GOOD + CLOSE)] == [103, 3001]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (CLOSE + GOOD, "ascend"),
        (GOOD + GOOD, "ascend"),
        (GOOD + CLOSE.replace("SHUTDOWN", "DENIED"), "twice"),
        (GOOD.replace("103", "99"), "none of the ranges"),
        (GOOD.replace("103", '"103"'), "integer code"),
        (GOOD.replace("DENIED", "denied"), "UPPER_SNAKE"),
        (GOOD.replace("retry = false\n", ""), "retry is None"),
        (CLOSE + "retry = true\n", "the range decides"),
        (GOOD.replace("403", "200"), "http is 200"),
        (GOOD + 'colour = "red"\n', "unknown keys: colour"),
        (GOOD.replace('fr = "Refusé"\n', ""), "texts en and fr"),
        (GOOD.replace('"denied"', '"denied {name}"'), "without parameters"),
        (GOOD + 'en_with = ["denied to {name}"]\nfr_with = ["refusé à {nom}"]\n', "differ"),
        (GOOD + 'en_with = ["denied"]\nfr_with = ["refusé"]\n', "en_with must be"),
    ],
)
def test_a_table_that_breaks_a_rule_is_refused_by_name(table: str, told: str) -> None:
    with pytest.raises(TableError, match=told):
        read_table(table)
