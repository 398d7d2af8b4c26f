"""Chunks around event text."""

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.wire.sse import COMMENT, LAST_CHUNK, chunk


class Body:
    """Takes a response apart with somebody else's parser."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.ends = 0

    def on_body(self, part: bytes) -> None:
        self.parts.append(part)

    def on_message_complete(self) -> None:
        self.ends += 1


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=10))
def test_chunks_are_read_by_an_http_parser_as_they_were_written(texts: list[bytes]) -> None:
    body = Body()
    parser = httptools.HttpResponseParser(body)
    parser.feed_data(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for text in texts:
        parser.feed_data(chunk(text))
    before = body.ends
    parser.feed_data(LAST_CHUNK)
    assert (before, body.ends) == (0, 1)
    assert b"".join(body.parts) == b"".join(texts)


def test_nothing_is_no_chunk_as_that_would_end_the_body() -> None:
    with pytest.raises(AssertionError):
        chunk(b"")


def test_a_heartbeat_ends_no_event() -> None:
    assert COMMENT == b":\n"
