"""Hubs with the built console for the tests that drive Chromium: as `chappe demo` runs it, and mounted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "src" / "chappe" / "console" / "static"


@pytest.fixture(scope="session")
def hub_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a demo hub on a free port; yield its address."""
    with serving(tmp_path_factory.mktemp("hub"), "chappe", "demo", "--port", "0") as url:
        yield url


@pytest.fixture(scope="session")
def mounted_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a FastAPI application with a hub mounted below a path; yield the address of the hub."""
    with serving(tmp_path_factory.mktemp("mounted"), "uvicorn", "examples.fastapi_mount:app", "--port", "0") as url:
        yield f"{url}/realtime"


@contextmanager
def serving(folder: Path, module: str, *arguments: str) -> Iterator[str]:
    """Run a Python module that serves HTTP until the end of the block; yield the address it prints."""
    if not (STATIC / "index.html").is_file():
        pytest.fail("the console is not built: run `make setup` first")
    output = folder / "output.log"
    with output.open("w", encoding="utf-8") as log:
        command = [sys.executable, "-m", module, *arguments]
        environment = {**os.environ, "LANG": "C.UTF-8"}
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield address_of(process, output)
    finally:
        process.terminate()
        process.wait(timeout=15)


def address_of(process: subprocess.Popen[bytes], output: Path) -> str:
    """Wait until the server says where it is; fail with its words when it ends instead."""
    while True:
        said = output.read_text(encoding="utf-8")
        if found := re.search(r"http://127\.0\.0\.1:[1-9]\d*", said):
            return found[0]
        try:
            process.wait(timeout=0.05)
        except subprocess.TimeoutExpired:
            continue
        pytest.fail(f"the server ended with {process.returncode}: {said}")
