"""A reader of event streams, written from the standard's own steps (WHATWG HTML, 9.2.5 and 9.2.6)."""

from __future__ import annotations

from typing import NamedTuple


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
        for byte in data:
            character = bytes((byte,))
            if self._after_cr and character == b"\n":
                self._after_cr = False
                continue
            self._after_cr = character == b"\r"
            if character in (b"\r", b"\n"):
                self._line(self._rest.decode("utf-8", "replace"), said)
                self._rest = b""
            else:
                self._rest += character
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
