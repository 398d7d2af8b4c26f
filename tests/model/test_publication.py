"""A payload crosses protocols by the rules of the interfaces ("Channels and publications")."""

import base64
import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.model.position import Position
from chappe.model.publication import Kind, Publication, Sender

_RAW = st.sampled_from([Kind.TEXT, Kind.BINARY])
# Numbers that every JSON reader reads alike; msgspec refuses what has no finite float.
_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
_PAYLOADS = st.binary() | st.text().map(str.encode) | _VALUES.map(lambda value: json.dumps(value).encode())


def _publication(payload: bytes, kind: Kind) -> Publication:
    return Publication("news", payload, kind, 7, "x1", 1_700_000_000_123, Sender("ada", "Ada", "9f"))


def _oracle(payload: bytes) -> Any:
    """Return the value of a raw payload as the standard library sees it."""
    text = payload.decode()

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    def finite(number: str) -> float:
        value = float(number)
        if math.isinf(value):
            raise ValueError(number)
        return value

    try:
        value = json.loads(text, parse_constant=refuse, parse_float=finite)
        json.dumps(value, ensure_ascii=False).encode()
    except ValueError:
        return text
    return value


@given(_PAYLOADS, _RAW)
def test_raw_bytes_come_back_exactly(payload: bytes, kind: Kind) -> None:
    publication = _publication(payload, kind)
    publication.as_json()
    assert publication.as_raw() == payload


@given(_PAYLOADS, _RAW)
def test_raw_payloads_are_values_strings_or_base64_to_protocols_of_json(payload: bytes, kind: Kind) -> None:
    publication = _publication(payload, kind)
    seen = json.loads(publication.as_json())
    try:
        expected = _oracle(payload)
    except UnicodeDecodeError:
        assert seen == {"$base64": base64.b64encode(payload).decode()}
        assert publication.as_value() == payload
    else:
        assert seen == expected
        assert publication.as_value() == expected


@given(_VALUES)
def test_a_value_leaves_to_raw_protocols_as_its_text(value: Any) -> None:
    payload = msgspec.json.encode(value)
    publication = _publication(payload, Kind.JSON)
    assert publication.as_raw() == (value.encode() if isinstance(value, str) else payload)
    assert publication.as_json() == payload
    assert publication.as_value() == value


@given(_VALUES.filter(lambda value: not isinstance(value, str)), _RAW)
def test_a_value_survives_the_way_through_a_raw_protocol_and_back(value: Any, kind: Kind) -> None:
    raw = _publication(msgspec.json.encode(value), Kind.JSON).as_raw()
    assert _publication(raw, kind).as_value() == value


@given(st.text().filter(lambda text: isinstance(_oracle(text.encode()), str)))
def test_a_string_that_is_no_json_survives_the_way_through_a_raw_protocol_and_back(text: str) -> None:
    raw = _publication(msgspec.json.encode(text), Kind.JSON).as_raw()
    assert raw == text.encode()
    if not text.strip(" \t\r\n").startswith('"'):
        assert _publication(raw, Kind.TEXT).as_value() == text


@pytest.mark.parametrize(
    ("payload", "as_json"),
    [
        (b'{"a":1}', b'{"a":1}'),
        (b" [1, 2]\n", b" [1, 2]\n"),
        (b"21.5", b"21.5"),
        (b"ON", b'"ON"'),
        (b"", b'""'),
        (b"NaN", b'"NaN"'),
        (b"1e999", b'"1e999"'),
        (b'"\\ud800"', b'"\\"\\\\ud800\\""'),
        (b"\x00\xff\x01", b'{"$base64":"AP8B"}'),
        (b'"\xff"', b'{"$base64":"Iv8i"}'),
        (b"\xed\xa0\x80", b'{"$base64":"7aCA"}'),
    ],
)
def test_examples_of_raw_payloads_as_json(payload: bytes, as_json: bytes) -> None:
    assert _publication(payload, Kind.BINARY).as_json() == as_json


def test_json_text_with_a_broken_string_inside_stays_bytes_as_a_value() -> None:
    # The decoder of JSON reports this as UnicodeDecodeError and not as an error of its own: it once passed through.
    assert _publication(b'"\xff"', Kind.BINARY).as_value() == b'"\xff"'


@given(st.from_regex(r"[\[{\"]{0,2}-?[0-9]{1,3}(\\.[0-9]{1,3})?([eE][-+]?[0-9]{1,4})?[\]}\"]{0,2}", fullmatch=True))
def test_nothing_that_a_protocol_accepts_as_json_fails_where_it_is_read(text: str) -> None:
    # "data":1e999 once passed the decoder of chappe.v1, was stored, and then broke the fan-out to MessagePack readers:
    # they missed it in silence, and its publisher was told an internal error.
    try:
        payload = bytes(msgspec.json.decode(text.encode(), type=msgspec.Raw))
    except msgspec.DecodeError:
        return
    publication = _publication(payload, Kind.JSON)
    publication.as_raw()
    msgspec.msgpack.encode(publication.as_value())


@pytest.mark.parametrize(
    ("payload", "value"), [(b"1e999", math.inf), (b"[-1e999]", [-math.inf]), (b'"\xff"', b'"\xff"')]
)
def test_json_that_cannot_be_read_has_a_value_nevertheless(payload: bytes, value: Any) -> None:
    publication = _publication(payload, Kind.JSON)
    assert publication.as_value() == value
    assert publication.as_raw() == payload


def test_nesting_too_deep_to_read_is_a_string_and_no_crash() -> None:
    payload = b"[" * 100_000 + b"]" * 100_000
    publication = _publication(payload, Kind.TEXT)
    assert publication.as_json() == b'"' + payload + b'"'
    assert publication.as_value() == payload.decode()


def test_equal_publications_stay_equal_whatever_was_derived_from_one() -> None:
    # A cache inside the value made them differ.
    publication = _publication(b"hello", Kind.TEXT)
    publication.as_json()
    assert publication == _publication(b"hello", Kind.TEXT)


def test_a_publication_knows_its_position() -> None:
    assert _publication(b"1", Kind.JSON).position == Position("x1", 7)


def test_a_publication_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        _publication(b"1", Kind.JSON).payload = b"2"  # type: ignore[misc]
