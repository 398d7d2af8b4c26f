"""Streams of events on the wire: HTTP/1.1 chunks (RFC 9112, section 7.1) around event text."""

from typing import Final

MEDIA_TYPE: Final = "text/event-stream"
#: A heartbeat between two events. No blank line behind it: some readers take that for the end of an empty event.
COMMENT: Final = b":\n"
#: The end of a chunked body.
LAST_CHUNK: Final = b"0\r\n\r\n"


def chunk(text: bytes) -> bytes:
    """Return bytes as one chunk; empty ones would end the body."""
    assert text, "an empty chunk ends the body"
    return b"%x\r\n%b\r\n" % (len(text), text)
