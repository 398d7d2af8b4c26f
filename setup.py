"""Build steps that pyproject.toml cannot say: Cython modules and the web bundle."""

from __future__ import annotations

import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "tools"))

import build_web  # noqa: E402  (tools/ is no package; it is on the path only now)


def ensure_web_bundle() -> None:
    """Build the web bundle where it is missing; end the build with one line when that is impossible."""
    try:
        build_web.build_if_needed()
    except build_web.BuildError as error:
        raise SystemExit(f"chappe: {error}") from None


class BuildPyWithWeb(build_py):
    """Puts the web bundle into the wheel; an editable install leaves it to `make setup`."""

    def run(self) -> None:
        if not self.editable_mode:
            ensure_web_bundle()
        super().run()


class SdistWithWeb(sdist):
    """Puts the built web bundle into the sdist, so that a wheel made from it needs no Node."""

    def run(self) -> None:
        ensure_web_bundle()
        super().run()


def extensions() -> list[Extension]:
    """Compile every Cython module of the package."""
    sources = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "src" / "chappe").rglob("*.pyx"))
    if not sources:
        return []
    from Cython.Build import cythonize

    compiled: list[Extension] = cythonize(sources, language_level=3)
    return compiled


setup(ext_modules=extensions(), cmdclass={"build_py": BuildPyWithWeb, "sdist": SdistWithWeb})
