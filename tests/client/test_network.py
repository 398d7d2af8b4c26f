"""Whether there is a network at all."""

import socket

import pytest

from chappe.client.network import has_network


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
