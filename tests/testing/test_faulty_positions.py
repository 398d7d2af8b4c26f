"""Positions with gaps and new epochs lead back to what they came from."""

from hypothesis import given
from hypothesis import strategies as st

from chappe.model.position import Position
from chappe.model.publication import Kind, Publication
from chappe.testing.faulty_positions import FaultyPositions

offsets = st.integers(0, 10_000)
seeds = st.integers(0, 1 << 16)


@given(seeds, offsets, offsets)
def test_offsets_keep_their_order_and_lead_back(seed: int, one: int, two: int) -> None:
    positions = FaultyPositions(seed, gaps=True)
    told = [positions.tell("a", Position("e", offset)) for offset in (one, two)]
    assert (told[0].offset < told[1].offset) == (one < two)
    assert positions.understand("a", told[0]) == Position("e", one)
    assert positions.understand_exactly("a", told[0]) == Position("e", one)


@given(seeds, offsets)
def test_an_offset_in_a_gap_is_after_the_one_before_it_and_matches_nothing(seed: int, strange: int) -> None:
    positions = FaultyPositions(seed, gaps=True)
    below = positions.understand("a", Position("e", strange)).offset
    above = positions.understand("a", Position("e", strange), upwards=True).offset
    known = positions.tell("a", Position("e", below)).offset
    assert known <= strange <= positions.tell("a", Position("e", above)).offset
    exact = positions.understand_exactly("a", Position("e", strange)).offset
    assert exact == (below if known == strange else -1)


@given(seeds, offsets, st.integers(1, 100))
def test_a_new_epoch_starts_at_0_and_hides_what_was(seed: int, before: int, more: int) -> None:
    positions = FaultyPositions(seed, gaps=True)
    old = positions.tell("a", Position("e", before))
    positions.saw("a", Position("e", before))
    positions.renew("a")
    assert positions.tell("a", Position("e", before)).offset == 0
    assert positions.hidden("a", Position("e", before)) == (before > 0)
    new = positions.tell("a", Position("e", before + more))
    assert new.epoch != old.epoch
    assert positions.understand("a", new) == Position("e", before + more)
    assert positions.understand("a", old).epoch != "e"


def test_a_new_epoch_knows_no_old_key_and_no_old_log() -> None:
    positions = FaultyPositions(1, gaps=False)
    owner, log = positions.owner("a", "ada"), positions.tell_log("l:3")
    assert positions.understand_log(log) == "l:3"
    positions.saw("a", Position("e", 3))
    positions.renew("a")
    positions.renew_log()
    assert positions.owner("a", "ada") != owner
    assert positions.understand_log(log) != "l:3"
    assert positions.understand_log(positions.tell_log("l:4")) == "l:4"
    assert positions.understand_log(None) is None


def test_publications_are_told_or_lost() -> None:
    positions = FaultyPositions(1, gaps=False)
    positions.saw("a", Position("e", 3))
    positions.renew("a")
    lost, kept = (Publication("a", b"1", Kind.JSON, offset, "e", 0) for offset in (3, 4))
    assert positions.tell_publication(lost) is None
    told = positions.tell_publication(kept)
    assert told is not None
    assert told.offset == 1
    transient = positions.tell_publication(Publication("a", b"1", Kind.JSON, 0, "e", 0, transient=True))
    assert transient is not None
    assert transient.offset == 0
    assert transient.epoch == told.epoch
