"""Server-Sent Events, however the network cuts them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.client.event_parser import Event, EventParser
from chappe.model.errors import LocalProtocolError


def read(*chunks: bytes) -> list[Event]:
    parser = EventParser(1_000)
    return [event for chunk in chunks for event in parser.feed(chunk)]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: one\n\n", [Event("message", "one", "")]),
        (b"\xef\xbb\xbfdata:one\r\n\r\ndata:two\r\r", [Event("message", "one", ""), Event("message", "two", "")]),
        (b"event: reply\ndata: a\ndata:  b\nid: 7\n\n", [Event("reply", "a\n b", "7")]),
        (b": heartbeat\n\nid: 1\n\ndata\n\n", [Event("message", "", "1")]),
        (b"id: bad\0id\nretry: soon\nnonsense: x\ndata: d\n\n", [Event("message", "d", "")]),
        (b"event: gone\n\ndata: d\n\ndata: unfinished", [Event("message", "d", "")]),
        (b"data: \xff\n\n", [Event("message", "\ufffd", "")]),
    ],
)
def test_a_stream_is_read_as_the_standard_says(stream: bytes, events: list[Event]) -> None:
    assert read(stream) == events
    assert read(*(bytes([byte]) for byte in stream)) == events


@given(st.binary(max_size=60), st.integers(0, 60))
def test_where_it_is_cut_makes_no_difference(stream: bytes, place: int) -> None:
    stream = stream.replace(b"a", b"\n").replace(b"b", b"data:").replace(b"c", b"\r")
    assert read(stream[:place], stream[place:]) == read(stream)


def test_the_wait_before_coming_back_is_kept() -> None:
    parser = EventParser(1_000)
    assert list(parser.feed(b"retry: 2740\n\n")) == []
    assert parser.retry_ms == 2740


@pytest.mark.parametrize("stream", [b"data: " + b"x" * 2_000, b"data: xxxxxxxx\n" * 200])
def test_an_event_that_never_ends_is_refused(stream: bytes) -> None:
    with pytest.raises(LocalProtocolError, match="expected fewer"):
        read(stream)
