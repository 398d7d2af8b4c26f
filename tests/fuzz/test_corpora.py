"""Every fuzzer's seeds go through its harness; `make fuzz` goes on from them."""

import importlib.util
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "fuzz"
CORPUS = FOLDER / "corpus"


def harnesses() -> dict[str, Callable[[bytes], None]]:
    """Return the harnesses; fuzz/ is no package."""
    spec = importlib.util.spec_from_file_location("harnesses", FOLDER / "harnesses.py")
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, Callable[[bytes], None]] = module.HARNESSES
    return found


HARNESSES = harnesses()


@pytest.mark.parametrize("name", HARNESSES)
def test_every_seed_passes(name: str) -> None:
    seeds = sorted((CORPUS / name).iterdir())
    assert seeds
    for seed in seeds:
        HARNESSES[name](seed.read_bytes())


def test_every_corpus_has_its_harness() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} == {*HARNESSES, "websocket_core"}


@pytest.mark.slow
def test_every_seed_of_the_parser_in_c_passes_under_sanitizers(tmp_path: Path) -> None:
    program = tmp_path / "replay"
    sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    source = FOLDER / "websocket_core_fuzz.c"
    subprocess.run(["gcc", "-g", "-O1", "-DREPLAY", "-Wall", "-Wextra", *sanitizers, "-o", program, source], check=True)
    seeds = sorted(str(seed) for seed in (CORPUS / "websocket_core").iterdir())
    done = subprocess.run([program, *seeds], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{len(seeds)} inputs\n"), done.stderr
