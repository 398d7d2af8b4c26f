"""Channel names as subjects of NATS, and patterns as wildcard subjects.

A channel may have any text in its segments, a subject may not have dots, spaces or wildcards in its tokens. So each
segment is percent-encoded to one token, the empty segment is a bare `%`, and every name ends in the token `!`, which no
segment becomes: with it `a/#` is the one subject `a.>`, which matches `a` as well as what is below it. Two names never
share a subject.
"""

from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote

#: What a subject may have, bytes; the control line of a server is 4 KiB and holds a reply subject too.
MAX_SUBJECT_BYTES: Final = 2_048
_EMPTY: Final = "%"
_END: Final = "!"


@lru_cache(maxsize=65_536)
def subject_of(channel: str) -> str:
    """Return the tokens of a channel."""
    return ".".join([*map(_token, channel.split("/")), _END])


@lru_cache(maxsize=65_536)
def channel_of(subject: str) -> str:
    """Return the channel that `subject_of` made a subject from.

    Raises:
        ValueError: it was made from none.
    """
    *tokens, end = subject.split(".")
    channel = "/".join("" if token == _EMPTY else unquote(token, errors="surrogatepass") for token in tokens)
    if end != _END or subject_of(channel) != subject:
        raise ValueError("a subject that no channel has")
    return channel


def filter_of(pattern: str) -> str:
    """Return the subject that matches the subjects of all channels which a pattern (or a name) matches.

    It matches more in one case: a wildcard at the start does not match channels that begin with `$`, here it does.
    """
    segments = pattern.split("/")
    if segments[-1] == "#":
        return ".".join([*map(_filter_token, segments[:-1]), ">"])
    return ".".join([*map(_filter_token, segments), _END])


def _filter_token(segment: str) -> str:
    return "*" if segment == "+" else _token(segment)


def _token(segment: str) -> str:
    return quote(segment, safe="", errors="surrogatepass").replace(".", "%2E") or _EMPTY
