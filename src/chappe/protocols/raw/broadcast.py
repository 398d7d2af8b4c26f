"""`/broadcast`: every frame goes unchanged to all connections, the sender included (spec/protocol.md, part RA)."""

from typing import Final

from chappe.model.frame import Frame
from chappe.model.limits import Limits
from chappe.model.publication import Kind, Publication
from chappe.protocols import base

CHANNEL: Final = "broadcast"


class BroadcastProtocol:
    """Decodes nothing: a frame is a publication in the channel `broadcast`; stateless."""

    closes_refused_names = False

    def __init__(self, limits: Limits, encoder: "RawEncoder") -> None:
        self.encoder = encoder
        # There is no word for error 113 here, so what is too large is never taken: nothing is dropped in silence.
        self.frame_bytes = (limits.message_bytes, limits.message_bytes)

    def receive(self, payload: bytes, text: bool) -> list[base.Command]:
        """Return the frame as a publication."""
        return [base.Publish(0, CHANNEL, payload, Kind.TEXT if text else Kind.BINARY)]

    def opened(self, name: str) -> None:
        """Nothing depends on the name here."""

    def entered(self, channel: str) -> None:
        """Nothing depends on the channels here."""

    def resolve(self, command: base.Command) -> base.Command:
        """Return the command: none of this protocol waits for a login."""
        return command

    def joins_at_once(self) -> str | None:
        """Every connection is in the channel from its first moment."""
        return CHANNEL


class RawEncoder:
    """Sends payloads as they were published; has no word for anything else."""

    name = "raw"
    wants_names = False

    def publication(self, publication: Publication) -> Frame:
        """Return the payload: binary stays binary, text and JSON are text."""
        return Frame(publication.as_raw(), publication.kind is not Kind.BINARY, publication.channel)

    def message(self, message: base.Message) -> Frame | None:
        """Stay silent."""
        return None
