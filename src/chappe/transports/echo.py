"""`/echo`: every frame returns unchanged to its sender."""

from chappe.hub.contracts import Claims, Link
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
    """An echo for who shows a credential; until it is verified nothing is answered, and no more is read."""

    __slots__ = ("_early",)

    def __init__(self, link: Link, hub: HubCore, credential: str) -> None:
        super().__init__(link)
        # What came in one piece with the handshake; None: it is verified.
        self._early: list[tuple[bytes, bool]] | None = []
        link.pause()
        hub.authentication.verify(credential, self._identified)

    def _identified(self, claims: Claims | None, error: ChappeError | None) -> None:
        if error is not None:
            self._link.close(CREDENTIALS_REFUSED.get(error.code, Code.INVALID_TOKEN), error.reason)
            return
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
