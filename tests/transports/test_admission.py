"""Connections are counted in all and for each address."""

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


def test_the_neighbours_of_a_64_are_one_address() -> None:
    seats = Seats()
    seats.take("2001:db8::1")
    assert (seats.of("2001:db8::2"), seats.of("2001:db8:0:1::1")) == (1, 0)


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
