"""The JSON of tokens: one reading only, and none that a reader could choke on."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.auth.claims import read_object
from chappe.model.errors import ChappeError


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b'{"sub":"ada","sub":"eve"}', "a member comes twice"),
        (b'{"sub":"ada","s\\u0075b":"eve"}', "a member comes twice"),
        (b'{"chappe":{"publish":[],"publish":["#"]}}', "a member comes twice"),
        (b'{"a":[{"b":1,"b":1}]}', "a member comes twice"),
        (b'{"a":' + b"[" * 40 + b"]" * 40 + b"}", "nested deeper than 32 levels"),
        (b"{" + b",".join(b'"%d":0' % n for n in range(1_001)) + b"}", "more than 1000 members"),
        (b'{"exp":' + b"9" * 30 + b"}", "an integer is beyond 64 bits"),
        (b"[" * 10_000, "malformed token"),
        (b'{"a":NaN}', "malformed token"),
        (b"[]", "malformed token"),
        (b"", "malformed token"),
        (b"\xff", "malformed token"),
        (b'{"a":1} {', "malformed token"),
    ],
)
def test_what_two_readers_could_read_differently_is_refused(text: bytes, problem: str) -> None:
    with pytest.raises(ChappeError) as caught:
        read_object(text)
    assert (caught.value.code, caught.value.detail["problem"]) == (101, problem)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), JSON, max_size=5))
def test_any_other_object_is_read_as_it_is(value: dict[str, object]) -> None:
    assert read_object(json.dumps(value).encode()) == value
