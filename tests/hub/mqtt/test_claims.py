"""Every node that reads the same log knows the same: whose a message is, and what is done with."""

from __future__ import annotations

from random import Random

import pytest

from chappe.hub.mqtt import claims as claims_module
from chappe.hub.mqtt.claims import NOTHING, Claims, Entry, Spot, Wanted
from chappe.protocols.base import SincePosition

SINCE = SincePosition(position="log:0")


def spot(number: int) -> Spot:
    return ("a", "e", number, number)


def here(node: str, number: int = 1, share: int = 2) -> Entry:
    return Entry(node, number, share=share, since=SINCE)


def started(*nodes: str) -> Claims:
    claims = Claims()
    for offset, node in enumerate(nodes, 1):
        claims.apply(here(node), offset)
    return claims


def test_the_first_claim_wins() -> None:
    claims = started("one", "two")
    assert [place for place, _ in claims.apply(Entry("one", 2, claims=[Wanted(spot(1), 1)]), 3).won] == [("a", "e", 1)]
    assert claims.apply(Entry("two", 2, claims=[Wanted(spot(1), 1)]), 4).lost == [("a", "e", 1)]
    assert claims.claims["a", "e", 1].node == "one"


def test_who_is_not_here_claims_nothing() -> None:
    claims = started("one")
    assert claims.apply(Entry("two", 1, claims=[Wanted(spot(1), 1)]), 2).lost == [("a", "e", 1)]


def test_an_entry_that_is_stored_twice_counts_once() -> None:
    claims = started("one", "two")
    claims.apply(Entry("one", 2, claims=[Wanted(spot(1), 1)]), 3)
    claims.apply(Entry("one", 3, freed=[(spot(1), 3)]), 4)
    assert not claims.apply(Entry("one", 2, claims=[Wanted(spot(1), 1)]), 5).won
    assert not claims.claims


def test_a_claim_is_given_up_once_and_not_that_of_another() -> None:
    claims = started("one", "two")
    claims.apply(Entry("one", 2, claims=[Wanted(spot(1), 1)]), 3)
    claims.apply(Entry("one", 3, freed=[(spot(1), 3)]), 4)
    claims.apply(Entry("two", 2, claims=[Wanted(spot(1), 1)]), 5)
    assert not claims.apply(Entry("one", 4, freed=[(spot(1), 3)]), 6).freed
    assert claims.claims["a", "e", 1].node == "two"


def test_qos_1_of_a_node_that_is_gone_is_free_and_qos_2_stays_with_its_session() -> None:
    claims = started("one", "two")
    wanted = [Wanted(spot(1), 1), Wanted(spot(2), 2, "kept"), Wanted(spot(3), 2)]
    claims.apply(Entry("one", 2, claims=wanted), 3)
    changes = claims.apply(Entry("two", 2, gone=[("one", 1)]), 4)
    assert changes.freed == [(("a", "e", 1), 1)]
    # Of a session that ends with its connection nobody else gets anything [MQTT-4.8.2-5].
    assert changes.finished == [("a", "e", 3)]
    assert list(claims.claims) == [("a", "e", 2)]


def test_who_came_back_is_not_gone_because_of_what_was_said_before() -> None:
    claims = started("one", "two")
    claims.apply(Entry("two", 2, gone=[("one", 1)]), 3)
    claims.apply(here("one", 2), 4)
    claims.apply(Entry("two", 3, gone=[("one", 1)]), 5)
    assert set(claims.nodes) == {"one", "two"}


def test_what_is_done_is_forgotten_behind_the_place_of_the_group() -> None:
    claims = started("one")
    for number in (1, 2, 3):
        claims.apply(Entry("one", number + 1, claims=[Wanted(spot(number), 1)]), number + 1)
    claims.apply(Entry("one", 5, done=[spot(1), spot(3)], floor=SincePosition(position="log:1")), 5)
    assert list(claims.done) == [("a", "e", 3)]
    assert [claims.is_done(spot(number)[:3], number) for number in (1, 2, 3)] == [True, False, True]
    claims.apply(Entry("one", 6, floor=SincePosition(position="log:3")), 6)
    assert not claims.done
    assert not claims.claims
    # Nobody goes back.
    claims.apply(Entry("one", 7, floor=SincePosition(position="log:2")), 7)
    assert claims.floor == SincePosition(position="log:3")


def test_a_group_without_members_is_forgotten_and_one_with_sessions_is_not() -> None:
    claims = started("one")
    claims.apply(Entry("one", 2, kept=["s"]), 2)
    assert not claims.apply(Entry("one", 3, share=NOTHING), 3).is_over
    assert claims.floor == SINCE
    assert claims.apply(Entry("one", 4, ended=["s"]), 4).is_over
    assert claims.floor is None


def test_what_is_remembered_of_done_messages_is_bounded_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims_module, "MOST_DONE", 5)
    claims = started("one")
    claims.apply(Entry("one", 2, done=[spot(number) for number in range(1, 11)]), 2)
    assert len(claims.done) == 5
    assert claims.forgotten == 5


@pytest.mark.parametrize("seed", range(20))
def test_who_begins_with_a_snapshot_knows_what_everybody_knows(seed: int) -> None:
    random = Random(seed)
    whole, later = started("n0", "n1", "n2"), Claims()
    moment = random.randint(4, 200)
    for offset in range(4, 204):
        node = f"n{random.randint(0, 2)}"
        spots = [spot(random.randint(1, 30)) for _ in range(3)]
        entry = Entry(
            node,
            offset,
            share=random.choice([None, None, None, 1, NOTHING]),
            since=SINCE,
            done=spots[:1],
            freed=[(spots[1], random.randint(1, offset))],
            claims=[Wanted(spots[2], random.randint(0, 2), random.choice(["", "c"]))],
            kept=["c"],
            floor=SincePosition(position=f"log:{random.randint(0, offset // 10)}"),
        )
        if offset == moment:
            later.restore(whole.snapshot(offset - 1))
        whole.apply(entry, offset)
        if offset >= moment:
            later.apply(entry, offset)
    assert later.snapshot(204) == whole.snapshot(204)
