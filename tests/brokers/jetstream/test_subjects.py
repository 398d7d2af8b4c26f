"""Channels and patterns as subjects: nothing collides, and a server's wildcards match what Chappe's do."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chappe.brokers.nats.subjects import channel_of, filter_of, subject_of
from chappe.model.channels import check_channel, check_pattern, pattern_matches
from chappe.model.errors import ChappeError

SEGMENTS = st.text(st.sampled_from("ab. *>%!é🎉~$-_"), max_size=3)
NAMES = st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join).filter(bool)
PATTERNS = st.tuples(
    st.lists(st.one_of(SEGMENTS, st.just("+")), min_size=1, max_size=4), st.sampled_from(("", "/#", "#"))
).map(lambda parts: "/".join(parts[0]) + parts[1] if parts[1] != "#" else "#")


def server_matches(wanted: str, subject: str) -> bool:
    """Match as NATS does: `*` is one token, `>` one or more at the end."""
    left, right = wanted.split("."), subject.split(".")
    for index, token in enumerate(left):
        if token == ">":
            return len(right) > index
        if index >= len(right) or token not in ("*", right[index]):
            return False
    return len(left) == len(right)


@given(NAMES)
@example("a")
@example("/")
@example("//")
@example("a/ /b")
@example("%")
@example("!")
@example("a.b")
@example("a%2Eb")
def test_a_subject_leads_back_to_its_channel(name: str) -> None:
    subject = subject_of(name)
    assert channel_of(subject) == name
    assert not set(subject) & set(" \t\r\n*>")
    assert all(subject.split("."))
    assert subject.isascii()


@given(NAMES, NAMES)
def test_two_channels_never_share_a_subject(one: str, other: str) -> None:
    assert (subject_of(one) == subject_of(other)) is (one == other)


@given(PATTERNS, NAMES)
@example("a/#", "a")
@example("#", "a/b")
@example("+", "a/b")
@example("+/#", "a")
def test_a_server_matches_what_a_pattern_matches(pattern: str, name: str) -> None:
    try:
        check_pattern(pattern)
        check_channel(name)
    except ChappeError:
        return
    if not (name.startswith("$") and pattern[0] in "+#"):
        assert server_matches(filter_of(pattern), subject_of(name)) is pattern_matches(pattern, name)


@pytest.mark.parametrize("subject", ["", "!", "a", "a.b", "a%2eb.!", "a..!", "%41.!", "é.!", "%.%", "a.!.!"])
def test_a_subject_of_somebody_else_is_no_channel(subject: str) -> None:
    with pytest.raises(ValueError, match="no channel"):
        channel_of(subject)
