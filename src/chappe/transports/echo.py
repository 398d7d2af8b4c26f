"""`/echo`: every frame returns unchanged to its sender."""

from chappe.hub.contracts import Claims, Link, Timer
from chappe.hub.hub import HubCore
from chappe.hub.session import CREDENTIALS_REFUSED
from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.model.frame import Frame


class Echo:
    """Answers each message with itself."""

    __slots__ = ("_link",)

    def __init__(self, link: Link) -> None:
        self._link = link

    def receive(self, payload: bytes, text: bool) -> None:
        """Send a message back."""
        self._link.send(Frame(payload, text))

    def lost(self, code: int) -> None:
        """Nothing is kept."""

    def dropped(self, channel: str, count: int) -> None:
        """Nothing is dropped: an echo belongs to no channel."""


class GuardedEcho(Echo):
    """An echo for who shows a credential; until it is verified nothing is answered, and no more is read.

    It ends with the credential (3005).
    """

    __slots__ = ("_early", "_end", "_hub", "_is_lost")

    def __init__(self, link: Link, hub: HubCore, credential: str | Claims) -> None:
        super().__init__(link)
        self._hub = hub
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
        if claims is not None and claims.expires_at is not None and not self._is_lost:
            left_s = claims.expires_at - self._hub.clock.wall_ms() / 1_000
            self._end = self._hub.clock.call_later(max(0.0, left_s), lambda: self._link.close(Code.EXPIRED))
        early, self._early = self._early or [], None
        for payload, text in early:
            self.receive(payload, text)
        self._link.resume()

    def receive(self, payload: bytes, text: bool) -> None:
        """Send a message back, or keep it until it is known whose it is."""
        if self._early is None:
            super().receive(payload, text)
        else:
            self._early.append((payload, text))

    def lost(self, code: int) -> None:
        """Wait for nothing any more."""
        self._is_lost = True
        if self._end is not None:
            self._end.cancel()
