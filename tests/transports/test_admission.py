"""Connections are counted in all and for each address."""

import math

import pytest

from chappe.hub.seats import Seats
from chappe.transports.admission import Admission
from chappe.transports.upgrade import Rejected


def test_an_address_is_crowded_at_its_cap_and_free_again_when_one_goes() -> None:
    admission = Admission(per_address=2)
    groups = [admission.websockets.take("192.0.2.1") for _ in range(2)]
    assert admission.is_crowded("192.0.2.1")
    assert not admission.is_crowded("192.0.2.2")
    assert not admission.is_besieged("192.0.2.1")
    admission.websockets.give_back(groups[0])
    assert not admission.is_crowded("192.0.2.1")


def test_other_connections_have_seats_of_their_own() -> None:
    admission = Admission(per_address=1)
    admission.others.take("192.0.2.1")
    assert admission.is_besieged("192.0.2.1")
    assert not admission.is_crowded("192.0.2.1")


def test_connections_of_an_address_beyond_its_burst_wait_each_longer_than_the_one_before() -> None:
    admission = Admission(address_connects_per_s=10.0, address_connects_burst=3)
    assert [admission.turn_of("192.0.2.1") for _ in range(3)] == [0.0, 0.0, 0.0]
    waits = [admission.turn_of("192.0.2.1") for _ in range(60)]
    assert waits[:3] == pytest.approx([0.1, 0.2, 0.3], abs=0.05)
    # Nobody waits for longer than clients do; who is cut takes no turn from those that come later.
    assert 48 <= sum(wait < math.inf for wait in waits) <= 52
    assert max(wait for wait in waits if wait < math.inf) <= 5.0
    assert admission.refused["address_connects"] + admission.delayed == 60
    assert admission.turn_of("192.0.2.2") == 0.0
    admission.give_turn_back("192.0.2.1")
    assert admission.turn_of("192.0.2.1") < math.inf


def test_a_backend_that_shows_its_key_is_not_paced() -> None:
    admission = Admission(address_connects_per_s=1.0, address_connects_burst=2)
    for _ in range(100):
        assert admission.turn_of("192.0.2.1") == 0.0
        admission.give_turn_back("192.0.2.1")


def test_the_hub_as_a_whole_has_a_cap() -> None:
    admission = Admission(connections_max=1)
    admission.admit()
    group = admission.websockets.take("192.0.2.1")
    with pytest.raises(Rejected) as refused:
        admission.admit()
    assert refused.value.status == 503
    admission.websockets.give_back(group)
    admission.admit()


def test_without_caps_everybody_is_let_in() -> None:
    admission = Admission()
    for _ in range(1_000):
        admission.websockets.take("192.0.2.1")
    admission.admit()
    assert not admission.is_crowded("192.0.2.1")


def test_strangers_are_bounded_in_all_and_for_each_address() -> None:
    strangers = Seats()
    admission = Admission(strangers=strangers, strangers_max=3, strangers_per_address=2)
    groups = [strangers.take(address) for address in ("192.0.2.1", "192.0.2.1")]
    with pytest.raises(Rejected) as refused:
        admission.admit("192.0.2.1")
    assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "1"})
    admission.admit("192.0.2.2")
    strangers.take("192.0.2.2")
    with pytest.raises(Rejected):
        admission.admit("192.0.2.3")
    strangers.give_back(groups[0])
    admission.admit("192.0.2.3")
    assert admission.refused["unauthenticated"] == 2


def test_an_avalanche_is_told_to_come_back_at_different_times() -> None:
    admission = Admission(connects_per_s=0.5, connects_burst=3)
    for _ in range(3):
        admission.admit("192.0.2.1")
    told = set()
    for _ in range(200):
        with pytest.raises(Rejected) as refused:
            admission.admit("192.0.2.2")
        assert refused.value.status == 503
        told.add(int(refused.value.headers["Retry-After"]))
    assert min(told) >= 1
    assert max(told) <= 2 + 30
    assert len(told) > 10
    assert admission.refused["connects"] == 200


def test_an_overloaded_hub_lets_nobody_in_until_it_is_over() -> None:
    admission = Admission()
    admission.overload = "memory"
    with pytest.raises(Rejected, match="overloaded"):
        admission.admit("192.0.2.1")
    admission.overload = ""
    admission.admit("192.0.2.1")
    assert admission.refused["overload"] == 1


def test_who_is_turned_away_is_counted() -> None:
    admission = Admission(per_address=1)
    assert not admission.turns_away("192.0.2.1")
    admission.websockets.take("192.0.2.1")
    assert admission.turns_away("192.0.2.1")
    assert admission.refused["address"] == 1
