"""The client's address behind proxies that are trusted, and in front of those that are not."""

import pytest

from chappe.model.errors import ConfigurationError
from chappe.transports.peer_certificate import read_certificate
from chappe.transports.proxies import Proxies
from chappe.transports.upgrade import Request

#: When a certificate counts, as `ssl` tells it.
VALID = {"notBefore": "Jan  1 00:00:00 2026 GMT", "notAfter": "Jan  1 00:00:00 2027 GMT"}


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "198.51.100.1, 203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "203.0.113.7, 10.0.0.2", "203.0.113.7"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("192.0.2.1", "203.0.113.7", "192.0.2.1"),
        ("fd00::1", "2001:db8::5", "2001:db8::5"),
        ("", "203.0.113.7", ""),
    ],
)
def test_only_trusted_proxies_tell_who_the_client_is(peer: str, forwarded: str, client: str) -> None:
    headers = {"x-forwarded-for": forwarded, "x-forwarded-proto": "https"}
    request = Request(method="GET", path="/ws", query={}, headers=headers, address=peer)
    resolved = Proxies(["10.0.0.0/8", "fd00::/8"]).resolve(request)
    assert resolved.address == client
    assert resolved.secure is (peer not in ("192.0.2.1", ""))
    assert Proxies().resolve(request) == request


def test_the_certificate_of_a_proxy_is_nobodys_behind_it() -> None:
    shown = read_certificate({"subject": ((("commonName", "proxy"),),), **VALID})
    for peer, kept in (("10.0.0.1", None), ("192.0.2.1", shown)):
        request = Request(method="GET", path="/ws", query={}, headers={}, address=peer, certificate=shown)
        assert Proxies(["10.0.0.0/8"]).resolve(request).certificate is kept


def test_a_proxy_that_is_no_network_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="expected a network"):
        Proxies(["my-proxy"])
