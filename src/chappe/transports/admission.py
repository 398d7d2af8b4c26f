"""Who may connect: connections counted in all and for each address, by all carriers of a hub together."""

from chappe.transports.upgrade import Rejected, address_group


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


class Admission:
    """The caps on connections of one hub.

    An address may have `per_address` WebSockets, and as many connections again that are none (yet): those that wait
    for a request head and those of HTTP.

    Attributes:
        websockets, others: what is open now.
        handshakes: connections whose TLS handshake is not done; they are counted in neither.
    """

    def __init__(self, per_address: int = 0, connections_max: int = 0) -> None:
        """Take the caps; 0 is none."""
        self._per_address = per_address
        self._connections_max = connections_max
        self.websockets = Seats()
        self.others = Seats()
        self.handshakes = Seats()

    def admit(self) -> None:
        """Refuse a WebSocket that the hub as a whole cannot take.

        Raises:
            Rejected: 503.
        """
        if 0 < self._connections_max <= self.websockets.taken:
            raise Rejected(503, "too many connections", {"Retry-After": "5"})

    def is_crowded(self, address: str) -> bool:
        """Whether an address has as many WebSockets as it may."""
        return 0 < self._per_address <= self.websockets.of(address)

    def is_besieged(self, address: str) -> bool:
        """Whether an address has as many other connections as it may."""
        return 0 < self._per_address <= self.others.of(address)

    def is_swarming(self, address: str) -> bool:
        """Whether an address has as many TLS handshakes going on as it may."""
        return 0 < self._per_address <= self.handshakes.of(address)
