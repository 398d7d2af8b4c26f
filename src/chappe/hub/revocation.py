"""What was revoked: tokens by their id, and all of a user's that were issued before, until they would have expired."""

from collections.abc import Iterable
from typing import Final, Literal, Protocol, TypeAlias

from chappe.hub.contracts import Claims

#: How long a token is refused whose end nobody knows, seconds; who issues tokens that live longer tells their end.
UNKNOWN_S: Final = 30 * 86_400.0
#: Ids, and users, kept; beyond, those that would expire first are forgotten.
_MOST: Final = 100_000
#: So many more are taken before they are sorted again.
_SLACK: Final = 1_024

Entry: TypeAlias = tuple[Literal["token", "user"], str, float, float]
"""What is refused: the id of a token or a user; until when; and, of a user, tokens issued at that moment or before.

Moments are seconds since 1970; the last one is 0 for a token.
"""


class Holder(Protocol):
    """Somebody who was let in without a session, which a revocation would find."""

    @property
    def claims(self) -> Claims:
        """What was shown."""

    def revoked(self) -> None:
        """End: it is refused now."""


class Revocations:
    """What is refused.

    Attributes:
        holders: who is told when what they showed is refused; whoever ends takes himself out.
    """

    def __init__(self) -> None:
        self.holders: set[Holder] = set()
        self._until: dict[str, float] = {}
        # Until when, and which tokens.
        self._users: dict[str, tuple[float, float]] = {}

    def add(self, entries: Iterable[Entry], wall_s: float) -> None:
        """Refuse tokens from here on, and end their holders; of two moments the later one counts."""
        for kind, name, until, before in entries:
            if kind == "user":
                known_until, known_before = self._users.get(name, (0.0, 0.0))
                self._users[name] = max(until, known_until), max(before, known_before)
            else:
                self._until[name] = max(until, self._until.get(name, 0.0))
        if len(self._until) > _MOST + _SLACK:
            kept = sorted(self._until.items(), key=lambda entry: entry[1])[-_MOST:]
            self._until = {name: until for name, until in kept if until > wall_s}
        if len(self._users) > _MOST + _SLACK:
            users = sorted(self._users.items(), key=lambda entry: entry[1])[-_MOST:]
            self._users = {name: moments for name, moments in users if moments[0] > wall_s}
        for holder in tuple(self.holders):
            if self.refuses(holder.claims, wall_s):
                holder.revoked()

    def end_of(self, user: str | None) -> None:
        """End the holders of a user, whatever they showed and whenever it was issued."""
        for holder in tuple(self.holders):
            if user is not None and holder.claims.user == user:
                holder.revoked()

    def refuses(self, claims: Claims, wall_s: float) -> bool:
        """Tell whether what somebody shows is refused now; a token that does not say when it was issued, by its id."""
        if claims.token_id is not None and claims.token_id in self._until:
            if self._until[claims.token_id] > wall_s:
                return True
            del self._until[claims.token_id]
        if claims.user is not None and claims.issued_at is not None and claims.user in self._users:
            until, before = self._users[claims.user]
            if until > wall_s:
                # Most issuers tell whole seconds: what was issued in the same one is refused as well.
                return claims.issued_at <= before
            del self._users[claims.user]
        return False

    def entries(self, wall_s: float) -> list[Entry]:
        """Return what is refused now."""
        tokens: list[Entry] = [("token", name, until, 0.0) for name, until in self._until.items() if until > wall_s]
        users: list[Entry] = [
            ("user", name, until, before) for name, (until, before) in self._users.items() if until > wall_s
        ]
        return tokens + users

    def __len__(self) -> int:
        """Return how many are kept, those included whose time is over and that nobody asked for since."""
        return len(self._until) + len(self._users)
