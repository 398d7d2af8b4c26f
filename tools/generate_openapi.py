"""Write spec/openapi.json from the types of the HTTP API.

`python tools/generate_openapi.py` writes it; `--check` writes nothing and fails if it is not current.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from chappe.api.openapi import openapi_document
from chappe.api.routes import BATCH, COMMANDS

TARGET = Path(__file__).resolve().parent.parent / "spec" / "openapi.json"


def main(arguments: list[str]) -> int:
    """Write or check the document; return the exit status."""
    text = json.dumps(openapi_document((*COMMANDS, BATCH)), indent=2, ensure_ascii=False) + "\n"
    if arguments == ["--check"]:
        if TARGET.is_file() and TARGET.read_text(encoding="utf-8") == text:
            return 0
        print("spec/openapi.json is not current, run `python tools/generate_openapi.py`", file=sys.stderr)
        return 1
    if arguments:
        print(f"unknown argument {arguments[0]!r}, expected --check or nothing", file=sys.stderr)
        return 2
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
