"""Write the error lists of Python, TypeScript and the documentation from spec/errors.toml.

`python tools/generate_errors.py` writes them; `--check` writes nothing and fails if one is not current.
"""

from __future__ import annotations

import json
import string
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "spec" / "errors.toml"
ALLOWED_KEYS = {"code", "name", "en", "fr", "en_with", "fr_with", "retry", "http"}


class TableError(Exception):
    """spec/errors.toml breaks one of its own rules; the text names the entry."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the table, checked."""

    code: int
    name: str
    en: str
    fr: str
    en_with: tuple[str, ...]
    fr_with: tuple[str, ...]
    retry: bool
    http: int | None


@dataclass(frozen=True, slots=True)
class Range:
    """What the numbers from `first` to `last` tell a client; `retry` is None where each entry says it."""

    first: int
    last: int
    title: str
    advice: str
    retry: bool | None


RANGES = (
    Range(100, 199, "Errors", "The request failed; the connection and everything else on it go on.", None),
    Range(2000, 2499, "Unsubscribed, final", "The subscription is over; do not subscribe again by yourself.", False),
    Range(2500, 2999, "Unsubscribed, subscribe again", "The subscription is over; subscribe again at once.", True),
    Range(3000, 3499, "Closed, reconnect", "The connection is over; reconnect, with backoff, and resume.", True),
    Range(3500, 3999, "Closed, stop", "The connection is over; do not reconnect by yourself.", False),
    Range(4000, 4499, "Closed by a protocol, reconnect", "As 3000-3499.", True),
    Range(4500, 4999, "Closed by a protocol, stop", "As 3500-3999.", False),
)


def range_of(code: int) -> Range:
    """Find the range a number lies in; raise TableError for a number outside all of them."""
    for each in RANGES:
        if each.first <= code <= each.last:
            return each
    raise TableError(f"code {code} is in none of the ranges of the table")


def parameters(text: str) -> set[str]:
    """List the {parameters} of a text."""
    return {field for _, field, _, _ in string.Formatter().parse(text) if field is not None}


def read_entry(row: dict[str, object]) -> Entry:
    """Check one row and turn it into an Entry; raise TableError naming what is wrong."""
    code, name = row.get("code"), row.get("name")
    if not isinstance(code, int) or not isinstance(name, str):
        raise TableError(f"an entry needs an integer code and a name, came {row}")
    if unknown := row.keys() - ALLOWED_KEYS:
        raise TableError(f"{code} {name} has unknown keys: {', '.join(sorted(unknown))}")
    if name != name.upper() or not name.isidentifier():
        raise TableError(f"{code}: the name is {name}, expected UPPER_SNAKE")
    en, fr, http = row.get("en"), row.get("fr"), row.get("http")
    if not isinstance(en, str) or not isinstance(fr, str) or parameters(en) or parameters(fr):
        raise TableError(f"{code} {name} needs the texts en and fr, without parameters")
    en_with, fr_with = read_texts(row, "en_with"), read_texts(row, "fr_with")
    if [parameters(text) for text in en_with] != [parameters(text) for text in fr_with]:
        raise TableError(f"{code} {name}: en_with and fr_with differ in their parameters")
    if http is not None and not (isinstance(http, int) and 400 <= http <= 599):
        raise TableError(f"{code} {name}: http is {http}, expected 400 to 599")
    return Entry(code, name, en, fr, en_with, fr_with, read_retry(row, code), http)


def read_texts(row: dict[str, object], key: str) -> tuple[str, ...]:
    """Read an optional list of texts, each with at least one parameter."""
    texts = row.get(key, [])
    if not isinstance(texts, list) or not all(isinstance(text, str) and parameters(text) for text in texts):
        raise TableError(f"{row['code']}: {key} must be a list of texts with {{parameters}}")
    return tuple(texts)


def read_retry(row: dict[str, object], code: int) -> bool:
    """Read `retry`, which the range decides everywhere but among the errors."""
    by_range, own = range_of(code).retry, row.get("retry")
    if by_range is not None:
        if own is not None:
            raise TableError(f"{code}: the range decides about retry, remove it")
        return by_range
    if not isinstance(own, bool):
        raise TableError(f"{code}: retry is {own}, expected true or false")
    return own


def read_table(text: str) -> list[Entry]:
    """Read the whole table, in order of code; codes and names are unique and ascending."""
    entries = [read_entry(row) for row in tomllib.loads(text)["error"]]
    codes, names = [entry.code for entry in entries], [entry.name for entry in entries]
    if codes != sorted(set(codes)):
        raise TableError("codes must ascend, each once")
    if len(set(names)) != len(names):
        raise TableError("a name occurs twice")
    return entries


def quoted(text: str) -> str:
    """Quote a text for Python and TypeScript alike (both read JSON strings)."""
    return json.dumps(text, ensure_ascii=False).replace("\u00a0", "\\u00a0")


PYTHON_HEAD = '''"""Numbers, names and texts of every error, unsubscribe and close code.

Generated from spec/errors.toml by tools/generate_errors.py: do not edit.
"""

from enum import IntEnum
from string import Formatter
from typing import NamedTuple


class Code(IntEnum):
    """Names of the codes; the range of a number tells a client whether to try again."""

'''

PYTHON_MIDDLE = '''

class ErrorInfo(NamedTuple):
    """What the table knows about one code."""

    code: int
    name: str
    text_en: str
    text_fr: str
    retry: bool
    """May the same request (for close codes: a new connection) succeed later?"""
    http_status: int | None
    """Status of the HTTP API or of a refused upgrade; None where the code never becomes an HTTP answer."""
    texts_en: tuple[str, ...] = ()
    """Texts with {parameters}, best first; `text_en` is the one without."""
    texts_fr: tuple[str, ...] = ()


'''

PYTHON_TAIL = '''

def reason(code: int, language: str = "en", **params: object) -> str:
    """Word a code in a language, with the best text whose parameters are all given.

    Args:
        code: a code of this table.
        language: a language tag; those beginning with `fr` are French, all others English.
        params: values for the {parameters}; those no text asks for are ignored.
    Raises:
        KeyError: the code is not in the table (applications word their own, 1000-1999).
    """
    info = ERRORS[code]
    french = language[:2].lower() == "fr"
    if params:
        for text in info.texts_fr if french else info.texts_en:
            if all(field is None or field in params for _, field, _, _ in Formatter().parse(text)):
                return text.format_map(params)
    return info.text_fr if french else info.text_en
'''


def python_info(entry: Entry) -> list[str]:
    """Write one ErrorInfo, laid out as ruff format would."""
    lines = [
        f"    {entry.code}: ErrorInfo(",
        f"        code={entry.code},",
        f"        name={quoted(entry.name)},",
        f"        text_en={quoted(entry.en)},",
        f"        text_fr={quoted(entry.fr)},",
        f"        retry={entry.retry},",
        f"        http_status={entry.http},",
    ]
    for key, texts in (("texts_en", entry.en_with), ("texts_fr", entry.fr_with)):
        if len(texts) == 1:
            lines.append(f"        {key}=({quoted(texts[0])},),")
        elif texts:
            lines += [f"        {key}=(", *(f"            {quoted(text)}," for text in texts), "        ),"]
    return [*lines, "    ),"]


def python_module(entries: list[Entry]) -> str:
    """Write src/chappe/model/error_codes.py."""
    members = "\n".join(f"    {entry.name} = {entry.code}" for entry in entries)
    rows = "\n".join(line for entry in entries for line in python_info(entry))
    table = f"ERRORS: dict[int, ErrorInfo] = {{\n{rows}\n}}\n"
    return f"{PYTHON_HEAD}{members}\n{PYTHON_MIDDLE}{table}{PYTHON_TAIL}"


TYPESCRIPT_HEAD = """// Numbers, names and texts of every error, unsubscribe and close code.
// Generated from spec/errors.toml by tools/generate_errors.py: do not edit.

/** Names of the codes; the range of a number tells a client whether to try again. */
"""

TYPESCRIPT_TAIL = """
const FIELD = /\\{(\\w+)\\}/g;

/**
 * Word a code in a language, with the best text whose parameters are all given; `undefined` for a code outside the
 * table (applications word their own, 1000-1999). Language tags that begin with `fr` are French, all others English.
 */
export function reason(
  code: number,
  language = "en",
  params: Readonly<Record<string, unknown>> = {},
): string | undefined {
  const texts = TEXTS[code]?.[language.slice(0, 2).toLowerCase() === "fr" ? 1 : 0];
  const given = (_: string, field: string): string => String(params[field]);
  return texts?.find((text) => [...text.matchAll(FIELD)].every(([, field]) => Object.hasOwn(params, field as string)))
    ?.replace(FIELD, given);
}
"""


def typescript_texts(entry: Entry) -> str:
    """Write the texts of one code: those with parameters first."""
    lists = ((*entry.en_with, entry.en), (*entry.fr_with, entry.fr))
    english, french = (", ".join(quoted(text) for text in texts) for texts in lists)
    return f"  {entry.code}: [[{english}], [{french}]],\n"


def typescript_module(entries: list[Entry]) -> str:
    """Write clients/js/src/errors.generated.ts."""
    names = "".join(f"  {entry.name}: {entry.code},\n" for entry in entries)
    rows = "".join(typescript_texts(entry) for entry in entries)
    return (
        f"{TYPESCRIPT_HEAD}export const Code = {{\n{names}}} as const;\n"
        "export type Code = (typeof Code)[keyof typeof Code];\n\n"
        "/** English and French, each best first; the last has no {parameters}. */\n"
        f"const TEXTS: Readonly<Record<number, readonly (readonly string[])[]>> = {{\n{rows}}};\n"
        f"{TYPESCRIPT_TAIL}"
    )


DOCS_HEAD = """# Errors and codes

Generated from `spec/errors.toml` by `tools/generate_errors.py`: do not edit.

Every error, every end of a subscription and every close of a connection has a number. The range of the number says
what a client does next; the text is worded where it is shown, in English or French. 1000-1999 belong to applications.
"""


def docs_section(each: Range, entries: list[Entry]) -> str:
    """Write the table of one range, or nothing where it has no codes."""
    rows = [entry for entry in entries if each.first <= entry.code <= each.last]
    if not rows:
        return ""
    with_retry = each.retry is None
    head = ["code", "name", "English", "French", *(["retry"] if with_retry else []), "HTTP"]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for entry in rows:
        english, french = "<br>".join((entry.en, *entry.en_with)), "<br>".join((entry.fr, *entry.fr_with))
        retry = [("yes" if entry.retry else "no")] if with_retry else []
        cells = [str(entry.code), f"`{entry.name}`", english, french, *retry, str(entry.http or "")]
        lines.append(f"| {' | '.join(cells)} |")
    return f"\n## {each.title} ({each.first}-{each.last})\n\n{each.advice}\n\n" + "\n".join(lines) + "\n"


def docs_page(entries: list[Entry]) -> str:
    """Write docs/reference/errors.md."""
    return DOCS_HEAD + "".join(docs_section(each, entries) for each in RANGES)


def outputs(entries: list[Entry]) -> dict[Path, str]:
    """Map each generated file to the text it must have."""
    return {
        ROOT / "src" / "chappe" / "model" / "error_codes.py": python_module(entries),
        ROOT / "clients" / "js" / "src" / "errors.generated.ts": typescript_module(entries),
        ROOT / "docs" / "reference" / "errors.md": docs_page(entries),
    }


def main(arguments: list[str]) -> int:
    """Write the files, or with --check compare them; return the exit status."""
    try:
        files = outputs(read_table(SOURCE.read_text(encoding="utf-8")))
    except TableError as error:
        print(f"spec/errors.toml: {error}", file=sys.stderr)
        return 1
    stale = [path for path, text in files.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" in arguments:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not current, run: python tools/generate_errors.py", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[path], encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
