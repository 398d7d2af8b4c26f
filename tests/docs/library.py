"""The pages of the documentation, as the tests look at them."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
FRENCH = DOCS / "fr"

#: Blocks in these languages are programs or files: each is (part of) a file that a test runs or checks.
FILED = frozenset({"python", "ts", "js", "html", "bash", "toml", "ini", "nginx", "caddy"})
#: Where those files are.
SHELVES = ("examples", "deploy")

_BLOCK = re.compile(r"^(?P<indent> *)```(?P<language>[\w-]*)[^\n]*\n(?P<code>.*?)^ *```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]\n]*(?:\n[^\]\n]+)?\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^(#+) +(.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    language: str
    code: str

    @property
    def lines(self) -> list[str]:
        """The code without the blank lines around it."""
        return self.code.strip("\n").splitlines()


def pages() -> list[Path]:
    """List the pages for users: README and docs, without what is generated or about the project itself."""
    return [ROOT / "README.md", *sorted(page for page in DOCS.rglob("*.md") if "project" not in page.parts)]


def name_of(page: Path) -> str:
    """Name a page in a test's id."""
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [Block(page, match["language"], textwrap.dedent(match["code"])) for match in _BLOCK.finditer(text)]


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return _BLOCK.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> list[str]:
    """Return the targets of a page's links and pictures."""
    return [match["target"] for match in _LINK.finditer(prose(page))]


def headings(page: Path) -> list[tuple[int, str]]:
    """Return the headings of a page with their levels."""
    return [(len(marks), title.strip()) for marks, title in _HEADING.findall(prose(page))]


def anchors(page: Path) -> set[str]:
    """Return what a link may name behind `#`, as the common renderers make it."""
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for _, title in headings(page)}


def shelf() -> list[Path]:
    """List the files that pages may show."""
    found = [file for shelf in SHELVES for file in (ROOT / shelf).rglob("*") if file.is_file()]
    return sorted(
        file for file in found if "__pycache__" not in file.parts and file != ROOT / "examples" / "__init__.py"
    )
