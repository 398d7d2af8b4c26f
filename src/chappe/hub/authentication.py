"""Whose credential it is: the one way from a token or a ticket to claims, on every transport."""

from typing import TYPE_CHECKING

from chappe.hub.contracts import Claims, Identified
from chappe.hub.tickets import PREFIX, Tickets
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError

if TYPE_CHECKING:
    from chappe.hub.hub import HubCore


class Authentication:
    """Verifies credentials.

    Attributes:
        tickets: those that this node gave out.
    """

    def __init__(self, hub: "HubCore") -> None:
        self._hub = hub
        self.tickets = Tickets(hub)

    def verify(self, credential: str, done: Identified) -> None:
        """Verify a token or a ticket; `done` gets the claims or 101, 108, 109, inside this call or later."""

        def finished(claims: Claims | None, error: BaseException | None) -> None:
            if error is None and claims is not None:
                # Whoever verified it, and also what a ticket stands for.
                self.judge(claims, done)
                return
            refusal = error if isinstance(error, ChappeError) else self._unforeseen(error)
            self._hub.counters.unauthorized += 1
            done(None, refusal)

        if credential.startswith(PREFIX):
            self.tickets.take(credential, finished)
            return
        try:
            if self._hub.authenticator is None:
                raise ChappeError(Code.UNAUTHORIZED, detail={"problem": "this hub takes no tokens"})
            found = self._hub.authenticator.authenticate(credential, self._hub.clock.wall_ms() / 1_000)
        except ChappeError as error:
            finished(None, error)
            return
        if isinstance(found, Claims):
            finished(found, None)
        else:
            self._hub.hooks.spawn(found, finished)

    def judge(self, claims: Claims, done: Identified) -> None:
        """Give `done` claims that somebody verified, as a TLS handshake does; 101: revoked, 109: ended."""
        wall_s = self._hub.clock.wall_ms() / 1_000
        if self._hub.revocations.refuses(claims, wall_s):
            error = ChappeError(Code.UNAUTHORIZED, detail={"problem": "the token was revoked"})
        elif claims.expires_at is not None and wall_s >= claims.expires_at:
            error = ChappeError(Code.TOKEN_EXPIRED)
        else:
            done(claims, None)
            return
        self._hub.counters.unauthorized += 1
        done(None, error)

    def _unforeseen(self, error: BaseException | None) -> ChappeError:
        """Return what is told when an authenticator failed; nobody gets in then."""
        if isinstance(error, Exception):
            self._hub.report(error, "the authenticator failed")
        return ChappeError(Code.NOT_AVAILABLE)
