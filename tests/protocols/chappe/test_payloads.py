"""What a publisher's `data` stands for."""

import base64
import datetime
import json
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chappe.model.publication import Kind, Publication
from chappe.protocols.chappe.payloads import from_base64, from_msgpack, shape_problem

DEPTH, KEYS = 32, 1_000
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


def pack(value: Any) -> bytes:
    return msgspec.msgpack.encode(value)


@given(st.binary(max_size=100), st.sampled_from([None, 0, 2]))
def test_ch_6_2_bytes_are_published_as_they_are_received(data: bytes, indent: int | None) -> None:
    text = json.dumps({"$base64": base64.b64encode(data).decode()}, indent=indent).encode()
    assert from_base64(text) == (data, Kind.BINARY)


@given(st.binary(max_size=60))
def test_ch_6_3_what_a_json_client_gets_for_bytes_it_can_publish_again(data: bytes) -> None:
    # Raw bytes that are this very JSON text are that value (interfaces): they stand for what they say.
    assume(b"$base64" not in data)
    publication = Publication("a", data, Kind.BINARY, 1, "x", 0)
    payload, kind = from_base64(publication.as_json())
    assert Publication("a", payload, kind, 1, "x", 0).as_json() == publication.as_json()


@given(PLAIN)
def test_ch_6_1_any_other_value_stands_for_itself(value: Any) -> None:
    text = json.dumps(value).encode()
    assert from_base64(text) == (text, Kind.JSON)


@pytest.mark.parametrize("value", [3, None, True, [], {}])
def test_ch_6_2_base64_that_is_no_string_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"\$base64 is no string"):
        from_base64(json.dumps({"$base64": value}).encode())


@pytest.mark.parametrize("value", ["AP8", "A", "-_8B", "AP8B\n", " AP8B", "é", "====", "AP8B*"])
def test_ch_6_2_what_is_no_base64_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"\$base64 is no base64"):
        from_base64(json.dumps({"$base64": value}).encode())


@given(PLAIN)
def test_ch_6_4_a_msgpack_value_is_that_json_value(value: Any) -> None:
    payload, kind = from_msgpack(pack(value), DEPTH, KEYS)
    assert kind is Kind.JSON
    assert msgspec.json.decode(payload) == value


@given(st.binary(max_size=100))
def test_ch_6_4_bytes_alone_stay_bytes(data: bytes) -> None:
    assert from_msgpack(pack(data), DEPTH, KEYS) == (data, Kind.BINARY)


def test_ch_6_4_bytes_inside_a_value_are_base64() -> None:
    payload, _ = from_msgpack(pack({"a": [b"\x00\xff\x01"]}), DEPTH, KEYS)
    assert payload == b'{"a":[{"$base64":"AP8B"}]}'


def test_ch_6_4_a_timestamp_is_its_text() -> None:
    moment = datetime.datetime(2026, 11, 22, 12, tzinfo=datetime.UTC)
    assert from_msgpack(pack([moment]), DEPTH, KEYS)[0] == b'["2026-11-22T12:00:00Z"]'


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        [float("inf")],
        {"a": -float("inf")},
        msgspec.msgpack.Ext(5, b"x"),
        [[msgspec.msgpack.Ext(0, b"")]],
        {1: 2},
        {"a": {b"k": 1}},
        {None: 1},
        {1.5: 1},
        {(1, 2): 1},
    ],
    ids=repr,
)
def test_ch_6_4_what_json_has_no_word_for_is_refused_and_not_changed(value: Any) -> None:
    with pytest.raises(ValueError):
        from_msgpack(pack(value), DEPTH, KEYS)


def nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels - 1):
        value = {"a": value} if levels % 2 else [value]
    return value


@pytest.mark.parametrize("levels", [31, 32])
def test_ch_2_8_32_levels_are_carried(levels: int) -> None:
    from_msgpack(pack(nested(levels)), DEPTH, KEYS)


@pytest.mark.parametrize("levels", [33, 34, 200])
def test_ch_2_8_more_are_not(levels: int) -> None:
    with pytest.raises(ValueError, match="nested deeper than 32 levels"):
        from_msgpack(pack(nested(levels)), DEPTH, KEYS)


def test_ch_2_8_members_are_counted_in_all() -> None:
    half = {str(number): 1 for number in range(500)}
    from_msgpack(pack([half, half]), DEPTH, KEYS)
    with pytest.raises(ValueError, match="more than 1000 members"):
        from_msgpack(pack([half, half, {"one": 1}]), DEPTH, KEYS)


def test_ch_2_8_the_message_around_a_member_counts_as_a_level() -> None:
    assert shape_problem(nested(31), DEPTH, KEYS) is None
    assert shape_problem(nested(32), DEPTH, KEYS) == "nested deeper than 32 levels"


def test_arguments_of_calls_may_be_what_json_has_no_word_for() -> None:
    assert shape_problem([b"x", float("nan"), {1: msgspec.msgpack.Ext(5, b"x")}], DEPTH, KEYS) is None


@given(st.binary(max_size=60))
def test_any_bytes_are_a_payload_or_an_error_that_is_expected(data: bytes) -> None:
    for decode in (from_base64, lambda raw: from_msgpack(raw, DEPTH, KEYS)):
        try:
            payload, kind = decode(data)
        except (msgspec.DecodeError, ValueError, RecursionError):
            continue
        assert isinstance(payload, bytes)
        assert kind in (Kind.JSON, Kind.BINARY)
