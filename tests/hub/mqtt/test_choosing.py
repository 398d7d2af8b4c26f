from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chappe.hub.mqtt.choosing import identity_at, identity_of, owner_of, place_in_log
from chappe.model.publication import Kind, Publication, Sender

NODES = st.lists(st.text("0123456789abcdef", min_size=8, max_size=8), min_size=1, max_size=8, unique=True)
MESSAGES = st.tuples(st.text(min_size=1, max_size=20), st.text(max_size=12), st.integers(1, 1 << 40))


@given(NODES, MESSAGES, st.randoms(use_true_random=False))
def test_every_node_finds_the_same_owner_in_whatever_order_it_knows_the_others(
    nodes: list[str], place: tuple[str, str, int], random: Random
) -> None:
    owner = owner_of(identity_at(place), nodes)
    assert owner in nodes
    shuffled = list(nodes)
    random.shuffle(shuffled)
    assert owner_of(identity_at(place), shuffled) == owner


@given(NODES, st.text("0123456789abcdef", min_size=9, max_size=9), MESSAGES)
def test_a_node_that_comes_or_goes_moves_nothing_but_its_own(
    nodes: list[str], newcomer: str, place: tuple[str, str, int]
) -> None:
    identity = identity_at(place)
    before, after = owner_of(identity, nodes), owner_of(identity, [*nodes, newcomer])
    assert after in (before, newcomer)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_every_node_gets_its_part(count: int) -> None:
    nodes = [f"node{number:04}" for number in range(count)]
    owned = Counter(owner_of(identity_at(("jobs/a", "e", offset)), nodes) for offset in range(1, 6_001))
    share = 6_000 / count
    assert all(0.85 * share < owned[node] < 1.15 * share for node in nodes)


@dataclass(frozen=True)
class Change:
    """What makes another message of one that is kept nowhere."""

    field: str
    value: object


PASSING = Publication("live/a", b"x", Kind.TEXT, 0, "", 1_000, Sender(None, "", "s1"))


@pytest.mark.parametrize(
    "change",
    [
        Change("channel", "live/b"),
        Change("payload", b"y"),
        Change("time_ms", 1_001),
        Change("sender", Sender(None, "", "s2")),
        Change("id", "k"),
    ],
    ids=lambda change: change.field,
)
def test_messages_that_are_kept_nowhere_are_told_apart_by_what_they_say(change: Change) -> None:
    assert identity_of(PASSING) == identity_of(replace(PASSING))
    assert identity_of(PASSING) != identity_of(replace(PASSING, **{change.field: change.value}))


def test_messages_in_the_log_are_told_apart_by_their_place() -> None:
    kept = Publication("a", b"x", Kind.TEXT, 7, "e", 1_000)
    assert identity_of(kept) == identity_at(place_in_log(kept)) == identity_of(replace(kept, payload=b"y", log=9))
