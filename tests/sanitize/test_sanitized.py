"""The native modules under AddressSanitizer and UBSan: the short form of `make sanitize`."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SHORT = ["tests/wire", "tests/transports/native", "tests/transports/test_websocket.py"]

BROKEN = """
from libc.stdlib cimport free, malloc

def read_late():
    cdef char *memory = <char *> malloc(4)
    free(memory)
    return memory[0]

def shift(int bits):
    return 1 << bits
"""
"""What the sanitizers must find, or their silence would say nothing."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def sanitize() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sanitize", ROOT / "tools" / "sanitize.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory, sanitize: ModuleType) -> Path:
    """Return a copy of the tree whose native modules are a debug build, a broken one among them."""
    folder = tmp_path_factory.mktemp("sanitized")
    sanitize.copy_to(folder)
    (folder / "src" / "chappe" / "_broken.pyx").write_text(BROKEN, encoding="utf-8")
    # The load generator is no part of a hub: leaving it out saves a third of the build.
    (folder / "src" / "chappe" / "bench" / "_load.pyx").unlink()
    sanitize.build(folder)
    return folder


def run(sanitize: ModuleType, copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    environment = {**sanitize.environment_for(copy), "HYPOTHESIS_PROFILE": "quick"}
    return subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("call", "report"),
    [("read_late()", "heap-use-after-free"), ("shift(40)", "shift exponent 40 is too large")],
)
def test_what_is_broken_ends_the_run(sanitize: ModuleType, copy: Path, call: str, report: str) -> None:
    done = run(sanitize, copy, "-c", f"import chappe._broken as broken; broken.{call}")
    assert done.returncode != 0
    assert report in done.stderr


def test_the_native_modules_pass_their_tests(sanitize: ModuleType, copy: Path) -> None:
    done = run(sanitize, copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", *SHORT)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
