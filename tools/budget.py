"""Run a command within a budget of minutes and print what it used: budget.py MINUTES NAME -- COMMAND..."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

TIMED_OUT = 124
"""Exit status of a command that passed its budget, as timeout(1) has it."""


def run(minutes: float, name: str, command: list[str]) -> int:
    """Run a command in a process group of its own; end the whole group when the budget is spent."""
    print(f"== {name}: at most {minutes:g} minutes", flush=True)
    started = time.monotonic()
    process = subprocess.Popen(command, start_new_session=True)
    try:
        status = process.wait(timeout=minutes * 60)
    except subprocess.TimeoutExpired:
        status = TIMED_OUT
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
    used = (time.monotonic() - started) / 60
    verdict = "budget spent, stopped" if status == TIMED_OUT else "done" if status == 0 else f"failed ({status})"
    print(f"== {name}: {verdict}, {used:.1f} of {minutes:g} minutes", flush=True)
    return status


def main(arguments: list[str]) -> int:
    """Read the command line; return the command's exit status."""
    if len(arguments) < 4 or arguments[2] != "--":
        print(__doc__, file=sys.stderr)
        return 2
    return run(float(arguments[0]), arguments[1], arguments[3:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
