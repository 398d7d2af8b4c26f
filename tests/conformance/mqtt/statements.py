"""The numbered statements of both specifications, and what shows that each holds."""

import tomllib
from pathlib import Path
from typing import Final

import msgspec

FOLDER: Final = Path(__file__).resolve().parent
FILES: Final = {"5.0": "statements_5.toml", "3.1.1": "statements_3.toml"}


class Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One statement, in our words.

    Attributes:
        tests: files under tests/ and the test in each.
        vectors: names in spec/vectors/mqtt.packets.json.
        same: the label of 5.0 that says the same, and is shown by the same.
        reason: why it does not apply; else empty.
    """

    says: str
    tests: tuple[str, ...] = ()
    vectors: tuple[str, ...] = ()
    same: str = ""
    reason: str = ""


def load(version: str) -> dict[str, Statement]:
    """Return the statements of a version by label, in the order of the specification."""
    text = (FOLDER / FILES[version]).read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), dict[str, Statement])
