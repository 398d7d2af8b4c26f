"""JSON is carried when it is not too deep, not too wide, and every reader can read its numbers."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.model.json_shape import json_problem

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=30,
)


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


def keys_of(value: Any) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(keys_of, value.values()))
    return sum(map(keys_of, value)) if isinstance(value, list) else 0


@given(VALUES, st.integers(0, 6), st.integers(0, 10))
def test_what_is_too_deep_or_too_wide_is_found_as_counting_finds_it(value: Any, depth: int, keys: int) -> None:
    text = json.dumps(value).encode()
    too_much = depth_of(value) > depth or keys_of(value) > keys
    assert (json_problem(text, depth, keys) is not None) is too_much


def test_brackets_and_colons_inside_strings_do_not_count() -> None:
    text = json.dumps({"a": '[{:"' * 2_000, '[[["': ":" * 2_000}).encode()
    assert json_problem(text) is None


@pytest.mark.parametrize(
    "text",
    [
        b"1e999",
        b"-1e999",
        b"[1E+400]",
        b'{"a":1e309}',
        b"9" * 400 + b".0e1",
        b"9" * 30,
        b"[18446744073709551616]",
        b"-9223372036854775809",
    ],
)
def test_a_number_beyond_a_double_is_a_problem_without_a_path(text: bytes) -> None:
    assert json_problem(text) in ("number out of range", "an integer is beyond 64 bits")


@pytest.mark.parametrize(
    "text",
    [
        b"1e308",
        b"1e-999",
        b'"1e999"',
        b"18446744073709551615",
        b"[-9223372036854775808]",
        b'{"9999999999999999999999":"x 99999999999999999999 y"}',
        b"0.1e1",
    ],
)
def test_a_number_that_a_double_holds_is_none(text: bytes) -> None:
    assert json_problem(text) is None


def test_the_problem_says_the_limit() -> None:
    assert json_problem(b"[[1]]", 1, 10) == "nested deeper than 1 levels"
    assert json_problem(b'{"a":1,"b":2}', 5, 1) == "more than 1 members"
