"""Who may connect: connections counted in all and for each address, by all carriers of a hub together."""

import math
import random
import time
from typing import TYPE_CHECKING, Final

from chappe.hub.quotas import SharedPace
from chappe.hub.rate_limit import Pace
from chappe.hub.seats import Seats, address_group
from chappe.transports.upgrade import Rejected

if TYPE_CHECKING:
    from chappe.hub.hub import HubCore

#: Seconds over which those who came too fast are told to come back, at most.
_SPREAD_S: Final = 30.0
#: Where an API finds in `scope["extensions"]` how to give the turn of a connection back.
WELCOME: Final = "chappe.welcome"
#: Seconds that a connection waits for its turn, at most: clients wait ten for the answer to a handshake.
MOST_DELAY_S: Final = 5.0


class Admission:
    """The caps on connections of one hub.

    An address may have `per_address` WebSockets, and as many connections again that are none (yet): those that wait
    for a request head and those of HTTP.

    Attributes:
        websockets, others: what is open now.
        handshakes: connections whose TLS handshake is not done; they are counted in neither.
        overload: why nobody else is let in now, such as `memory`; empty: nothing is in the way.
        refused: how many were refused, by reason.
        delayed: connections that waited for their turn.
        paces_handshakes: whether connections by TLS have their turn before the handshake.
    """

    def __init__(
        self,
        per_address: int = 0,
        connections_max: int = 0,
        *,
        strangers: Seats | None = None,
        strangers_max: int = 0,
        strangers_per_address: int = 0,
        connects_per_s: float = 0.0,
        connects_burst: float = 0.0,
        address_connects_per_s: float = 0.0,
        address_connects_burst: float = 0.0,
    ) -> None:
        """Take the caps; 0 is none.

        Args:
            strangers: sessions that have not said who they are, counted elsewhere.
            strangers_max, strangers_per_address: of them, in all and for each address.
            connects_per_s, connects_burst: new sessions of all addresses together.
            address_connects_per_s, address_connects_burst: new connections of each address.
        """
        self._per_address = per_address
        self._connections_max = connections_max
        self._strangers = strangers or Seats()
        self._strangers_max = strangers_max
        self._strangers_per_address = strangers_per_address
        self._connects = Pace(connects_per_s, connects_burst)
        self._connects_per_s = connects_per_s
        self._full_at = 0.0
        self._hurried = 0
        self._turns = SharedPace(address_connects_per_s, address_connects_burst) if address_connects_per_s else None
        self.delayed = 0
        self.paces_handshakes = False
        self.websockets = Seats()
        self.others = Seats()
        self.handshakes = Seats()
        self.overload = ""
        self.refused = dict.fromkeys(
            ("address", "address_connects", "connects", "overload", "total", "unauthenticated"), 0
        )

    @classmethod
    def of(cls, hub: "HubCore", connections_max: int = 0) -> "Admission":
        """Return the admission to a hub: its limits, and its strangers where everybody has to say who it is."""
        limits, closed = hub.limits, not hub.permissions.anonymous
        return cls(
            limits.connections_per_address,
            connections_max,
            strangers=hub.strangers,
            strangers_max=limits.unauthenticated_connections if closed else 0,
            strangers_per_address=limits.unauthenticated_per_address if closed else 0,
            connects_per_s=limits.connects_per_s,
            connects_burst=limits.connects_burst,
            address_connects_per_s=limits.address_connects_per_s,
            address_connects_burst=limits.address_connects_burst,
        )

    def admit(self, address: str = "") -> None:
        """Refuse a session that the hub as a whole cannot take now; nothing is counted for who is refused.

        Raises:
            Rejected: 503, with the time to come back.
        """
        if self.overload:
            self._refuse("overload", f"the hub is overloaded ({self.overload})", 5)
        if 0 < self._connections_max <= self.websockets.taken:
            self._refuse("total", "too many connections", 5)
        if 0 < self._strangers_max <= self._strangers.taken:
            self._refuse("unauthenticated", "too many connections that have not said who they are", 1)
        if 0 < self._strangers_per_address <= self._strangers.of(address):
            self._refuse("unauthenticated", "too many connections of this address that have not said who they are", 1)
        if self._connects_per_s:
            self._take_turn(time.monotonic())

    def turn_of(self, address: str) -> float:
        """Return after how many seconds a new connection of an address is served, infinity: it is cut, and counted.

        Nothing is read of it before that, so that who connects without end makes little work.
        """
        if self._turns is None:
            return 0.0
        wait_s = self._turns.reserve(address_group(address), time.monotonic(), MOST_DELAY_S)
        if wait_s == math.inf:
            self.refused["address_connects"] += 1
        elif wait_s:
            self.delayed += 1
        return wait_s

    def give_turn_back(self, address: str) -> None:
        """Give the turn back that a connection took: it is of a backend, which may come as often as it likes."""
        if self._turns is not None:
            self._turns.give_back(address_group(address))

    def is_crowded(self, address: str) -> bool:
        """Whether an address has as many WebSockets as it may."""
        return 0 < self._per_address <= self.websockets.of(address)

    def turns_away(self, address: str) -> bool:
        """Whether a session of an address is one too many, which is counted."""
        crowded = self.is_crowded(address)
        if crowded:
            self.refused["address"] += 1
        return crowded

    def is_besieged(self, address: str) -> bool:
        """Whether an address has as many other connections as it may."""
        return 0 < self._per_address <= self.others.of(address)

    def is_swarming(self, address: str) -> bool:
        """Whether an address has as many TLS handshakes going on as it may."""
        return 0 < self._per_address <= self.handshakes.of(address)

    def _take_turn(self, now: float) -> None:
        """Take a token; who comes too fast is told a time of its own, so that they do not all come back together.

        Raises:
            Rejected: 503.
        """
        if self._full_at <= now:
            self._hurried = 0
        full_at = self._connects.take(self._full_at, now)
        if full_at == math.inf:
            self._hurried += 1
            spread_s = min(self._hurried / self._connects_per_s, _SPREAD_S)
            after_s = self._connects.wait_s(self._full_at, now) + random.random() * spread_s  # noqa: S311 - no secret
            self._refuse("connects", "too many connect at once", math.ceil(after_s))
        self._full_at = full_at

    def _refuse(self, why: str, text: str, after_s: int) -> None:
        self.refused[why] += 1
        raise Rejected(503, text, {"Retry-After": str(max(after_s, 1))})
