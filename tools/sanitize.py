"""Run tests on a debug build of the native modules, under AddressSanitizer and UBSan: sanitize.py TESTS...

The build happens in a copy, so that the installed modules stay as they are. Exits with the status of pytest; a bad
access or undefined behaviour ends the run with its report.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("src", "tests", "spec", "examples", "tools", "setup.py", "pyproject.toml", "README.md", "LICENSE")
"""What the build and the tests read."""

TESTS = ("tests/wire", "tests/transports", "tests/protocols/mqtt", "tests/hostile/test_frames.py")
"""Those of everything native."""

LEFT_OUT = shutil.ignore_patterns("*.so", "*.c", "__pycache__", "node_modules", "static")


def copy_to(folder: Path) -> None:
    """Copy the sources, without what was built from them."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=LEFT_OUT)
        else:
            shutil.copy(source, folder / name)


def build(folder: Path) -> None:
    """Compile the native modules of a copy in place, with assertions and sanitizers.

    Raises:
        subprocess.CalledProcessError: they do not compile; the compiler's words are in its `stderr`.
    """
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace", "--parallel", "2"]
    environment = {**os.environ, "CHAPPE_BUILD": "debug"}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)


def environment_for(folder: Path) -> dict[str, str]:
    """Return what a Python needs to load the modules of a copy."""
    library = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], check=True, capture_output=True, text=True
    ).stdout.strip()
    return {
        **os.environ,
        "LD_PRELOAD": library,
        # Python itself keeps memory to its end, which is no leak of ours.
        "ASAN_OPTIONS": "detect_leaks=0:halt_on_error=1:abort_on_error=0:exitcode=99",
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1:exitcode=99",
        # Python's own allocator would hide accesses beyond an object in its pools.
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(folder / "src"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def run(folder: Path, arguments: list[str]) -> subprocess.CompletedProcess[bytes]:
    """Run Python with some arguments on the modules of a copy."""
    return subprocess.run([sys.executable, *arguments], cwd=folder, env=environment_for(folder), check=False)


def main(tests: list[str]) -> int:
    """Build and run; return the exit status."""
    with tempfile.TemporaryDirectory(prefix="chappe-sanitize-") as name:
        folder = Path(name)
        copy_to(folder)
        try:
            build(folder)
        except subprocess.CalledProcessError as error:
            print(error.stderr[-3000:], file=sys.stderr)
            return 1
        return run(folder, ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout", "300", *tests]).returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:] or list(TESTS)))
