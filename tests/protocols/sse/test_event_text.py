"""Events as text, read back by a reader written from the standard."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.protocols.sse.event_text import SILENCE, data_field, event, field
from tests.protocols.sse.reader import EventReader, Said

TEXT = st.text(st.characters(codec="utf-8"))
LINE = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\x00"), min_size=1)


def as_lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


@given(TEXT, st.none() | LINE, st.none() | LINE)
def test_an_event_is_read_as_it_was_written(payload: str, name: str | None, identity: str | None) -> None:
    text = event(payload.encode(), (name or "").encode(), (identity or "").encode())
    reader = EventReader()
    said = reader.feed(SILENCE + text + SILENCE)
    assert said == [Said(name or "message", as_lines(payload), identity or "")]


@given(TEXT, st.data())
def test_the_cut_between_two_reads_does_not_matter(payload: str, data: st.DataObject) -> None:
    text = event(payload.encode(), id=b"7")
    cut = data.draw(st.integers(0, len(text)))
    reader = EventReader()
    assert reader.feed(text[:cut]) + reader.feed(text[cut:]) == [Said("message", as_lines(payload), "7")]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_line_end_in_a_payload_begins_no_field_of_its_own(end: str) -> None:
    payload = f"a{end}id: 9{end}event: admin{end}{end}data: b"
    (said,) = EventReader().feed(event(payload.encode(), id=b"1"))
    assert (said.name, said.id) == ("message", "1")
    assert data_field(payload.encode()).count(b"data: ") == 6


@pytest.mark.parametrize("value", [b"a\nb", b"a\rb", b"a\x00b"])
def test_a_name_or_id_with_a_line_end_or_nul_is_refused(value: bytes) -> None:
    for name in (b"id", b"event"):
        with pytest.raises(ValueError, match="line end or NUL"):
            field(name, value)


def test_the_time_to_come_back_is_told_in_digits() -> None:
    reader = EventReader()
    reader.feed(event(b"x", retry_ms=2_500))
    assert reader.retry_ms == 2_500
