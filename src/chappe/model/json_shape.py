"""Which JSON text the hub carries: not too deep, not too wide, and with numbers that every reader can read."""

import re
from typing import Final

import msgspec

#: Deepest nesting and most object members by default; parsers of clients are recursive (CVE-2026-45591).
DEFAULT_MAX_DEPTH: Final = 32
DEFAULT_MAX_KEYS: Final = 1_000

# A string with its escapes, so that brackets inside strings do not count.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}:]', re.DOTALL)
# What a number looks like that may be too large for some reader: an exponent, or a run of digits that does not follow a
# quotation mark (identifiers and times in strings are common). Whether it is one is found out then. The pattern begins
# with what both have, a digit, which is searched for seven times as fast as one of two beginnings.
_LARGE_NUMBER = re.compile(rb'[0-9](?:[eE]|(?<![0-9"].)[0-9]{18})', re.DOTALL)
_NUMBER = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9]+(?![0-9.eE])', re.DOTALL)
#: What MessagePack and most languages have room for.
_SMALLEST: Final = -(2**63)
_LARGEST: Final = 2**64 - 1


def json_problem(text: bytes, max_depth: int = DEFAULT_MAX_DEPTH, max_keys: int = DEFAULT_MAX_KEYS) -> str | None:
    """Return why well-formed JSON text is not carried, or None.

    Cheap for what is right: two counts and one search.

    Args:
        text: JSON text that a parser has found well-formed, though perhaps without reading its numbers.
        max_depth: levels of arrays and objects.
        max_keys: object members in all.
    """
    if text[:1] == b'"':
        # A string, the whole of it: no shape and no number.
        return None
    if text.count(b"[") + text.count(b"{") > max_depth or text.count(b":") > max_keys:
        problem = _shape_problem(text, max_depth, max_keys)
        if problem is not None:
            return problem
    return _number_problem(text) if _LARGE_NUMBER.search(text) is not None else None


def _number_problem(text: bytes) -> str | None:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return str(error).lower().partition(" - at ")[0]
    for match in _NUMBER.finditer(text):
        token = match[0]
        # A number of more digits is not converted at all: Python refuses very long ones, and it is too large anyway.
        if token[:1] != b'"' and len(token) >= 19 and (len(token) > 21 or not _SMALLEST <= int(token) <= _LARGEST):
            return "an integer is beyond 64 bits"
    return None


def _shape_problem(text: bytes, max_depth: int, max_keys: int) -> str | None:
    depth = keys = 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in (b"{", b"["):
            depth += 1
            if depth > max_depth:
                return f"nested deeper than {max_depth} levels"
        elif token in (b"}", b"]"):
            depth -= 1
        elif token == b":":
            keys += 1
            if keys > max_keys:
                return f"more than {max_keys} members"
    return None
