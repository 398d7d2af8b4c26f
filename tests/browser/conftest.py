"""A hub with the built console, as `chappe demo` runs it, for the tests that drive Chromium."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

STATIC = Path(__file__).resolve().parents[2] / "src" / "chappe" / "console" / "static"


@pytest.fixture(scope="session")
def hub_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a demo hub on a free port; yield its address."""
    if not (STATIC / "index.html").is_file():
        pytest.fail("the console is not built: run `make setup` first")
    output = tmp_path_factory.mktemp("hub") / "demo.log"
    with output.open("w", encoding="utf-8") as log:
        command = [sys.executable, "-m", "chappe", "demo", "--port", "0"]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "LANG": "C.UTF-8"})
    try:
        yield address_of(process, output)
    finally:
        process.terminate()
        process.wait(timeout=15)


def address_of(process: subprocess.Popen[bytes], output: Path) -> str:
    """Wait until the hub says where it is; fail with its words when it ends instead."""
    while True:
        said = output.read_text(encoding="utf-8")
        if found := re.search(r"http://127\.0\.0\.1:[1-9]\d*", said):
            return found[0]
        try:
            process.wait(timeout=0.05)
        except subprocess.TimeoutExpired:
            continue
        pytest.fail(f"chappe demo ended with {process.returncode}: {said}")
