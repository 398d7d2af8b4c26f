"""Connections counted by address."""

import ipaddress


class Seats:
    """Counts by address; of IPv6 a /64 is one address.

    Attributes:
        taken: how many are taken in all.
    """

    __slots__ = ("_groups", "taken")

    def __init__(self) -> None:
        self._groups: dict[str, int] = {}
        self.taken = 0

    def of(self, address: str) -> int:
        """Return how many an address has."""
        return self._groups.get(address_group(address), 0)

    def take(self, address: str) -> str:
        """Count one more; return what `give_back` wants."""
        group = address_group(address)
        self._groups[group] = self._groups.get(group, 0) + 1
        self.taken += 1
        return group

    def give_back(self, group: str) -> None:
        """Count one less."""
        self.taken -= 1
        self._groups[group] -= 1
        if not self._groups[group]:
            del self._groups[group]


def address_group(address: str) -> str:
    """Return what counts as one address: itself, for IPv6 its /64 (one customer has that many)."""
    if ":" not in address:
        # IPv4, or no address at all: asked several times for each connection.
        return address
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address
