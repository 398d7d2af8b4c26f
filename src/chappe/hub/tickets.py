"""Tickets: credentials for URLs, where a token would stay in logs. Each is good once and for half a minute.

The node that gave a ticket out is the one that takes it back; another node asks it. So of two that show one ticket one
gets in, on whatever nodes they are.
"""

import hashlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from chappe.hub.cluster.bus import Tell
from chappe.hub.contracts import Claims, Identified
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError

if TYPE_CHECKING:
    from chappe.hub.hub import HubCore

#: How every ticket begins, so that it is never taken for a token, nor a token for it.
PREFIX: Final = "chappe-ticket-"
#: How long a ticket is good for, seconds.
TICKET_S: Final = 30.0
_RANDOM_BYTES: Final = 24
#: Tickets that one user, and all, may hold at once.
_PER_USER: Final = 64
_IN_ALL: Final = 65_536


class Tickets:
    """The tickets of one node.

    Attributes:
        issued, taken, refused: counted.
    """

    def __init__(self, hub: "HubCore") -> None:
        self._hub = hub
        self.issued = self.taken = self.refused = 0
        # By hash, in the order in which they end: no time that a search takes tells of a ticket.
        self._open: dict[str, tuple[float, Claims]] = {}
        # By user, and without one by token: strangers to each other share nothing.
        self._held: dict[tuple[str | None, str | None], int] = {}
        if hub.cluster is not None:
            hub.cluster.bus.on("ticket.take", self._give, str)

    def issue(self, claims: Claims) -> tuple[str, float]:
        """Return a ticket that stands for claims, and when it ends, in seconds since 1970.

        Raises:
            ChappeError: 109, what it would stand for has expired; 111, too many are open.
        """
        now, wall_s = self._hub.clock.now(), self._hub.clock.wall_ms() / 1_000
        if claims.expires_at is not None and wall_s >= claims.expires_at:
            raise ChappeError(Code.TOKEN_EXPIRED)
        self._forget_ended(now)
        if len(self._open) >= _IN_ALL or self._held.get(_holder(claims), 0) >= _PER_USER:
            raise ChappeError(Code.TOO_MANY_REQUESTS, detail={"retry_after_s": TICKET_S})
        ticket = f"{PREFIX}{self._hub.node}{self._hub.random(_RANDOM_BYTES).hex()}"
        if claims.issued_at is None:
            # Whoever is revoked from here on is so with this ticket.
            claims = msgspec.structs.replace(claims, issued_at=wall_s)
        self._open[_hash(ticket)] = now + TICKET_S, claims
        holder = _holder(claims)
        self._held[holder] = self._held.get(holder, 0) + 1
        self.issued += 1
        return ticket, wall_s + TICKET_S

    def take(self, ticket: str, done: Identified) -> None:
        """Take a ticket back for what it stands for: 101 for one that is unknown, used or too old, 109, 108."""
        name, node = _hash(ticket), ticket[len(PREFIX) : -2 * _RANDOM_BYTES]
        cluster = self._hub.cluster
        if cluster is None or node not in cluster.nodes.others:
            self._judge(self._take(name), done)
            return

        def answered(answers: dict[str, Any]) -> None:
            if node not in answers:
                done(None, ChappeError(Code.NOT_AVAILABLE, "the node that gave the ticket out does not answer"))
                return
            self._judge(answers[node], done)

        cluster.bus.ask("ticket.take", name, (node,), answered, of=Claims | None)

    def metrics(self) -> dict[str, float]:
        """Return what is counted here, by name of the metric."""
        return {
            "chappe_tickets_open": len(self._open),
            "chappe_tickets_issued_total": self.issued,
            "chappe_tickets_taken_total": self.taken,
            "chappe_tickets_refused_total": self.refused,
        }

    def _judge(self, claims: Claims | None, done: Identified) -> None:
        if claims is None:
            self.refused += 1
            done(None, ChappeError(Code.UNAUTHORIZED, detail={"problem": "ticket: unknown, used or too old"}))
        elif claims.expires_at is not None and self._hub.clock.wall_ms() / 1_000 >= claims.expires_at:
            done(None, ChappeError(Code.TOKEN_EXPIRED))
        else:
            self.taken += 1
            done(claims, None)

    def _take(self, name: str) -> Claims | None:
        self._forget_ended(self._hub.clock.now())
        return self._remove(name) if name in self._open else None

    def _give(self, sender: str, body: str, answer: Tell) -> None:
        claims = self._take(body)
        # The clock that says when it was issued tells whether that was before a revocation; the other node's may not.
        if claims is not None and self._hub.revocations.refuses(claims, self._hub.clock.wall_ms() / 1_000):
            claims = None
        answer(claims)

    def _forget_ended(self, now: float) -> None:
        while self._open:
            name = next(iter(self._open))
            if now < self._open[name][0]:
                break
            self._remove(name)

    def _remove(self, name: str) -> Claims:
        _, claims = self._open.pop(name)
        holder = _holder(claims)
        left = self._held[holder] - 1
        if left:
            self._held[holder] = left
        else:
            del self._held[holder]
        return claims


def _holder(claims: Claims) -> tuple[str | None, str | None]:
    """Return who holds a ticket: a user, else a token."""
    return (claims.user, None) if claims.user is not None else (None, claims.token_id)


def _hash(ticket: str) -> str:
    return hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).hexdigest()
