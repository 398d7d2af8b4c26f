"""Fuzz one parser with atheris: run.py NAME SECONDS.

Begins from fuzz/corpus/NAME, keeps what it finds new in fuzz/found/NAME, and writes an input that fails to the working
directory, where it ends.
"""

import sys
from pathlib import Path

import atheris

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))

with atheris.instrument_imports(include=["chappe"]):
    from harnesses import HARNESSES


def main(name: str, seconds: str) -> None:
    """Run until the time is over or something is found."""
    found = FOLDER / "found" / name
    found.mkdir(parents=True, exist_ok=True)
    limits = [
        f"-max_total_time={seconds}",
        "-max_len=4096",
        "-rss_limit_mb=2048",
        "-timeout=10",
        "-print_final_stats=1",
    ]
    arguments = [sys.argv[0], *limits, f"-artifact_prefix={found}/crash-", str(found), str(FOLDER / "corpus" / name)]
    atheris.Setup(arguments, HARNESSES[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
