"""Draw the session's states, from the table of the code, into the pages that explain them.

`python tools/generate_state_diagram.py` writes the pages; `--check` writes nothing and fails if one is not current.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from chappe.hub.session_state import TRANSITIONS, SessionState  # noqa: E402

PAGES = (ROOT / "docs/concepts/session.md", ROOT / "docs/fr/concepts/session.md")
BEGIN = "<!-- states: begin (written by tools/generate_state_diagram.py) -->"
END = "<!-- states: end -->"


def diagram() -> str:
    """Return the Mermaid state diagram of the table; inputs that lead to the same state share an arrow."""
    arrows: dict[tuple[SessionState, SessionState], list[str]] = {}
    for (state, happened), following in TRANSITIONS.items():
        arrows.setdefault((state, following), []).append(happened.name)
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {SessionState.NEW.name}"]
    lines += [f"    {state.name} --> {to.name}: {', '.join(names)}" for (state, to), names in arrows.items()]
    lines += [f"    {SessionState.CLOSED.name} --> [*]", "```"]
    return "\n".join(lines)


def with_diagram(text: str) -> str:
    """Return a page with the diagram between its markers.

    Raises:
        ValueError: a marker is missing.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"a marker is missing, expected {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{diagram()}\n\n{END}{after}"


def main(arguments: list[str]) -> int:
    """Write the pages, or check them."""
    stale = False
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        current = with_diagram(text)
        if current == text:
            continue
        if "--check" in arguments:
            print(f"{page.relative_to(ROOT)} is not current, run python tools/generate_state_diagram.py")
            stale = True
        else:
            page.write_text(current, encoding="utf-8")
            print(f"wrote {page.relative_to(ROOT)}")
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
