"""The pattern index answers as the naive matcher of the model does."""

import sys

from hypothesis import given
from hypothesis import strategies as st

from chappe.hub.pattern_index import PatternIndex
from chappe.model.channels import pattern_matches

# Few different segments, so that patterns and channels meet often.
_WORDS = st.sampled_from(["", "a", "b", "$a", "é"])
_CHANNELS = st.lists(_WORDS, min_size=1, max_size=5).map("/".join).filter(bool)


@st.composite
def _patterns(draw: st.DrawFn) -> str:
    segments = draw(st.lists(st.one_of(_WORDS, st.just("+")), max_size=4))
    if not segments or draw(st.booleans()):
        segments.append("#")
    return "/".join(segments) or "+"


@given(st.lists(st.tuples(_patterns(), st.integers(0, 4))), st.lists(_CHANNELS, min_size=1))
def test_a_match_finds_what_the_naive_matcher_finds(pairs: list[tuple[str, int]], channels: list[str]) -> None:
    index: PatternIndex[int] = PatternIndex()
    for pattern, value in pairs:
        index.add(pattern, value)
    for channel in channels:
        found = index.match(channel)
        assert len(found) == len(set(found))
        assert set(found) == {value for pattern, value in pairs if pattern_matches(pattern, channel)}


@given(st.lists(st.tuples(st.booleans(), _patterns(), st.integers(0, 2)), max_size=40), st.lists(_CHANNELS, max_size=4))
def test_any_sequence_of_additions_and_removals_leaves_what_a_set_of_pairs_would_hold(
    steps: list[tuple[bool, str, int]], channels: list[str]
) -> None:
    index: PatternIndex[int] = PatternIndex()
    model: set[tuple[str, int]] = set()
    for adds, pattern, value in steps:
        pair = (pattern, value)
        if adds:
            assert index.add(pattern, value) is (pair not in model)
            model.add(pair)
        else:
            assert index.discard(pattern, value) is (pair in model)
            model.discard(pair)
        assert len(index) == len(model)
        for channel in channels:
            assert set(index.match(channel)) == {v for p, v in model if pattern_matches(p, channel)}


@given(st.lists(_patterns(), max_size=20))
def test_nothing_is_left_of_patterns_that_were_removed(patterns: list[str]) -> None:
    index: PatternIndex[int] = PatternIndex()
    for pattern in patterns:
        index.add(pattern, 0)
    for pattern in patterns:
        index.discard(pattern, 0)
    assert len(index) == 0
    assert not index._root.children


def test_the_multi_level_wildcard_matches_its_parent() -> None:
    index: PatternIndex[str] = PatternIndex()
    index.add("sport/#", "all")
    assert index.match("sport") == ["all"]
    assert index.match("sport/tennis/final") == ["all"]
    assert index.match("sports") == []


def test_wildcards_at_the_start_do_not_match_the_hubs_own_channels() -> None:
    index: PatternIndex[str] = PatternIndex()
    for pattern in ("#", "+/info", "$hub/#", "$hub/+"):
        index.add(pattern, pattern)
    assert index.match("$hub/info") == ["$hub/#", "$hub/+"]
    assert index.match("hub/info") == ["#", "+/info"]


def test_a_value_under_several_patterns_is_found_once() -> None:
    index: PatternIndex[str] = PatternIndex()
    for pattern in ("a/+", "a/#", "#", "+/b"):
        index.add(pattern, "session")
    assert index.match("a/b") == ["session"]


def test_the_longest_names_and_patterns_do_not_exhaust_the_stack() -> None:
    index: PatternIndex[str] = PatternIndex()
    index.add("/" * 65_535, "deep")
    assert index.match("/" * 65_535) == ["deep"]
    assert index.discard("/" * 65_535, "deep")


def test_a_match_does_not_grow_with_patterns_of_other_channels() -> None:
    def calls_of_a_match(patterns: int) -> int:
        index: PatternIndex[int] = PatternIndex()
        for number in range(patterns):
            index.add(f"house/{number}/+", number)
        calls = 0

        def count(_frame: object, _event: str, _argument: object) -> None:
            nonlocal calls
            calls += 1

        sys.setprofile(count)
        try:
            found = index.match("house/7/light")
        finally:
            sys.setprofile(None)
        assert found == [7]
        return calls

    assert calls_of_a_match(10) == calls_of_a_match(10_000)
