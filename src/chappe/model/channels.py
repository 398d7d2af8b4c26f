"""Channel names and patterns: one grammar for every protocol.

A channel name is an MQTT topic name and a pattern is an MQTT topic filter (MQTT 5, section 4.7): segments joined by
``/``, empty segments legal, ``+`` for one segment, ``#`` for all that follow, and no wildcard at the start matching a
name that begins with ``$``.
"""

import re
from typing import Final

from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError

#: Bytes of UTF-8 a name may have: MQTT allows 65,535; 255 keeps keys of engines and metrics short.
DEFAULT_MAX_CHANNEL_BYTES: Final = 255
#: The most that MQTT's two-byte length can carry.
MAX_CHANNEL_BYTES: Final = 65_535

# C0, DEL and C1 controls, and the surrogates that no well-formed UTF-8 contains (MQTT 5, 1.5.4).
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_WILDCARD = re.compile("[+#]")


def check_channel(name: str, max_bytes: int = DEFAULT_MAX_CHANNEL_BYTES) -> None:
    """Refuse what is no channel name.

    Args:
        name: the name as a client sent it.
        max_bytes: the most bytes of UTF-8, 1 to 65,535.
    Raises:
        ChappeError: 107, `detail` names the field `channel`; the text says what is wrong.
    """
    _check_text(name, max_bytes)
    if _WILDCARD.search(name):
        raise _bad_channel("a channel name may not contain + or #")


def check_pattern(pattern: str, max_bytes: int = DEFAULT_MAX_CHANNEL_BYTES) -> None:
    """Refuse what is no pattern (MQTT 5, 4.7.1).

    Raises:
        ChappeError: 107, `detail` names the field `channel`.
    """
    _check_text(pattern, max_bytes)
    segments = pattern.split("/")
    for index, segment in enumerate(segments):
        if "#" in segment and (segment != "#" or index != len(segments) - 1):
            raise _bad_channel("# must be the last segment of a pattern, alone in it")
        if "+" in segment and segment != "+":
            raise _bad_channel("+ must stand alone in its segment of a pattern")


def is_pattern(name: str) -> bool:
    """Tell whether a name has wildcards and so is a pattern (or no name at all)."""
    return _WILDCARD.search(name) is not None


def namespace_of(channel: str) -> str:
    """Return the first segment, which selects the namespace."""
    return channel.partition("/")[0]


def pattern_matches(pattern: str, channel: str) -> bool:
    """Tell whether a pattern matches a channel, segment by segment (MQTT 5, 4.7.2 and 4.7.3)."""
    if channel.startswith("$") and pattern[:1] in ("+", "#"):
        return False
    wanted = pattern.split("/")
    segments = channel.split("/")
    for index, segment in enumerate(wanted):
        if segment == "#":
            return True
        if index >= len(segments) or segment not in ("+", segments[index]):
            return False
    # "sport/#" also matches its parent "sport" (4.7.1.2); that case returned above only if the parent had a segment
    # left, so it is the loop that reaches "#" one past the end. Here every segment was used.
    return len(wanted) == len(segments)


def patterns_intersect(one: str, other: str) -> bool:
    """Tell whether there is a channel that both patterns (or names) match."""
    if "$" in (one[:1], other[:1]) and {one[:1], other[:1]} & {"+", "#"}:
        return False
    left, right = one.split("/"), other.split("/")
    for index in range(max(len(left), len(right))):
        mine = left[index] if index < len(left) else None
        theirs = right[index] if index < len(right) else None
        if mine == "#" or theirs == "#":
            # "sport/#" also matches "sport", so the other may end right here, and not before.
            return True
        if mine is None or theirs is None:
            return False
        if mine != theirs and "+" not in (mine, theirs):
            return False
    return True


def _check_text(name: str, max_bytes: int) -> None:
    if not name:
        raise _bad_channel("a channel name is empty, expected 1 byte or more")
    if _FORBIDDEN.search(name):
        raise _bad_channel("a channel name contains a control character or a lone surrogate")
    size = len(name.encode())
    if size > max_bytes:
        raise _bad_channel(f"a channel name has {size} bytes, expected {max_bytes} or fewer")


def _bad_channel(reason: str) -> ChappeError:
    return ChappeError(Code.BAD_REQUEST, reason, detail={"field": "channel"})
