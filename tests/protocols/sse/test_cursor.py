"""Cursors come back as they went, and garbage is never taken for one."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.model.position import Position
from chappe.protocols.base import SincePosition
from chappe.protocols.sse.cursor import MAX_CURSOR_BYTES, Cursor, cursor_of, key_of, parse_cursor, place_in

CHANNEL = st.text(st.characters(codec="utf-8", exclude_characters="+#"), min_size=1, max_size=60)
EPOCH = st.text(st.characters(codec="utf-8"), min_size=1, max_size=10)
OFFSET = st.integers(0, 2**63 - 1)
NOWHERE = SincePosition()


@given(st.dictionaries(CHANNEL, st.tuples(EPOCH, OFFSET), max_size=20), st.dictionaries(CHANNEL, EPOCH, max_size=5))
def test_a_cursor_comes_back_as_it_went(channels: dict[str, tuple[str, int]], patterns: dict[str, str]) -> None:
    cursor = Cursor()
    for channel, (epoch, offset) in channels.items():
        cursor.move(channel, Position(epoch, offset))
    for pattern, position in patterns.items():
        cursor.move_in_log(f"{pattern}/#", position)
    text = cursor.encode().decode("ascii")
    assert re.fullmatch(r"[A-Za-z0-9_.~%:,-]+", text)
    places = parse_cursor(text)
    for channel, (epoch, offset) in channels.items():
        assert place_in(places, channel) == SincePosition(epoch, offset)
    for pattern, position in patterns.items():
        assert place_in(places, f"{pattern}/#") == SincePosition(position=position)
    assert place_in(places, "of another stream\x01") is None


@given(CHANNEL, EPOCH, OFFSET)
def test_a_stream_of_one_channel_has_the_cursor_of_any_stream(channel: str, epoch: str, offset: int) -> None:
    cursor = Cursor()
    cursor.move(channel, Position(epoch, offset))
    assert cursor_of(channel, Position(epoch, offset)) == cursor.encode()


@given(st.text() | st.from_regex(r"([A-Za-z0-9_-]{7,9}[:~][a-f0-9%]{0,3}(:[0-9]{0,20})?,?){0,4}", fullmatch=True))
def test_garbage_is_malformed_or_a_cursor_and_nothing_else(text: str) -> None:
    places = parse_cursor(text)
    if places is None:
        assert place_in(places, "a") == NOWHERE
        assert place_in(places, "a/#") == SincePosition(position="")
    else:
        assert all(place.position is not None or 0 <= place.offset < 2**63 for place in places.values())


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ",",
        "7",
        f"{key_of('a')}:x:1,",
        f"{key_of('a')}:x:1,{key_of('a')}:x:2",
        f"{key_of('a')}:x:-1",
        f"{key_of('a')}:x:9223372036854775808",
        f"{key_of('a')}:x:٣",
        f"{key_of('a')}::1",
        f"{key_of('a')}:x:1:1",
        f"{key_of('a')}:x:1\n",
        ",".join(f"{key_of(str(number))}:{'e' * 20}:1" for number in range(1_000)),
        "x" * 10_000_000,
    ],
)
def test_what_is_no_cursor_is_malformed(text: str) -> None:
    assert parse_cursor(text) is None


def test_a_cursor_of_nowhere_is_no_empty_id() -> None:
    assert Cursor().encode() == b"-"
    assert parse_cursor("-") == {}


def test_a_place_of_the_other_kind_is_one_that_no_broker_knows() -> None:
    cursor = Cursor()
    cursor.move("a", Position("x", 1))
    forged = parse_cursor(cursor.encode().decode().replace(key_of("a"), key_of("a/#")))
    assert place_in(forged, "a/#") == SincePosition(position="")


def test_a_hundred_channels_fit_into_the_head_of_a_request() -> None:
    cursor = Cursor()
    for number in range(100):
        cursor.move(f"{number}/" + "é" * 120, Position("0123456789abcdef", 2**63 - 1))
    assert len(cursor.encode()) < MAX_CURSOR_BYTES


def test_a_channel_that_is_forgotten_is_in_no_cursor() -> None:
    cursor = Cursor()
    cursor.move("a", Position("x", 1))
    cursor.forget("a")
    cursor.forget("b")
    assert cursor.encode() == b"-"
