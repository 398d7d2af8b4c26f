from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chappe.model.channels import pattern_matches
from chappe.protocols.mqtt.filters import Filter, Filters, Match, make_filter, split_shared
from chappe.protocols.mqtt.packets import SubscribeFilter

SEGMENT = st.sampled_from(["a", "b", "+"])
PATTERN = st.lists(SEGMENT, min_size=1, max_size=3).map("/".join)
CHANNEL = st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=3).map("/".join)


def test_a_shared_filter_has_a_group_and_a_pattern() -> None:
    assert split_shared("$share/crew/jobs/#") == ("crew", "jobs/#")
    assert split_shared("jobs/#") == ("", "jobs/#")
    one = make_filter(SubscribeFilter("$share/crew/jobs/#", 2), 1, 7)
    assert (one.group, one.pattern, one.qos, one.identifier, one.is_plain) == ("crew", "jobs/#", 1, 7, False)


@given(patterns=st.dictionaries(PATTERN, st.integers(0, 2)), channel=CHANNEL)
def test_the_highest_qos_of_all_that_match(patterns: dict[str, int], channel: str) -> None:
    filters = Filters()
    for pattern, qos in patterns.items():
        filters.put(Filter(pattern, pattern, qos=qos))
    matching = [qos for pattern, qos in patterns.items() if pattern_matches(pattern, channel)]
    match = filters.match(channel)
    assert (match.qos if match is not None else None) == (max(matching) if matching else None)
    # Once more, as it is remembered.
    assert filters.match(channel) == match


def test_a_filter_takes_the_place_of_the_one_of_its_name() -> None:
    filters = Filters()
    assert filters.put(Filter("a", "a")) is None
    plain = [filters.are_plain]
    assert filters.put(Filter("a", "a", qos=1, identifier=3)) == Filter("a", "a")
    assert filters.match("a") == Match(1, False, (3,))
    assert [*plain, filters.are_plain] == [True, False]
    removed = filters.remove("a")
    assert removed == Filter("a", "a", qos=1, identifier=3)
    assert len(filters) == 0
    assert [filters.match(each) for each in ("a", "b")] == [None, None]


def test_ones_own_messages_pass_by_filters_with_no_local() -> None:
    filters = Filters()
    filters.put(Filter("a", "a", no_local=True))
    assert filters.match("a", own=True) is None
    assert filters.match("a") is not None


def test_groups_stand_apart() -> None:
    filters = Filters()
    assert filters.shared("a") == []
    shared = Filter("$share/g/a", "a", "g", qos=1)
    filters.put(shared)
    assert filters.match("a") is None
    assert filters.shared("a") == [shared]
    assert filters.of_pattern("a") == [shared]
    assert filters.shared("b") == []


def test_very_many_channels_are_not_all_remembered() -> None:
    filters = Filters()
    filters.put(Filter("#", "#"))
    for number in range(3_000):
        assert filters.match(str(number)) is not None
    assert filters._matches is not None
    assert len(filters._matches) <= 1_025
