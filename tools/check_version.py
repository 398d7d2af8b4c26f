"""Fail unless pyproject.toml, CHANGELOG.md and the JavaScript SDK name the same version."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def versions() -> dict[str, str]:
    """Read the version from every place that names one."""
    heading = re.search(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    return {
        "pyproject.toml": tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"],
        "CHANGELOG.md": heading[1] if heading else "none",
        "clients/js/package.json": json.loads((ROOT / "clients/js/package.json").read_text(encoding="utf-8"))[
            "version"
        ],
    }


def main() -> int:
    """Compare the versions; return the exit status."""
    found = versions()
    if len(set(found.values())) == 1:
        return 0
    print(f"the versions differ: {', '.join(f'{path} {version}' for path, version in found.items())}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
