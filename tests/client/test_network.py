"""Whether there is a network at all."""

import socket

import pytest

from chappe.client.network import gateways_of, has_network


class Unroutable(socket.socket):
    def connect(self, address: object) -> None:
        raise OSError(101, "Network is unreachable")


class Routable(socket.socket):
    def connect(self, address: object) -> None:
        """Find a route."""


def test_a_route_to_anywhere_is_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", Routable)
    assert has_network()


def test_no_route_to_anywhere_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", Unroutable)
    assert not has_network()


def test_where_it_cannot_be_known_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_INET6")
    assert has_network()


ROUTES = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
wlan0\t0001A8C0\t00000000\t0001\t0\t0\t600\t00FFFFFF\t0\t0\t0
"""
NEIGHBOURS = """IP address       HW type     Flags       HW address            Mask     Device
192.168.1.7      0x1         0x2         02:fc:00:00:00:07     *        wlan0
192.168.1.1      0x1         0x2         {hardware}     *        wlan0
"""


def test_two_networks_that_give_the_same_addresses_have_different_gateways() -> None:
    home, work = (NEIGHBOURS.format(hardware=f"02:fc:00:00:00:0{number}") for number in (1, 2))
    assert gateways_of(ROUTES, home) == ("02:fc:00:00:00:01",)
    assert gateways_of(ROUTES, work) == ("02:fc:00:00:00:02",)


def test_a_gateway_that_was_not_asked_yet_has_its_address() -> None:
    assert gateways_of(ROUTES, NEIGHBOURS.format(hardware="00:00:00:00:00:00")) == ("192.168.1.1",)
    assert gateways_of(ROUTES, "") == ("192.168.1.1",)


@pytest.mark.parametrize("routes", ["", "head\n", "head\nwlan0 00000000\n", "head\nwlan0\t00000000\t00000000\t1\n"])
def test_where_no_gateway_is_told_there_is_none(routes: str) -> None:
    assert gateways_of(routes, NEIGHBOURS) == ()
