"""Write the reference of the command line (English and French) and of the configuration from the code.

`python tools/generate_reference.py` writes them; `--check` writes nothing and fails if one is not current.
`--print-cli` prints the page of the command line in the language of LANG.
"""

from __future__ import annotations

import ast
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import msgspec

from chappe.cli import main as cli
from chappe.cli.grammar import Command
from chappe.cli.texts import FRENCH, T
from chappe.config import settings as settings_module
from chappe.config.fields import NAMED, Field, fields_of, sections
from chappe.config.profiles import DEV_DEFAULTS, DEV_FORCED, PRESETS
from chappe.model.limits import Limits

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "config" / "hub.toml"
NOTICE = "<!-- Written by tools/generate_reference.py; change the code, then run `make generate`. -->\n"

CONFIGURATION_INTRO = """# Configuration

Settings are read in this order, each source over the one before: defaults, a preset, the `--dev` profile, `chappe.toml`
(of the working directory, or the file of `--config`), environment variables, flags of the command line.

- `chappe config show` prints every setting with its value and where it came from; secrets are hidden.
- `chappe config check` finds what cannot work, in the settings and in the files they name.
- An environment variable is named after its section and key: `CHAPPE_SERVER__PORT=9000` is `port` of `[server]`,
  `CHAPPE_NAMESPACES__CHAT__LEVEL=durable` is `level` of `[namespaces.chat]`. Lists are separated by commas.
- An unknown key is an error that names the nearest known one; a wrong value is one line that names source, section, key
  and what was expected.
- Units are in the names: `_s` seconds, `_ms` milliseconds, `_bytes` bytes.

```toml
{example}```

Without configuration a hub starts closed: nobody may subscribe or publish. `chappe serve --dev` opens one on your own
machine.
"""

PROFILES_OUTRO = """
Presets are defaults: whatever you set is over them. `--dev` forces `server.allowed_hosts`, `auth.anonymous`,
`api.insecure_open`, the two limits and the rights, refuses an address that another machine could reach, and cannot be
set anywhere but on the command line.
"""


def outputs() -> dict[Path, str]:
    """Return every generated page by its path."""
    return {
        ROOT / "docs" / "reference" / "configuration.md": configuration_page(),
        ROOT / "docs" / "reference" / "cli.md": _cli_page_in("C"),
        ROOT / "docs" / "fr" / "reference" / "cli.md": _cli_page_in("fr_FR.UTF-8"),
    }


# --- The configuration -----------------------------------------------------------------------------------------------


def configuration_page() -> str:
    """Return the page of the configuration."""
    parts = [NOTICE, CONFIGURATION_INTRO.format(example=EXAMPLE.read_text(encoding="utf-8"))]
    named = {f"{table}.<name>": struct for table, struct in NAMED.items()}
    for section, struct in {**sections(), **named}.items():
        parts.append(_section(section, struct))
    parts.append(_profiles())
    return "\n".join(parts)


def _section(section: str, struct: type[msgspec.Struct]) -> str:
    title = inspect.cleandoc(struct.__doc__ or "").split("\n\n")[0].replace("\n", " ")
    texts = field_texts(struct)
    rows = [_row(field, struct, texts[field.key]) for field in fields_of(section, struct)]
    head = "| key | default | takes | meaning |\n| --- | --- | --- | --- |\n"
    return f"## `[{section}]`\n\n{title}\n\n{head}{''.join(rows)}"


def _row(field: Field, struct: type[msgspec.Struct], text: str) -> str:
    default = json.dumps(msgspec.to_builtins(getattr(struct(), field.key)), ensure_ascii=False)
    takes = str(field.expected).replace("|", "\\|")
    return f"| `{field.key}` | `{default}` | {takes} | {text} |\n"


def field_texts(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Return what each field means: the text below it, or its line under `Attributes:`."""
    texts: dict[str, str] = {}
    for base in reversed(struct.__mro__):
        texts |= _attribute_lines(base.__doc__ or "") if issubclass(base, Limits) else {}
    texts |= _texts_below_fields(struct)
    missing = [name for name in struct.__struct_fields__ if name not in texts]
    if missing:
        raise SystemExit(f"{struct.__name__}: nothing says what these mean: {', '.join(missing)}")
    return texts


def _texts_below_fields(struct: type[msgspec.Struct]) -> dict[str, str]:
    tree = ast.parse(inspect.getsource(settings_module))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == struct.__name__)
    texts: dict[str, str] = {}
    for field, below in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            assert isinstance(below.value, ast.Constant)
            texts[field.target.id] = " ".join(str(below.value.value).split())
    return texts


def _attribute_lines(docstring: str) -> dict[str, str]:
    """Return the entries of an `Attributes:` list; a line that is indented deeper goes on."""
    _, _, listed = inspect.cleandoc(docstring).partition("Attributes:\n")
    texts: dict[str, str] = {}
    name = ""
    for line in listed.splitlines():
        if line.startswith("     "):
            texts[name] += " " + line.strip()
        elif line.strip():
            name, _, text = line.strip().partition(": ")
            texts[name] = text
    return {name: text[:1].upper() + text[1:] for name, text in texts.items()}


def _profiles() -> str:
    lines = ["## Presets and `--dev`\n", "| setting | preset `strict` | preset `high-load` | `--dev` |"]
    lines.append("| --- | --- | --- | --- |")
    columns = [PRESETS["strict"], PRESETS["high-load"], DEV_DEFAULTS | DEV_FORCED]
    rights: dict[str, Any] = {f"namespaces.*.{right}": "anonymous" for right in ("subscribe", "publish")}
    columns[2] = columns[2] | rights
    for name in dict.fromkeys(name for column in columns for name in column):
        cells = [f"`{json.dumps(column[name])}`" if name in column else "" for column in columns]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    lines.append(PROFILES_OUTRO)
    return "\n".join(lines)


# --- The command line ------------------------------------------------------------------------------------------------


def cli_page() -> str:
    """Return the page of the command line in the language of `T`."""
    context = click.Context(cli, info_name="chappe")
    title = "# Ligne de commande" if T is FRENCH else "# Command line"
    parts = [NOTICE, f"{title}\n", f"{_intro()}\n"]
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        parts += _command(command, click.Context(command, info_name=name, parent=context))
    return "\n".join(parts)


def _intro() -> str:
    if T is FRENCH:
        return (
            "`chappe`, ou `python -m chappe`. Codes de sortie : 0 fait, 1 échec, 2 mauvais usage, 130 interrompu par\n"
            "Ctrl-C. Une erreur tient en une ligne, sur la sortie d'erreur, et nomme l'étape suivante. La langue est\n"
            "celle de LC_ALL, LC_MESSAGES ou LANG."
        )
    return (
        "`chappe`, or `python -m chappe`. Exit codes: 0 done, 1 failed, 2 used wrongly, 130 interrupted by Ctrl-C. An\n"
        "error is one line on standard error and names the next step. The language is that of LC_ALL, LC_MESSAGES or\n"
        "LANG: English or French."
    )


def _command(command: click.Command, context: click.Context, level: str = "##") -> Iterator[str]:
    pieces = " ".join(command.collect_usage_pieces(context))
    yield f"{level} `{context.command_path}`\n"
    yield f"{command.help}\n"
    yield f"```text\n{context.command_path} {pieces}\n```\n"
    assert isinstance(command, Command)
    title = T["options"].lower()
    records = [f"| `{names}` | {_escaped(text)} |\n" for names, text in command.option_records(context)]
    yield f"| {title} | |\n| --- | --- |\n{''.join(records)}"
    if command.epilog:
        lines = [line.strip() for line in command.epilog.splitlines()[2:]]
        yield "```console\n" + "".join(f"$ {line}\n" for line in lines) + "```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _command(inner, click.Context(inner, info_name=name, parent=context), "###")


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _cli_page_in(language: str) -> str:
    # In a process of its own, since texts are chosen once, when the commands are defined.
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "CHAPPE_"))}
    command = [sys.executable, __file__, "--print-cli"]
    done = subprocess.run(command, env=environ | {"LANG": language}, capture_output=True, check=True)
    return done.stdout.decode("utf-8")


def main(arguments: list[str]) -> int:
    """Write or check the pages; return the exit code."""
    if arguments == ["--print-cli"]:
        sys.stdout.buffer.write(cli_page().encode("utf-8"))
        return 0
    stale = 0
    for path, text in outputs().items():
        current = path.read_text(encoding="utf-8") if path.is_file() else ""
        if current == text:
            continue
        if "--check" in arguments:
            print(f"{path.relative_to(ROOT)} is not current: run make generate", file=sys.stderr)
            stale = 1
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    return stale


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
