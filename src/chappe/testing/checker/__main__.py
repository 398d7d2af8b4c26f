"""`python -m chappe.testing.checker LOG...`: print a verdict; exit 0 clean, 1 broken or nothing to judge, 2 usage."""

import sys
from collections.abc import Sequence
from pathlib import Path

from chappe.testing.checker.journal import read_events
from chappe.testing.checker.judge import verdict

#: Findings printed; the counts of all of them are in the last line.
_SHOWN = 50


def main(arguments: Sequence[str]) -> int:
    """Judge the logs named; return the exit code."""
    if not arguments or arguments[0].startswith("-"):
        sys.stderr.write(
            "usage: python -m chappe.testing.checker LOG... (lines of JSON, see chappe.testing.checker.journal)\n"
        )
        return 2
    try:
        result = verdict(read_events(Path(argument) for argument in arguments))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    for finding in result.findings[:_SHOWN]:
        sys.stdout.write(f"{finding}\n")
    sys.stdout.write(f"{result}\n")
    return 0 if result.clean else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
