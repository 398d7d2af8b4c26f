"""`/echo`: every frame returns unchanged to its sender."""

from chappe.hub.contracts import Link
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
