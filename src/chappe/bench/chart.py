"""Draw results: aligned tables and bars for a terminal, a PNG for a page."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chappe.bench.comparison import Spread

_EIGHTHS = " ▏▎▍▌▋▊▉"
_FULL = "█"
_WIDTH = 40


class ChartError(Exception):
    """Tell that matplotlib, which draws the PNG, is not installed."""


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows of a table as lines: the first column to the left, figures to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def bars(names: Sequence[str], values: Sequence[float], width: int = _WIDTH) -> list[str]:
    """Return one line a value: its name and a bar; the largest value has the whole width."""
    largest = max(values, default=0.0)
    column = max((len(name) for name in names), default=0)
    return [f"{name.ljust(column)}  {_bar(value, largest, width)}" for name, value in zip(names, values, strict=True)]


def _bar(value: float, largest: float, width: int) -> str:
    eighths = round(value / largest * width * 8) if largest > 0 else 0
    return (_FULL * (eighths // 8) + _EIGHTHS[eighths % 8]).rstrip()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Panel:
    """Hold one bar chart of a picture: what each of some servers reached."""

    title: str
    unit: str
    names: Sequence[str]
    spreads: Sequence[Spread]


def draw_png(path: Path, panels: Sequence[Panel], note: str) -> None:
    """Write bar charts below each other: medians, with lines from the smallest to the largest round.

    Args:
        note: what stands below the last of them.

    Raises:
        ChartError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ChartError from error
    heights = [1.4 + 0.45 * len(panel.names) for panel in panels]
    figure = Figure(figsize=(8, sum(heights)), layout="constrained")
    places = figure.subplots(len(panels), height_ratios=heights, squeeze=False)[:, 0]
    for panel, axes in zip(panels, places, strict=True):
        _draw_panel(panel, axes, note if panel is panels[-1] else "")
    figure.savefig(path, dpi=150, format="png")


def _draw_panel(panel: Panel, axes: Any, note: str) -> None:
    medians = [spread.median for spread in panel.spreads]
    errors = [[s.median - s.low for s in panel.spreads], [s.high - s.median for s in panel.spreads]]
    colours = ["#2a6f97"] + ["#a9b8c2"] * (len(panel.names) - 1)
    axes.barh(list(panel.names), medians, xerr=errors, color=colours, ecolor="#444444", capsize=3)
    axes.invert_yaxis()
    axes.set_title(panel.title, loc="left", fontsize=11)
    axes.set_xlabel(f"{panel.unit}\n{note}".strip(), fontsize=8)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.spines[["top", "right"]].set_visible(False)
