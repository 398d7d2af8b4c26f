"""What a message of a stream holds: a publication, or the mark of a channel's birth."""

from typing import Final, TypeAlias

import msgspec

from chappe.hub.contracts import Append
from chappe.model.publication import Kind, Publication, Sender

#: Log positions count publications of the main stream in steps of this; those of live channels come between two.
LOG_STEP: Final = 1 << 40
#: How long the last publication of a channel stays beyond its age: so long a channel that nobody uses keeps its epoch.
META_AGE_S: Final = 4_000.0

_Sender: TypeAlias = tuple[str | None, str, str]


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One message.

    Attributes:
        birth: sequence of the mark that began the channel's present life; 0: this is such a mark.
        origin, number: which broker wrote it, and which of its appends it is.
        count, age_s: how much history its namespace keeps.
        transient: it is in the feed and nowhere else.
        offset: only in the retained slot: where the publication itself is.
        kept: whether its channel is in the main stream.
        owner: whose key it is.
    """

    birth: int
    origin: int = 0
    number: int = 0
    kind: int = 0
    time_ms: int = 0
    payload: bytes = b""
    sender: _Sender | None = None
    key: str | None = None
    headers: dict[str, str] | None = None
    count: int = 0
    age_s: float = 0.0
    transient: bool = False
    offset: int = 0
    kept: bool = True
    owner: str = ""

    def publication(self, channel: str, offset: int, epoch: str, log: int, *, retained: bool = False) -> Publication:
        """Return what was published."""
        return Publication(
            channel,
            self.payload,
            Kind(self.kind),
            offset,
            epoch,
            self.time_ms,
            Sender(*self.sender) if self.sender is not None else None,
            self.key,
            self.headers,
            log,
            retained,
            self.transient,
        )


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Record).decode


def record_of(item: Append, birth: int, origin: int, number: int) -> Record:
    """Return the record of a publication that is to be stored or passed on."""
    sender = item.sender
    return Record(
        birth,
        origin,
        number,
        int(item.kind),
        item.time_ms,
        item.payload,
        (sender.user, sender.name, sender.session) if sender is not None else None,
        item.key,
        dict(item.headers) if item.headers is not None else None,
        item.namespace.history_count if item.namespace.keeps_history else 0,
        item.namespace.history_age_s,
        item.transient,
        0,
        item.namespace.keeps_history,
        item.key_owner if item.key is not None else "",
    )
