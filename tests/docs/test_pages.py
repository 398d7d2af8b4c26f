"""The docs keep their promises: what they show is a file that runs, links lead somewhere, French follows."""

from __future__ import annotations

import re
import shlex
import textwrap
from pathlib import Path

import click
import pytest

from chappe.cli import main as chappe
from tests.docs.library import (
    DOCS,
    FILED,
    FRENCH,
    ROOT,
    Block,
    anchors,
    blocks,
    headings,
    links,
    name_of,
    pages,
    prose,
    shelf,
)

PAGES = pages()
#: Pages in English only: lists of names for programmers, and what generators write.
ENGLISH_ONLY = ("reference", "project", "fr")
TWINS = [page for page in sorted(DOCS.rglob("*.md")) if page.relative_to(DOCS).parts[0] not in ENGLISH_ONLY]
#: Pages whose code another test runs as it stands on the page.
RUN_BY = {
    "authentication.md": "tests/api/test_documentation.py",
    "publish-from-a-backend.md": "tests/api/test_documentation.py",
    "http-api.md": "tests/api/test_documentation.py",
}
FILED_BLOCKS = [block for page in PAGES if page.name not in RUN_BY for block in blocks(page) if block.language in FILED]


def is_shown_by(block: Block, file: Path) -> bool:
    """Tell whether a block is a run of whole lines of a file, indented by any amount."""
    wanted = block.lines
    lines = file.read_text(encoding="utf-8").splitlines()
    for start in range(len(lines) - len(wanted) + 1):
        excerpt = textwrap.dedent("\n".join(lines[start : start + len(wanted)])).splitlines()
        if [line.rstrip() for line in excerpt] == [line.rstrip() for line in wanted]:
            return True
    return False


def shown(page: Path) -> list[tuple[str, str]]:
    """Return a page's code; where another test runs it, comments may be translated, and its languages must do."""
    return [(b.language, "" if page.name in RUN_BY else b.code) for b in blocks(page) if b.language in FILED]


def test_there_is_something_to_check() -> None:
    assert len(FILED_BLOCKS) > 20
    assert len(TWINS) > 15


@pytest.mark.parametrize("block", FILED_BLOCKS, ids=lambda block: f"{name_of(block.page)}:{block.lines[0][:30]}")
def test_a_block_of_code_is_an_excerpt_of_a_file(block: Block) -> None:
    assert any(is_shown_by(block, file) for file in shelf()), f"no file of examples/ or deploy/ has:\n{block.code}"


@pytest.mark.parametrize(("page", "test"), sorted(RUN_BY.items()))
def test_code_that_is_no_file_is_run_by_another_test(page: str, test: str) -> None:
    assert page in (ROOT / test).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in links(page):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{name_of(page)} links to {target}: no such file"
        if anchor:
            assert anchor in anchors(there), f"{name_of(page)} links to {target}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_has_one_title_and_says_something(page: Path) -> None:
    levels = [level for level, _ in headings(page)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert len(prose(page).split()) > 30


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_claims_what_nobody_can_promise(page: Path) -> None:
    text = prose(page).lower()
    for claim in ("exactly once", "exactly-once", "exactement une fois", "never loses", "ne perd jamais"):
        assert claim not in text, f"{name_of(page)} says {claim!r}: name retention, broker and fsync instead"


@pytest.mark.parametrize("page", TWINS, ids=name_of)
def test_a_page_for_users_has_a_french_twin_with_the_same_code(page: Path) -> None:
    twin = FRENCH / page.relative_to(DOCS)
    assert twin.is_file(), f"{name_of(twin)} is missing"
    assert [level for level, _ in headings(twin)] == [level for level, _ in headings(page)]
    assert shown(twin) == shown(page)


def test_the_french_readme_shows_the_code_of_the_english_one() -> None:
    english = [block for block in blocks(ROOT / "README.md") if block.language in FILED]
    french = [block for block in blocks(FRENCH / "README.md") if block.language in FILED]
    assert [block.code for block in french] == [block.code for block in english]


@pytest.mark.parametrize("folder", sorted(p for p in (DOCS / "how-to", DOCS / "deploy")), ids=name_of)
def test_every_page_is_reached_from_the_index(folder: Path) -> None:
    for index in (DOCS / "index.md", FRENCH / "index.md"):
        reached = {(index.parent / target.partition("#")[0]).resolve() for target in links(index)}
        for page in (index.parent / folder.name).glob("*.md"):
            assert page in reached, f"{name_of(index)} does not link to {name_of(page)}"


# --- Commands ---------------------------------------------------------------------------------------------------------


_COMMAND = re.compile(r"([A-Z_]+=\S+ )*(\S*/)?chappe\s")


def commands_of(page: Path) -> list[list[str]]:
    """Return what a page tells its reader to run with `chappe`, from its blocks of shell and console."""
    found = []
    for block in blocks(page):
        if block.language not in ("bash", "console", "sh", ""):
            continue
        text = block.code.replace("\\\n", " ")
        prompted = block.language == "console"
        for line in text.splitlines():
            if prompted and not line.startswith(("$ ", "# ")):
                continue  # what the command says
            for part in re.split(r"\s(?:\||&&)\s", line[2:] if prompted else line.strip()):
                words = shlex.split(part, comments=True) if _COMMAND.match(part) else []
                while words and "=" in words[0]:
                    words.pop(0)
                if words:
                    found.append(words[1:])
    return found


COMMANDS = [(page, words) for page in PAGES for words in commands_of(page)]


@pytest.mark.parametrize(("page", "words"), COMMANDS, ids=[f"{name_of(page)}:{' '.join(w)}" for page, w in COMMANDS])
def test_a_command_on_a_page_is_understood(page: Path, words: list[str]) -> None:
    context = click.Context(chappe, info_name="chappe")
    group: click.Command = chappe
    while isinstance(group, click.Group) and words and not words[0].startswith("-"):
        name, *words = words
        found = group.get_command(context, name)
        assert found is not None, f"{name_of(page)} has `chappe {name}`, which is no command"
        group = found
    # Parsing alone: a usage error raises, nothing is run.
    if "--help" not in words:
        group.make_context(str(group.name), [word for word in words if word not in ("&", ">")])
