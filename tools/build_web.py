"""Build the JavaScript SDK and the console into src/chappe/console/static, with npm.

Run by the package build (setup.py) and by `make setup`; prints what it does, ends with one line when it cannot.
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STATIC = ROOT / "src" / "chappe" / "console" / "static"
SDK = ROOT / "clients" / "js"
# In this order: the console is built on the SDK.
PROJECTS = (SDK, ROOT / "web")
# A bundle without these is not whole.
EXPECTED = (STATIC / "index.html", STATIC / "chappe.js")


class BuildError(Exception):
    """The web bundle cannot be built; the text says what to do."""


def missing_files() -> list[str]:
    """Name the files of the bundle that are not there."""
    return [str(path.relative_to(ROOT)) for path in EXPECTED if not path.is_file()]


def install(project: Path, npm: str) -> None:
    """Install a project's npm packages as its lock file says, unless that was done since the lock file changed."""
    lock, done = project / "package-lock.json", project / "node_modules" / ".package-lock.json"
    if done.is_file() and done.stat().st_mtime >= max(
        path.stat().st_mtime for path in (lock, project / "package.json") if path.is_file()
    ):
        return
    run(project, npm, "ci" if lock.is_file() else "install", "--no-audit", "--no-fund")


def run(project: Path, *command: str) -> None:
    """Run a command in a project; raise BuildError if it fails."""
    print(f"web: {project.relative_to(ROOT)}: npm {' '.join(command[1:])}", flush=True)
    if subprocess.run(command, cwd=project, check=False).returncode != 0:
        raise BuildError(f"npm {' '.join(command[1:])} failed in {project.relative_to(ROOT)}, its output is above")


def build() -> None:
    """Build everything; raise BuildError when Node or a source is missing or a step fails."""
    npm = shutil.which("npm")
    if npm is None:
        raise BuildError(
            "the console has to be built and npm is not on PATH: install Node 20 or newer, "
            "or install a released wheel, which contains the built console"
        )
    for project in PROJECTS:
        if not (project / "package.json").is_file():
            raise BuildError(f"{project.relative_to(ROOT)}/package.json is missing: this is no complete source tree")
        install(project, npm)
        run(project, npm, "run", "build")
    # Last, since the console's build may have emptied the folder.
    if (SDK / "dist" / "chappe.js").is_file():
        STATIC.mkdir(parents=True, exist_ok=True)
        script = (SDK / "dist" / "chappe.js").read_bytes()
        (STATIC / "chappe.js").write_bytes(script)
        (STATIC / "chappe.js.gz").write_bytes(gzip.compress(script, 9, mtime=0))
    if missing := missing_files():
        raise BuildError(f"the build ended without {' and '.join(missing)}")


def build_if_needed() -> None:
    """Build when files are missing, or always with CHAPPE_BUILD_WEB=1; raise BuildError as `build` does."""
    if missing_files() or os.environ.get("CHAPPE_BUILD_WEB") == "1":
        build()


def main() -> int:
    """Build everything; return the exit status."""
    try:
        build()
    except BuildError as error:
        print(f"web: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
