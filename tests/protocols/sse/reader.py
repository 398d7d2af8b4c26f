"""A reader of event streams, written from the standard's own steps (WHATWG HTML, 9.2.5 and 9.2.6)."""

from __future__ import annotations

import re
from typing import NamedTuple

_LINE_END = re.compile(rb"\r\n|\r|\n")


class Said(NamedTuple):
    """What a page is told of one event."""

    name: str
    data: str
    id: str


class EventReader:
    """Takes a stream apart.

    Attributes:
        last_id: what goes into `Last-Event-ID`.
        retry_ms: told by the stream; None: it said nothing.
        comments: how many came.
    """

    def __init__(self) -> None:
        self.last_id = ""
        self.retry_ms: int | None = None
        self.comments = 0
        self._rest = b""
        self._after_cr = False
        self._id = ""
        self._name = ""
        self._data: list[str] = []

    def feed(self, data: bytes) -> list[Said]:
        """Return the events that are complete now."""
        said: list[Said] = []
        if self._after_cr and data:
            # The CR ended a line already; with this LF it is still one end.
            data = data.removeprefix(b"\n")
            self._after_cr = False
        self._after_cr = data.endswith(b"\r") or (self._after_cr and not data)
        *lines, self._rest = _LINE_END.split(self._rest + data)
        for line in lines:
            self._line(line.decode("utf-8", "replace"), said)
        return said

    def _line(self, line: str, said: list[Said]) -> None:
        if not line:
            self.last_id = self._id
            if self._data:
                said.append(Said(self._name or "message", "\n".join(self._data), self.last_id))
            self._name, self._data = "", []
            return
        if line.startswith(":"):
            self.comments += 1
            return
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._name = value
        elif name == "id" and "\x00" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry_ms = int(value)
