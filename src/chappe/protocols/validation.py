"""What a decoder says of malformed input, as our errors."""

import re
from typing import Any, Final

from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError

_MISSING = re.compile(r"missing required field `([^`]*)`")
_UNKNOWN = re.compile(r"Invalid value '(.*)' - at `\$\.type`$", re.DOTALL)
# The name of the member a msgspec path begins with: a client knows `params`, not `$.params[...][0]`.
_PATH = re.compile(r" - at `(?:key` in `)?\$?(?:\.?([A-Za-z_.]+))?[^`]*`$")
# JSON tokens that matter for finding a member of the outermost object: whole strings, punctuation, numbers.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}:,]|-?\d[\d.eE+-]*', re.DOTALL)
#: Bytes looked through for it: ids come first, and a megabyte of brackets would hold everybody up.
_SCANNED_BYTES: Final = 4_096
#: Digits of an id that is looked for in what is no message: more are no id of anybody's.
_ID_DIGITS: Final = 20


def bad_request(field: str, problem: str) -> ChappeError:
    """Return error 107 that names a field and says what is wrong with it."""
    return ChappeError(Code.BAD_REQUEST, f"{field}: {problem}", detail={"field": field, "problem": problem})


def bad_message(problem: str) -> ChappeError:
    """Return error 107 about a message as a whole, where no field can be named."""
    return ChappeError(Code.BAD_REQUEST, problem, detail={"problem": problem})


def explain(error: Exception, kind: object = None) -> ChappeError:
    """Turn a msgspec error into 104 (unknown command) or 107 (which names the field).

    Args:
        error: what msgspec raised.
        kind: the frame's `type`, as far as it could be read.
    """
    text = str(error)
    path = _PATH.search(text)
    field = (path.group(1) or "") if path else ""
    if missing := _MISSING.search(text):
        name = f"{field}.{missing.group(1)}" if field else missing.group(1)
        return bad_request(name, "is missing")
    if kind is None and (unknown := _UNKNOWN.match(text)):
        kind = unknown[1]
    if field == "type" and isinstance(kind, str):
        return ChappeError(Code.UNKNOWN_COMMAND, f"unknown command {kind[:64]!r}", detail={"type": kind[:64]})
    if path and field:
        return bad_request(field, _PATH.sub("", text).lower())
    if isinstance(error, RecursionError):
        return bad_message("the message is nested too deep")
    return bad_message(f"malformed message: {_PATH.sub('', text)}")


def identifier(fields: Any) -> int | None:
    """Return the `id` of a decoded frame if it is one that an answer can carry."""
    value = fields.get("id") if isinstance(fields, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def scan_identifier(text: bytes) -> int | None:
    """Return the `id` of the outermost object of JSON text that no parser takes: its sender waits for an answer.

    Looks at tokens only and so finds it in text that breaks off, nests too deep or has numbers nobody can read.
    """
    depth = 0
    expected: list[bytes] = []
    for match in _TOKEN.finditer(text[:_SCANNED_BYTES]):
        token = match[0]
        if token in b"[{":
            depth += 1
        elif token in b"]}":
            depth -= 1
        if depth != 1 or token in b"{,":
            expected = []
        elif len(expected) < 3:
            expected.append(token)
        if expected[:2] == [b'"id"', b":"] and len(expected) == 3:
            digits = expected[2]
            return int(digits) if digits.lstrip(b"-").isdigit() and len(digits) <= _ID_DIGITS else None
    return None
