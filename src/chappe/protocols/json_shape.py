"""How deep and how wide JSON may be, checked without building it (CVE-2026-45591: deep nesting)."""

import re

# A string with its escapes, so that brackets inside strings do not count.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}:]', re.DOTALL)


def exceeds_shape(text: bytes, max_depth: int, max_keys: int) -> str | None:
    """Return what is too much about well-formed JSON text, or None.

    Args:
        text: JSON text; only counted when the bare number of brackets or colons could be too much.
        max_depth: levels of arrays and objects.
        max_keys: object members in all.
    """
    if text.count(b"[") + text.count(b"{") <= max_depth and text.count(b":") <= max_keys:
        return None
    depth = keys = 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in (b"{", b"["):
            depth += 1
            if depth > max_depth:
                return f"JSON is nested deeper than {max_depth} levels"
        elif token in (b"}", b"]"):
            depth -= 1
        elif token == b":":
            keys += 1
            if keys > max_keys:
                return f"JSON has more than {max_keys} members"
    return None
