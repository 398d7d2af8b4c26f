"""Build steps that pyproject.toml cannot say: Cython modules and the web bundle."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "tools"))

# CHAPPE_BUILD=debug is for tools/sanitize.py: assertions, and every bad access or undefined step ends the process.
IS_DEBUG = os.environ.get("CHAPPE_BUILD") == "debug"
OPTIMIZED = ("-O3",)
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
SANITIZED = ("-O1", "-g", "-UNDEBUG", "-fno-omit-frame-pointer", *SANITIZERS)

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


class BuildExt(build_ext):
    """Compiles with the switches of the compiler that is there."""

    def build_extensions(self) -> None:
        if self.compiler.compiler_type == "unix":
            flags = SANITIZED if IS_DEBUG else OPTIMIZED
            for extension in self.extensions:
                extension.extra_compile_args = [*extension.extra_compile_args, *flags]
                extension.extra_link_args = [*extension.extra_link_args, *(SANITIZERS if IS_DEBUG else ())]
        super().build_extensions()


def extensions() -> list[Extension]:
    """Translate every Cython module of the package; where no compiler is, the pure twins serve instead of them."""
    sources = sorted((ROOT / "src" / "chappe").rglob("*.pyx"))
    if not sources:
        return []
    from Cython.Build import cythonize

    compiled: list[Extension] = cythonize(
        [extension_of(source) for source in sources], language_level=3, include_path=["src"], build_dir="build/cython"
    )
    for extension in compiled:
        # cythonize passes neither of them on.
        extension.optional = not IS_DEBUG
        extension.depends = [*extension.depends, *beside(ROOT / "src" / "chappe" / "wire")]
    return compiled


def extension_of(source: Path) -> Extension:
    """Return the extension of one .pyx, built again when a header or declaration beside it changes."""
    relative = source.relative_to(ROOT)
    headers = [str(relative.parent), "src/chappe/wire"]
    name = ".".join(relative.with_suffix("").parts[1:])
    return Extension(name, [str(relative)], include_dirs=headers, depends=beside(source.parent))


def beside(folder: Path) -> list[str]:
    """List the headers and declarations of a folder."""
    found = [path for pattern in ("*.h", "*.pxd", "*.pxi") for path in folder.glob(pattern)]
    return sorted(str(path.relative_to(ROOT)) for path in found)


setup(
    ext_modules=extensions(),
    cmdclass={"build_py": BuildPyWithWeb, "build_ext": BuildExt, "sdist": SdistWithWeb},
)
