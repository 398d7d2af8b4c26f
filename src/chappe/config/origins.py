"""Name the source that a setting came from."""

from typing import Literal

import msgspec

Source = Literal["default", "preset", "dev", "file", "environment", "flag"]


class Origin(msgspec.Struct, frozen=True):
    """Tell where a value came from; `name` is the file, the variable, the flag or the preset."""

    source: Source
    name: str = ""

    def __str__(self) -> str:
        return self.name or self.source


DEFAULT = Origin("default")
