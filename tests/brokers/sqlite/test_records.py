"""Rows come back as they were written, or are known not to."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.brokers.sqlite.records import BadRecord, check, checksum, head_of, pack, publication_of, unpack
from chappe.model.publication import Kind, Publication, Sender

texts = st.text(st.characters(), max_size=20)


@given(
    st.tuples(texts, texts, texts),
    st.sampled_from(Kind),
    st.integers(0, 1 << 62),
    st.none() | texts,
    st.none() | st.dictionaries(texts, texts, max_size=3),
)
def test_a_publication_comes_back_as_it_was(
    names: tuple[str, str, str], kind: Kind, time_ms: int, key: str | None, headers: dict[str, str] | None
) -> None:
    user, name, session = names
    publication = Publication("c", b"\xff", kind, 7, "e", time_ms, Sender(user or None, name, session), key, headers, 9)
    assert publication_of(head_of(publication), b"\xff", "c", "e", 7, 9) == publication


@given(st.binary(max_size=60))
def test_any_bytes_are_a_value_or_a_bad_record(body: bytes) -> None:
    for read in (unpack, lambda head: publication_of(head, b"", "c", "e", 1, 1)):
        try:
            read(body)
        except BadRecord:
            continue


def test_text_that_is_no_valid_unicode_survives() -> None:
    assert unpack(pack(("\ud800\x00", 1, None))) == ["\ud800\x00", 1, None]


def test_a_changed_row_of_another_type_or_table_is_found() -> None:
    total = checksum(b"t", (1, 2), b"ab", b"c")
    check(b"t", (1, 2), total, b"ab", b"c")
    wrong: list[tuple[bytes, tuple[object, ...], object, tuple[object, ...]]] = [
        (b"u", (1, 2), total, (b"ab", b"c")),
        (b"t", (1, 3), total, (b"ab", b"c")),
        (b"t", (1, 2), total, (b"a", b"bc")),
        (b"t", (1, None), total, (b"ab", b"c")),
        (b"t", (1, 2.0), total, (b"ab", b"c")),
        (b"t", (1, -2), total, (b"ab", b"c")),
        (b"t", (1, 2), total, ("ab", b"c")),
        (b"t", (1, 2), None, (b"ab", b"c")),
        (b"t", (1, 2), str(total), (b"ab", b"c")),
    ]
    for name, numbers, expected, parts in wrong:
        with pytest.raises(BadRecord):
            check(name, numbers, expected, *parts)  # type: ignore[arg-type]


def test_every_flipped_bit_of_a_row_is_found() -> None:
    body = random.Random(1).randbytes(200)
    total = checksum(b"t", (5,), body)
    for bit in range(8 * len(body)):
        changed = bytearray(body)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadRecord):
            check(b"t", (5,), total, bytes(changed))
