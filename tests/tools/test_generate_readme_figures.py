"""The README shows what was measured, and nothing else."""

from __future__ import annotations

import pytest

from tools.generate_readme_figures import BEGIN, END, PAGES, between, main, with_figures

PAGE = f"# Title\n\n{BEGIN}\n\nold\n\n{END}\n\nrest\n"


def test_figures_take_the_place_between_the_markers() -> None:
    assert with_figures(PAGE, "| new |", "page") == f"# Title\n\n{BEGIN}\n\n| new |\n\n{END}\n\nrest\n"


def test_a_page_that_is_current_stays_as_it_is() -> None:
    assert with_figures(PAGE, "old", "page") == PAGE


@pytest.mark.parametrize("text", ["", BEGIN, f"{END} {BEGIN}"])
def test_a_missing_marker_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="a marker is missing in RESULTS"):
        between(text, BEGIN, END, "RESULTS")


def test_both_readmes_are_current() -> None:
    assert len(PAGES) == 2
    assert main(["--check"]) == 0
