"""Channel names and patterns follow MQTT's grammar."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.model.channels import (
    MAX_CHANNEL_BYTES,
    check_channel,
    check_pattern,
    is_pattern,
    namespace_of,
    pattern_matches,
)
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError

_LEGAL = ["chat/lobby", "maison/salon/température", "/", "//", "/a", "a/", "a//b", "$user/ada", " ", "a b", "é" * 127]
_ILLEGAL = ["", "a\x00b", "a\nb", "a\x7f", "a\x85", "\ud800", "é" * 128, "x" * 256]

_SEGMENTS = st.sampled_from(["", "a", "b", "$a", "é"])
_CHANNELS = st.lists(_SEGMENTS, min_size=1, max_size=6).map("/".join).filter(bool)
_ANY_TEXT = st.text(max_size=300) | st.text("ab/+#$", max_size=20)


@pytest.mark.parametrize("name", _LEGAL)
def test_a_legal_name_is_a_channel_and_a_pattern(name: str) -> None:
    check_channel(name)
    check_pattern(name)
    assert not is_pattern(name)


@pytest.mark.parametrize("name", [*_ILLEGAL, "a/+", "#", "a+b", "a#"])
def test_an_illegal_name_is_refused_naming_the_field(name: str) -> None:
    with pytest.raises(ChappeError) as caught:
        check_channel(name)
    assert caught.value.code == Code.BAD_REQUEST
    assert caught.value.detail == {"field": "channel"}


@pytest.mark.parametrize("pattern", ["+", "#", "a/+", "a/#", "+/+", "+/a/#", "/#", "/+", "+/", "$hub/#"])
def test_wildcards_alone_in_their_segment_make_a_pattern(pattern: str) -> None:
    check_pattern(pattern)
    assert is_pattern(pattern)


@pytest.mark.parametrize("pattern", [*_ILLEGAL, "a#", "#/a", "a/#/b", "a+", "+a/b", "a/b+", "##", "++"])
def test_a_misplaced_wildcard_is_refused_naming_the_field(pattern: str) -> None:
    with pytest.raises(ChappeError) as caught:
        check_pattern(pattern)
    assert caught.value.code == Code.BAD_REQUEST
    assert caught.value.detail == {"field": "channel"}


def test_the_limit_counts_bytes_and_can_be_set_up_to_that_of_mqtt() -> None:
    check_channel("x" * MAX_CHANNEL_BYTES, max_bytes=MAX_CHANNEL_BYTES)
    with pytest.raises(ChappeError, match="65536 bytes"):
        check_channel("x" * (MAX_CHANNEL_BYTES + 1), max_bytes=MAX_CHANNEL_BYTES)


@given(_ANY_TEXT)
def test_any_text_is_a_channel_or_a_pattern_or_refused_with_107(text: str) -> None:
    accepted = []
    for check in (check_channel, check_pattern):
        try:
            check(text)
        except ChappeError as error:
            assert error.code == Code.BAD_REQUEST  # noqa: PT017 - both outcomes are legal
        else:
            accepted.append(check)
    # Every channel is a pattern; a pattern is a channel unless it has wildcards.
    if accepted:
        assert check_pattern in accepted
        assert (check_channel in accepted) is not is_pattern(text)


@pytest.mark.parametrize(
    ("channel", "namespace"),
    [("chat/lobby", "chat"), ("news", "news"), ("/a", ""), ("$user/ada", "$user"), ("a//", "a")],
)
def test_the_first_segment_is_the_namespace(channel: str, namespace: str) -> None:
    assert namespace_of(channel) == namespace


# The examples of MQTT 5, 4.7.1.2, 4.7.1.3 and 4.7.2.
@pytest.mark.parametrize(
    ("pattern", "channel", "matches"),
    [
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/#", "sport", True),
        ("sport/#", "sports", False),
        ("#", "sport/tennis", True),
        ("sport/tennis/+", "sport/tennis/player1", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("#", "$SYS/monitor", False),
        ("+/monitor/clients", "$SYS/monitor/clients", False),
        ("$SYS/#", "$SYS/", True),
        ("$SYS/monitor/+", "$SYS/monitor/clients", True),
        ("a/+", "a/$b", True),
    ],
)
def test_the_examples_of_the_mqtt_standard_hold(pattern: str, channel: str, matches: bool) -> None:
    assert pattern_matches(pattern, channel) is matches


@given(_CHANNELS)
def test_a_name_without_wildcards_matches_itself_only(channel: str) -> None:
    assert pattern_matches(channel, channel)
    assert not pattern_matches(channel, channel + "x")
    assert not pattern_matches(channel, channel + "/x")


@given(_CHANNELS, st.data())
def test_a_plus_stands_for_any_one_segment(channel: str, data: st.DataObject) -> None:
    segments = channel.split("/")
    index = data.draw(st.integers(0, len(segments) - 1))
    pattern = "/".join([*segments[:index], "+", *segments[index + 1 :]])
    assert pattern_matches(pattern, channel) is not (index == 0 and channel.startswith("$"))
    assert not pattern_matches(pattern, channel + "/x")


@given(_CHANNELS, st.data())
def test_a_hash_stands_for_any_rest_and_for_none(channel: str, data: st.DataObject) -> None:
    segments = channel.split("/")
    kept = data.draw(st.integers(1, len(segments)))
    assert pattern_matches("/".join([*segments[:kept], "#"]), channel)
