"""`/echo`: every frame returns unchanged to its sender."""

from collections.abc import Callable
from typing import Final

from chappe.hub.contracts import Claims, Link, Timer
from chappe.hub.hub import HubCore
from chappe.hub.session import CREDENTIALS_REFUSED
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.model.frame import Frame

#: Seconds for which a client that is too fast may not be read, at most.
_MOST_OWED_S: Final = 5.0
#: What a timer may miss its moment by, seconds.
_TIMER_S: Final = 0.001


class Echo:
    """Answers each message with itself."""

    __slots__ = ("_full_at", "_hub", "_is_paced", "_link", "_send", "_token")

    def __init__(self, link: Link, hub: HubCore) -> None:
        self._link = link
        # An echo is nobody else's: while a native link compresses a large one, others may have a turn.
        self._send: Callable[[Frame], None] = getattr(link, "send_in_pieces", link.send)
        self._hub = hub
        self._is_paced = hub.limits.messages_per_s > 0
        self._full_at = 0.0
        self._token: Timer | None = None

    def receive(self, payload: bytes, text: bool) -> None:
        """Send a message back; who sends too many is read no more until there is a token (`limits.messages_per_s`)."""
        self._send(Frame(payload, text))
        if self._is_paced:
            self._count()

    def _count(self) -> None:
        hub, now = self._hub, self._hub.clock.now()
        self._full_at = hub.pace.owe(self._full_at, now, _MOST_OWED_S)
        wait_s = hub.pace.wait_s(self._full_at, now)
        if wait_s and self._token is None:
            hub.counters.paused += 1
            self._link.pause()
            self._token = hub.clock.call_later(wait_s, self._read_again)

    def lost(self, code: int) -> None:
        """Wait for nothing any more."""
        if self._token is not None:
            self._token.cancel()

    def _read_again(self) -> None:
        # What came in one piece with the message that was too fast is owed as well.
        wait_s = self._hub.pace.wait_s(self._full_at, self._hub.clock.now())
        self._token = self._hub.clock.call_later(wait_s, self._read_again) if wait_s > _TIMER_S else None
        if self._token is None:
            self._link.resume()
        # Many that had to wait may go on at the same time.
        self._hub.breathe()

    def dropped(self, channel: str, count: int) -> None:
        """Nothing is dropped: an echo belongs to no channel."""


class GuardedEcho(Echo):
    """An echo for who shows a credential; until it is verified nothing is answered, and no more is read.

    It ends with the credential (3005), and when that is revoked (3500).

    Attributes:
        claims: what the credential says.
    """

    __slots__ = ("_early", "_end", "_is_lost", "claims")

    def __init__(self, link: Link, hub: HubCore, credential: str | Claims) -> None:
        super().__init__(link, hub)
        self.claims = Claims()
        self._end: Timer | None = None
        self._is_lost = False
        # What came in one piece with the handshake; None: it is verified.
        self._early: list[tuple[bytes, bool]] | None = []
        link.pause()
        if isinstance(credential, str):
            hub.authentication.verify(credential, self._identified)
        else:
            hub.authentication.judge(credential, self._identified)

    def _identified(self, claims: Claims | None, error: ChappeError | None) -> None:
        if error is not None:
            self._link.close(CREDENTIALS_REFUSED.get(error.code, Code.INVALID_TOKEN), error.reason)
            return
        if claims is not None and not self._is_lost:
            self.claims = claims
            self._hub.revocations.holders.add(self)
            if claims.expires_at is not None:
                left_s = claims.expires_at - self._hub.clock.wall_ms() / 1_000
                self._end = self._hub.clock.call_later(max(0.0, left_s), lambda: self._link.close(Code.EXPIRED))
        early, self._early = self._early or [], None
        for payload, text in early:
            self.receive(payload, text)
        if self._token is None:
            self._link.resume()

    def receive(self, payload: bytes, text: bool) -> None:
        """Send a message back, or keep it until it is known whose it is."""
        if self._early is None:
            super().receive(payload, text)
        else:
            self._early.append((payload, text))

    def revoked(self) -> None:
        """End."""
        self._link.close(Code.INVALID_TOKEN)

    def lost(self, code: int) -> None:
        """Wait for nothing any more."""
        super().lost(code)
        self._is_lost = True
        self._hub.revocations.holders.discard(self)
        if self._end is not None:
            self._end.cancel()
