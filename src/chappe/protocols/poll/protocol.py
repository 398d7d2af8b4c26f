"""chappe.v1 frames that come by POST."""

from collections.abc import Callable, Sequence

from chappe.model.limits import Limits
from chappe.protocols import base
from chappe.protocols.chappe import ChappeProtocol


class PollProtocol(ChappeProtocol):
    """Decodes chappe.v1 for one session, and tells which commands each frame had."""

    def __init__(
        self, limits: Limits, encoder: base.Encoder, took: Callable[[Sequence[base.Command]], None] = lambda _: None
    ) -> None:
        """Take who is told the commands of each frame, in wire order, before the first of them is carried out."""
        super().__init__(limits, encoder)
        self._took = took

    def receive(self, payload: bytes, text: bool) -> list[base.Command]:
        """Decode one frame: an object is one command, an array a batch in order.

        Raises:
            RemoteProtocolError: 3501, it is no text.
        """
        commands = [*super().receive(payload, text)]
        self._took(commands)
        return commands
