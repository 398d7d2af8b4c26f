"""What a decoder says of malformed input: a code, the field to blame, and the id of the message."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.model.error_codes import Code
from chappe.protocols.validation import bad_message, bad_request, explain, identifier, scan_identifier

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "a", "b", '"id":7']), inner),
    max_leaves=12,
)


class Inner(msgspec.Struct):
    offset: int


class Outer(msgspec.Struct, tag_field="type", tag="outer"):
    id: int
    inner: Inner | None = None
    names: dict[str, str] | None = None


class Other(msgspec.Struct, tag_field="type", tag="other"):
    id: int


def error_of(text: str) -> Exception:
    with pytest.raises(msgspec.DecodeError) as caught:
        msgspec.json.decode(text, type=Outer | Other)
    return caught.value


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('{"type":"outer"}', "id"),
        ('{"type":"outer","id":"x"}', "id"),
        ('{"type":"outer","id":1,"inner":{}}', "inner.offset"),
        ('{"type":"outer","id":1,"inner":{"offset":"x"}}', "inner.offset"),
        ('{"type":"outer","id":1,"inner":3}', "inner"),
        ('{"type":"outer","id":1,"names":{"a":1}}', "names"),
        ('{"type":"outer","id":1,"names":[]}', "names"),
        ("{}", "type"),
        ('{"type":1}', "type"),
    ],
)
def test_ch_2_6_the_error_names_the_field(text: str, field: str) -> None:
    error = explain(error_of(text))
    assert error.code == Code.BAD_REQUEST
    assert error.detail["field"] == field
    assert error.reason == f"{field}: {error.detail['problem']}"
    assert error.reason == error.reason[0].lower() + error.reason[1:]


@pytest.mark.parametrize("kind", [None, "nope"])
def test_ch_2_3_an_unknown_type_is_named(kind: str | None) -> None:
    error = explain(error_of('{"type":"nope","id":1}'), kind)
    assert (error.code, error.detail) == (Code.UNKNOWN_COMMAND, {"type": "nope"})


def test_ch_2_3_a_long_type_is_cut() -> None:
    assert explain(error_of('{"type":"%s"}' % ("x" * 500)), "x" * 500).detail == {"type": "x" * 64}


@pytest.mark.parametrize("text", ["", "{", "[", "x", '{"type":"outer"'])
def test_ch_2_6_where_no_field_is_to_blame_the_problem_is_told(text: str) -> None:
    error = explain(error_of(text))
    assert error.code == Code.BAD_REQUEST
    assert error.detail == {"problem": error.reason}


def test_deep_nesting_is_a_problem_of_the_message() -> None:
    assert explain(RecursionError("maximum recursion depth exceeded")).reason == "the message is nested too deep"


def test_problems_are_worded_for_fields_and_for_messages() -> None:
    assert bad_request("data", "is missing").detail == {"field": "data", "problem": "is missing"}
    assert bad_message("is no object").detail == {"problem": "is no object"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [({"id": 3}, 3), ({"id": 0}, 0), ({"id": True}, None), ({"id": "3"}, None), ({"id": 3.0}, None), ({}, None)],
)
def test_ch_2_4_only_an_integer_is_an_id(fields: Any, expected: int | None) -> None:
    assert identifier(fields) == expected


@pytest.mark.parametrize("value", [None, 3, "id", [3], [{"id": 3}]])
def test_what_is_no_object_has_no_id(value: Any) -> None:
    assert identifier(value) is None


@given(JSON)
def test_ch_2_6_scanning_finds_the_id_that_a_parser_finds(value: Any) -> None:
    expected = identifier(value)
    for indent in (None, 1):
        assert scan_identifier(json.dumps(value, indent=indent).encode()) == expected


@given(st.integers(-(10**12), 10**12), JSON, st.data())
def test_ch_2_6_an_id_is_found_however_the_rest_breaks_off(number: int, rest: Any, data: st.DataObject) -> None:
    text = json.dumps({"id": number, "rest": rest}).encode()
    cut = data.draw(st.integers(text.index(b",") + 1, len(text)))
    assert scan_identifier(text[:cut]) == number


@given(st.binary(max_size=300))
def test_scanning_never_raises(data: bytes) -> None:
    assert scan_identifier(data) is None or b'"id"' in data


@pytest.mark.parametrize(
    "text",
    [
        b'{"id":1e3}',
        b'{"id":1.5}',
        b'{"id":"5"}',
        b'{"id":null}',
        b'{"a":{"id":5}}',
        b'{"a":"id","b":5}',
        b'[{"id":5}]',
        b'{"id":%b}' % (b"9" * 400),
        b'{"a":"%b","id":5}' % (b"x" * 5_000),
    ],
)
def test_what_is_no_id_is_not_taken_for_one(text: bytes) -> None:
    assert scan_identifier(text) is None
