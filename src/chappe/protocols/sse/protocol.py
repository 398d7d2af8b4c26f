"""The server's side of a stream: it only speaks."""

from chappe.model.limits import Limits
from chappe.protocols import base


class SseProtocol:
    """Decodes nothing: what its client asks came with the request; stateless."""

    closes_refused_names = False

    def __init__(self, limits: Limits, encoder: base.Encoder) -> None:
        self.encoder = encoder
        self.frame_bytes = (limits.frame_bytes, limits.frame_bytes)

    def receive(self, payload: bytes, text: bool) -> list[base.Command]:
        """Return nothing: a reader of events has nothing to say on its connection."""
        return []

    def opened(self, name: str) -> None:
        """Nothing depends on the name here."""

    def entered(self, channel: str) -> None:
        """Nothing depends on the channels here."""

    def resolve(self, command: base.Command) -> base.Command:
        """Return the command: none of this protocol waits for a login."""
        return command

    def joins_at_once(self) -> str | None:
        """Nothing is joined without asking."""
        return None
