"""Copy the measured figures from benchmarks/RESULTS.md into the README, in both languages.

RESULTS.md marks the table for the README with `<!-- readme: begin -->` and `<!-- readme: end -->`; what stands there is
copied as it is, nothing is computed. Without it the README says that there are no figures.
`python tools/generate_readme_figures.py` writes the pages; `--check` writes nothing and fails if one is not current.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks/RESULTS.md"
BEGIN = "<!-- figures: begin (written by tools/generate_readme_figures.py) -->"
END = "<!-- figures: end -->"
RESULTS_BEGIN = "<!-- readme: begin -->"
RESULTS_END = "<!-- readme: end -->"

#: Pages, and what they say while nothing is measured.
PAGES = {
    ROOT / "README.md": "No figures yet: they appear here once `benchmarks/RESULTS.md` has them.",
    ROOT / "docs/fr/README.md": "Pas encore de chiffres : ils viendront ici avec `benchmarks/RESULTS.md`.",
}


def between(text: str, begin: str, end: str, where: str) -> str:
    """Return what stands between two markers.

    Raises:
        ValueError: a marker is missing.
    """
    _, found, rest = text.partition(begin)
    inside, closed, _ = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"a marker is missing in {where}, expected {begin} and {end}")
    return inside.strip()


def with_figures(text: str, figures: str, where: str) -> str:
    """Return a page with the figures between its markers."""
    present = between(text, BEGIN, END, where)
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    return text if present == figures else f"{before}{BEGIN}\n\n{figures}\n\n{END}{after}"


def main(arguments: list[str]) -> int:
    """Write the pages, or check them."""
    table = ""
    if RESULTS.exists():
        table = between(RESULTS.read_text(encoding="utf-8"), RESULTS_BEGIN, RESULTS_END, RESULTS.name)
    stale = False
    for page, nothing in PAGES.items():
        text = page.read_text(encoding="utf-8")
        current = with_figures(text, table or nothing, page.name)
        if current == text:
            continue
        if "--check" in arguments:
            print(f"{page.relative_to(ROOT)} is not current, run python tools/generate_readme_figures.py")
            stale = True
        else:
            page.write_text(current, encoding="utf-8")
            print(f"wrote {page.relative_to(ROOT)}")
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
