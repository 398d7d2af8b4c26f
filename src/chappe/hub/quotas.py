"""Rates that several share: the sessions of a user or an address, the publishers of a channel."""

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from chappe.hub.namespaces import Namespace
from chappe.hub.rate_limit import Pace
from chappe.hub.seats import address_group
from chappe.model.limits import Limits

if TYPE_CHECKING:
    from chappe.hub.session import Session

#: Keys that are kept whatever they hold; above, those whose bucket is full again are looked for.
_FEW: Final = 1_024


class Excess(NamedTuple):
    """What was too fast: the limit, and how long until there is a token."""

    limit: str
    wait_s: float


class SharedPace:
    """One rate, with a bucket for each key. A full bucket is none: only who used it lately is remembered."""

    __slots__ = ("_full_at", "_pace", "_sweep_at")

    def __init__(self, rate_per_s: float, burst: float) -> None:
        self._pace = Pace(rate_per_s, burst)
        self._full_at: dict[str, float] = {}
        self._sweep_at = _FEW

    def take(self, key: str, now: float) -> float:
        """Take a token of a key; return 0, or after how many seconds there is one: then nothing was taken."""
        before = self._full_at.get(key, 0.0)
        full_at = self._pace.take(before, now)
        if full_at == math.inf:
            return max(self._pace.wait_s(before, now), 0.001)
        self._remember(key, full_at, now)
        return 0.0

    def reserve(self, key: str, now: float, most_s: float) -> float:
        """Take a token of a key, if there is one within some seconds; return after how many, infinity for none."""
        before = self._full_at.get(key, 0.0)
        wait_s = self._pace.wait_s(before, now)
        if wait_s > most_s:
            return math.inf
        self._remember(key, self._pace.owe(before, now, most_s), now)
        return wait_s

    def give_back(self, key: str) -> None:
        """Give back a token of a key."""
        full_at = self._full_at.get(key)
        if full_at is not None:
            self._full_at[key] = self._pace.given_back(full_at)

    def _remember(self, key: str, full_at: float, now: float) -> None:
        self._full_at[key] = full_at
        if len(self._full_at) > self._sweep_at:
            self._full_at = {key: full_at for key, full_at in self._full_at.items() if full_at > now}
            self._sweep_at = max(_FEW, 2 * len(self._full_at))

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._full_at)


class Quotas:
    """The rates of users and addresses."""

    def __init__(self, limits: Limits) -> None:
        self._users = _pace(limits.user_messages_per_s, limits.user_messages_burst)
        self._addresses = _pace(limits.address_messages_per_s, limits.address_messages_burst)

    @property
    def is_needed(self) -> bool:
        """Whether there is any limit."""
        return self._users is not None or self._addresses is not None

    def take(self, session: "Session", now: float) -> Excess | None:
        """Take a token for one command; return what is exceeded, if anything is.

        A session without an authenticated user counts for its address only: anybody can claim a name.
        """
        address = session.peer.address
        if self._addresses is not None and address:
            wait_s = self._addresses.take(address_group(address), now)
            if wait_s:
                return Excess("address_messages_per_s", wait_s)
        user = session.actor.claims.user
        if self._users is not None and user is not None:
            wait_s = self._users.take(user, now)
            if wait_s:
                return Excess("user_messages_per_s", wait_s)
        return None


class ChannelQuotas:
    """The rates of channels, one pace for each namespace that has one."""

    def __init__(self) -> None:
        self._paces: dict[str, SharedPace] = {}

    def take(self, namespace: Namespace, channel: str, now: float) -> Excess | None:
        """Take a token for one publication; return what is exceeded, if anything is."""
        pace = self._paces.get(namespace.name)
        if pace is None:
            pace = self._paces[namespace.name] = SharedPace(namespace.messages_per_s, namespace.messages_burst)
        wait_s = pace.take(channel, now)
        return Excess("namespace.messages_per_s", wait_s) if wait_s else None


def _pace(rate_per_s: float, burst: float) -> SharedPace | None:
    return SharedPace(rate_per_s, burst) if rate_per_s else None
