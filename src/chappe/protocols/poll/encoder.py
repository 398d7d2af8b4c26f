"""chappe.v1 as JSON text, in frames that remember what they say."""

from chappe.model.frame import Frame
from chappe.model.publication import Publication
from chappe.protocols import base
from chappe.protocols.chappe import JsonEncoder
from chappe.protocols.sse import EventFrame, MessageFrame


class PollEncoder:
    """Encodes as chappe.v1 does; the mailbox looks at what is said, to find the POST that an answer belongs to."""

    name = "chappe.v1.poll"
    wants_names = False

    def __init__(self) -> None:
        self._json = JsonEncoder()

    def publication(self, publication: Publication) -> Frame:
        """Encode a publication."""
        frame = self._json.publication(publication)
        return EventFrame(frame.payload, True, frame.channel, frame.key, publication=publication)

    def message(self, message: base.Message) -> Frame | None:
        """Encode a message; None if chappe.v1 has no word for it."""
        frame = self._json.message(message)
        return None if frame is None else MessageFrame(frame.payload, True, message=message)
