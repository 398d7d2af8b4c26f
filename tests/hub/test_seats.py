"""Connections are counted by address; a /64 of IPv6 is one."""

import pytest

from chappe.hub.seats import Seats, address_group
from chappe.hub.session import Peer
from chappe.model.error_codes import Code
from tests.hub.harness import RecordingLink, World


def test_the_neighbours_of_a_64_are_one_address() -> None:
    seats = Seats()
    seats.take("2001:db8::1")
    assert (seats.of("2001:db8::2"), seats.of("2001:db8:0:1::1")) == (1, 0)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("", "", True),
    ],
)
def test_addresses_of_one_customer_count_as_one(one: str, other: str, same: bool) -> None:
    assert (address_group(one) == address_group(other)) is same


@pytest.mark.parametrize("end", ["opens", "leaves", "is refused"])
def test_a_session_is_a_stranger_until_it_is_known_or_gone(end: str) -> None:
    world = World(anonymous=end == "opens")
    hub = world.hub
    link = RecordingLink(world)
    session = hub.open(link, world.protocol("json"), Peer(address="2001:db8::1"))
    link.session = session
    assert (hub.strangers.taken, hub.strangers.of("2001:db8::2")) == (1, 1)
    if end == "leaves":
        session.lost(1006)
    else:
        session.receive(b'{"type":"connect","id":1}', True)
    world.settle()
    assert hub.strangers.taken == 0
    assert session.is_open is (end == "opens")
    if end == "opens":
        session.close(Code.SHUTDOWN)
        world.settle()
        assert hub.strangers.taken == 0
