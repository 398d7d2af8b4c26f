"""What both codecs of WebSocket bound, and how a close reason is cut."""

from typing import Final

#: Fragments of one message, empty ones included (CVE-2026-48779: endless tiny fragments).
MAX_FRAGMENTS: Final = 64
#: Bytes of a close reason: a control frame has 125, the code takes two (RFC 6455, 5.5.1).
MAX_REASON_BYTES: Final = 123


def shorten_reason(reason: str) -> str:
    """Return a close reason that fits, cut at a character's edge."""
    return reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
