"""What a decoder says of malformed input, as our errors."""

import re
from typing import Any

from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError

_MISSING = re.compile(r"missing required field `([^`]*)`")
_PATH = re.compile(r" - at `(?:\$\.?)?(?:\[\.\.\.\]\.?)?([^`]*)`$")


def bad_request(field: str, problem: str) -> ChappeError:
    """Return error 107 that names a field and says what is wrong with it."""
    return ChappeError(Code.BAD_REQUEST, f"{field}: {problem}", detail={"field": field, "problem": problem})


def explain(error: Exception, kind: object = None) -> ChappeError:
    """Turn a msgspec error into 104 (unknown command) or 107 (which names the field).

    Args:
        error: what msgspec raised.
        kind: the frame's `type`, as far as it could be read.
    """
    text = str(error)
    path = _PATH.search(text)
    field = path.group(1) if path else ""
    if missing := _MISSING.search(text):
        name = f"{field}.{missing.group(1)}" if field else missing.group(1)
        return bad_request(name, "is missing")
    if field == "type" and isinstance(kind, str):
        return ChappeError(Code.UNKNOWN_COMMAND, f"unknown command {kind[:64]!r}", detail={"type": kind[:64]})
    if path and field:
        return bad_request(field, _PATH.sub("", text).lower())
    if isinstance(error, RecursionError):
        return ChappeError(Code.BAD_REQUEST, "the message is nested too deep")
    return ChappeError(Code.BAD_REQUEST, f"malformed message: {_PATH.sub('', text)}")


def identifier(fields: Any) -> int | None:
    """Return the `id` of a decoded frame if it is one that an answer can carry."""
    value = fields.get("id") if isinstance(fields, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None
