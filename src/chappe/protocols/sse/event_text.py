"""Events as text (WHATWG HTML, section 9.2)."""

import re
from typing import Final

#: A comment, which readers pass over.
SILENCE: Final = b":\n"
#: What ends a line (9.2.5); a lone CR does too, so that one inside a payload could begin a field of its own.
_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
#: What would end the line of an id or a name; a NUL makes readers ignore the id.
_FORBIDDEN: Final = re.compile(rb"[\r\n\x00]")


def data_field(payload: bytes) -> bytes:
    """Return a payload as `data` lines, one for each of its own lines; readers join them with LF again."""
    if b"\n" not in payload and b"\r" not in payload:
        return b"data: %b\n" % payload
    return b"".join(b"data: %b\n" % line for line in _LINE_END.split(payload))


def field(name: bytes, value: bytes) -> bytes:
    """Return one line such as `id: 7`.

    Raises:
        ValueError: the value has CR, LF or NUL.
    """
    if _FORBIDDEN.search(value):
        raise ValueError(f"a line end or NUL in the field {name.decode()}")
    return b"%b: %b\n" % (name, value)


def event(payload: bytes, name: bytes = b"", id: bytes = b"", retry_ms: int | None = None) -> bytes:  # noqa: A002
    """Return a whole event; without a name readers call it `message`, without an id they keep the last one.

    Raises:
        ValueError: the name or the id has CR, LF or NUL.
    """
    parts = [field(b"event", name) if name else b"", data_field(payload)]
    if retry_ms is not None:
        parts.append(b"retry: %d\n" % retry_ms)
    if id:
        parts.append(field(b"id", id))
    parts.append(b"\n")
    return b"".join(parts)
