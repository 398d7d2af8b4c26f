"""Tables are aligned, bars are in proportion, a PNG is a PNG."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from chappe.bench.chart import ChartError, Panel, aligned, bars, draw_png
from chappe.bench.comparison import Spread


def test_names_stand_left_and_figures_right() -> None:
    assert aligned([["a", "10", "x"], ["bcd", "5", "yy"]]) == ["a    10   x", "bcd   5  yy"]


def test_bars_are_in_proportion_to_an_eighth() -> None:
    assert bars(["a", "bb", "c", "d"], [8.0, 4.0, 1.0, 0.0], width=4) == ["a   ████", "bb  ██", "c   ▌", "d   "]


@pytest.mark.parametrize(("names", "values", "lines"), [([], [], []), (["a"], [0.0], ["a  "])])
def test_nothing_is_no_bar(names: list[str], values: list[float], lines: list[str]) -> None:
    assert bars(names, values) == lines


@pytest.mark.slow
def test_a_png_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "chart.png"
    two = Panel(title="title", unit="unit", names=["a", "b"], spreads=[Spread(2, 1, 3), Spread(5, 5, 5)])
    draw_png(path, [two], "note")
    height = png_height(path)
    draw_png(path, [two, two], "note")
    assert png_height(path) > 1.9 * height


def png_height(path: Path) -> int:
    """Return what the head of a PNG says."""
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG")
    return int.from_bytes(data[20:24], "big")


def test_without_matplotlib_there_is_no_png(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ChartError):
        draw_png(tmp_path / "chart.png", [], "note")
