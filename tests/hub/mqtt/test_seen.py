from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chappe.hub.mqtt.seen import MOST_CHANNELS, MOST_STRETCHES, Seen

STEPS = st.lists(
    st.tuples(st.sampled_from(["take", "add", "remove", "pause"]), st.integers(1, 60)), min_size=1, max_size=80
)


def at(offset: int, channel: str = "a") -> tuple[str, str, int]:
    return channel, "e", offset


@given(STEPS)
def test_it_knows_what_a_set_knows(steps: list[tuple[str, int]]) -> None:
    seen, known, latest = Seen(), set[int](), 0
    for step, offset in steps:
        if step == "take":
            assert seen.take(at(offset)) is (offset not in known)
            # What lies between two messages of the feed does not exist.
            known |= set(range(latest, offset + 1)) if latest and offset > latest else {offset}
            latest = max(latest, offset)
        elif step == "add":
            assert seen.add(at(offset)) is (offset not in known)
            known.add(offset)
        elif step == "remove":
            seen.remove(at(offset))
            known.discard(offset)
        else:
            seen.pause()
            latest = 0
        assert {each for each in range(1, 61) if at(each) in seen} == known


@given(st.sets(st.integers(1, 40)), st.sets(st.integers(1, 40)), st.sets(st.integers(1, 40)))
def test_what_is_told_is_what_is_known_without_some(one: set[int], other: set[int], but: set[int]) -> None:
    seen, further = Seen(), Seen()
    for offset in one:
        seen.add(at(offset))
    for offset in other:
        further.add(at(offset))
    further.merge(seen.without([at(offset) for offset in but]))
    assert {each for each in range(1, 41) if at(each) in further} == other | (one - but)


def test_channels_and_their_lives_are_apart() -> None:
    seen = Seen([("a", "e", [(1, 5)])])
    assert at(5) in seen
    assert at(5, "b") not in seen
    assert ("a", "f", 5) not in seen


def test_a_stretch_that_ends_before_it_begins_is_none() -> None:
    assert at(4) not in Seen([("a", "e", [(5, 3)])])


def test_of_too_many_channels_the_one_without_news_is_forgotten() -> None:
    seen = Seen()
    for number in range(MOST_CHANNELS + 1):
        seen.take(at(1, f"c{number}"))
        seen.take(at(number + 1, "busy"))
    assert at(1, "c0") not in seen
    assert at(1, f"c{MOST_CHANNELS}") in seen
    assert at(1, "busy") in seen


def test_of_too_many_stretches_the_oldest_is_forgotten() -> None:
    seen = Seen()
    for number in range(MOST_STRETCHES + 1):
        seen.add(at(3 * number + 1))
    assert at(1) not in seen
    assert at(4) in seen
