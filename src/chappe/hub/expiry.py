"""Sessions end when their tokens do: one timer for all of them."""

import heapq
import math
from typing import TYPE_CHECKING, Final

from chappe.hub.contracts import Timer
from chappe.model.error_codes import Code

if TYPE_CHECKING:
    from chappe.hub.hub import HubCore
    from chappe.hub.session import Session

#: Entries of sessions that are gone stay until there are so many more of them than sessions.
_SLACK: Final = 64


class Expiry:
    """Which session's token ends next. A timer for each would cost more than anything else a session has."""

    def __init__(self, hub: "HubCore") -> None:
        self._hub = hub
        # By id and not by session: an entry keeps nothing alive. It counts while the session still has this deadline.
        self._due: list[tuple[float, str]] = []
        self._timer: Timer | None = None
        self._timer_at = math.inf

    def watch(self, session: "Session") -> None:
        """Close a session (3005) when the token that it has now expires."""
        expires_at = session.actor.claims.expires_at
        if expires_at is None:
            session.expires_at = math.inf
            return
        clock = self._hub.clock
        session.expires_at = clock.now() + max(0.0, expires_at - clock.wall_ms() / 1_000)
        heapq.heappush(self._due, (session.expires_at, session.id))
        if len(self._due) > 2 * len(self._hub.sessions) + _SLACK:
            self._tidy()
        self._arm()

    def forget(self, session: "Session") -> None:
        """Let a session go that ended; the last one takes the timer with it."""
        session.expires_at = math.inf
        if not self._hub.sessions:
            self._due = []
            if self._timer is not None:
                self._timer.cancel()
            self._timer, self._timer_at = None, math.inf

    def __len__(self) -> int:
        """Return how many entries there are, those of sessions that are gone included."""
        return len(self._due)

    def _arm(self) -> None:
        first = self._due[0][0] if self._due else math.inf
        # A timer that comes too early finds nothing to do and is armed anew.
        if first < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = first
            self._timer = self._hub.clock.call_later(max(0.0, first - self._hub.clock.now()), self._expire)

    def _expire(self) -> None:
        # The moment it was armed for is here, whatever the clock's last digit says.
        now = max(self._timer_at, self._hub.clock.now())
        self._timer, self._timer_at = None, math.inf
        while self._due and self._due[0][0] <= now:
            at, name = heapq.heappop(self._due)
            session = self._hub.sessions.get(name)
            if session is not None and session.expires_at == at:
                session.close(Code.EXPIRED)
        self._arm()

    def _tidy(self) -> None:
        sessions = self._hub.sessions.values()
        self._due = [(each.expires_at, each.id) for each in sessions if each.expires_at < math.inf]
        heapq.heapify(self._due)
