"""Write docs/reference/mqtt-conformance.md from the statements in tests/conformance/mqtt.

`python tools/generate_mqtt_conformance.py` writes it; `--check` writes nothing and fails if it is not current.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.conformance.mqtt.statements import FILES, Statement, load  # noqa: E402 - the root is no package of ours

PAGE = ROOT / "docs" / "reference" / "mqtt-conformance.md"

HEAD = """<!-- Written by tools/generate_mqtt_conformance.py: change tests/conformance/mqtt, run `make generate`. -->
# MQTT, statement by statement

The specifications of MQTT 5.0 and 3.1.1 (OASIS standards) number what implementations must do. Here is each number,
what it asks for in a few words of ours, and what shows that the hub does it: tests, named by file and function, and
byte vectors of `spec/vectors/mqtt.packets.json`, which `test_reader.py` reads whole, byte by byte and cut anywhere. A
number that does not apply says why. {summary}
"""

TABLE = """
## MQTT {version}

| statement | asks | shown by |
| --- | --- | --- |
"""


def page() -> str:
    """Return the page."""
    every = {version: load(version) for version in FILES}
    lines = [HEAD.format(summary=" ".join(_summary(version, found) for version, found in every.items()))]
    for version, found in every.items():
        lines.append(TABLE.format(version=version))
        lines += [f"| {label} | {_escaped(each.says)} | {_shown(each)} |\n" for label, each in found.items()]
    return "".join(lines)


def _summary(version: str, found: dict[str, Statement]) -> str:
    reasons = sum(bool(each.reason) for each in found.values())
    return f"Of {len(found)} in {version}, {len(found) - reasons} apply."


def _shown(statement: Statement) -> str:
    if statement.reason:
        return f"does not apply: {statement.reason}"
    shown = [f"as {statement.same} of 5.0"] if statement.same else []
    for name in statement.tests:
        path, _, test = name.partition("::")
        shown.append(f"`{path.rpartition('/')[2]}` `{test}`")
    shown += [f"vector “{_escaped(name)}”" for name in statement.vectors]
    return "; ".join(shown)


def _escaped(text: str) -> str:
    for character in "|<*{":
        text = text.replace(character, "\\" + character)
    return text


def main() -> int:
    """Write the page, or say that it is not current."""
    text = page()
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    if "--check" in sys.argv:
        print(f"{PAGE.relative_to(ROOT)}: not current, run make generate", file=sys.stderr)
        return 1
    PAGE.write_text(text, encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
