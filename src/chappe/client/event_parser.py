"""Server-Sent Events, read as WHATWG HTML 9.2.5 and 9.2.6 say; no I/O."""

import codecs
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from chappe.model.errors import LocalProtocolError

_LINE_END: Final = re.compile("\r\n|\n|\r")


class Event(NamedTuple):
    """One event; `name` is `message` if it has none of its own."""

    name: str
    data: str
    id: str


class EventParser:
    """Takes a stream in pieces, cut anywhere, and gives its events.

    Attributes:
        last_id: of the last event that had one.
        retry_ms: how long the server wants a reader to wait before it comes back; None: it did not say.
    """

    def __init__(self, max_event_bytes: int) -> None:
        self.last_id = ""
        self.retry_ms: int | None = None
        self._max_bytes = max_event_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._begun = False
        self._after_cr = False
        self._name = ""
        self._data: list[str] = []
        self._size = 0
        self._id = ""

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Give the events that a piece completes.

        Raises:
            LocalProtocolError: one event is larger than allowed.
        """
        text = self._decoder.decode(chunk)
        if not self._begun and text:
            self._begun = True
            text = text.removeprefix("\ufeff")
        if self._after_cr and text:
            # A CR was the end of a piece, and of a line; a LF behind it was the other half.
            text = text.removeprefix("\n")
            self._after_cr = False
        self._after_cr = self._after_cr or text.endswith("\r")
        text = self._rest + text
        begin = 0
        for end in _LINE_END.finditer(text):
            event = self._line(text[begin : end.start()])
            begin = end.end()
            if event is not None:
                yield event
        self._rest = text[begin:]
        if self._size + len(self._rest) > self._max_bytes:
            raise LocalProtocolError(f"an event of more than {self._max_bytes} bytes, expected fewer")

    def _line(self, line: str) -> Event | None:
        if not line:
            return self._dispatch()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "data":
                self._data.append(value)
                self._size += len(value)
            case "event":
                self._name = value
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry_ms = int(value[:9])
        return None

    def _dispatch(self) -> Event | None:
        self.last_id = self._id
        data, name = self._data, self._name
        self._data, self._name, self._size = [], "", 0
        return Event(name or "message", "\n".join(data), self.last_id) if data else None
