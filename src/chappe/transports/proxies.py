"""Who the client is behind proxies: one resolver for all carriers."""

import ipaddress
from collections.abc import Sequence

import msgspec

from chappe.model.errors import ConfigurationError
from chappe.transports.upgrade import Request, tokens


class Proxies:
    """The networks whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed."""

    def __init__(self, networks: Sequence[str] = ()) -> None:
        """Take networks such as `10.0.0.0/8`, or single addresses.

        Raises:
            ConfigurationError: one is neither.
        """
        self._networks = [_network(network) for network in networks]

    def resolve(self, request: Request) -> Request:
        """Return a request with the client's address and scheme as the trusted proxies in front of us tell them.

        The client is the rightmost address that no trusted proxy has: what stands left of it the client may have made
        up. Without a trusted peer the headers mean nothing. A certificate that a proxy showed is the proxy's own, and
        nobody's who stands behind it.
        """
        if not self._networks or not self.trusts(request.address):
            return request
        hops = tokens(request.headers.get("x-forwarded-for", ""))
        address = request.address
        while hops and self.trusts(address):
            address = hops.pop()
        secure = tokens(request.headers.get("x-forwarded-proto", ""))[-1:] == ["https"] or request.secure
        return msgspec.structs.replace(request, address=address, secure=secure, certificate=None)

    def trusts(self, address: str) -> bool:
        """Whether an address is a trusted proxy's."""
        if not self._networks:
            return False
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        reason = f"server.trusted_proxies has {text!r}, expected a network such as 10.0.0.0/8"
        raise ConfigurationError(reason) from None
