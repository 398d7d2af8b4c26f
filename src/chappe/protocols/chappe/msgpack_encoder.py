"""chappe.v1 messages as MessagePack (spec/protocol.md, clause CH-4.9)."""

from typing import Any

import msgspec

from chappe.model.frame import Frame
from chappe.model.publication import Publication
from chappe.model.timestamps import rfc3339
from chappe.protocols import base
from chappe.protocols.chappe.fields import message_fields, sender_fields

_encode = msgspec.msgpack.encode


class MsgpackEncoder:
    """Encodes as MessagePack; bytes stay bytes."""

    name = "chappe.v1.msgpack"
    wants_names = False

    def publication(self, publication: Publication) -> Frame:
        """Encode a publication."""
        fields = {"type": "publication", **_publication(publication)}
        key = publication.headers.get("key") if publication.headers else None
        return Frame(_encode(fields), False, publication.channel, key)

    def message(self, message: base.Message) -> Frame | None:
        """Encode a message; names of a room are not told in this protocol."""
        fields: dict[str, Any] | None
        if type(message) is base.HistoryPage:
            fields = {
                "type": "reply",
                "id": message.id,
                "channel": message.channel,
                "publications": [_publication(publication) for publication in message.publications],
                "epoch": message.position.epoch,
                "offset": message.position.offset,
            }
        elif type(message) is base.Direct:
            fields = {"type": "message", "data": msgspec.json.decode(message.payload)}
        else:
            fields = message_fields(message)
        return None if fields is None else Frame(_encode(fields), False)


def _publication(publication: Publication) -> dict[str, Any]:
    fields: dict[str, Any] = {"channel": publication.channel, "data": publication.as_value()}
    if not publication.transient:
        fields["offset"] = publication.offset
        fields["epoch"] = publication.epoch
    fields["time"] = rfc3339(publication.time_ms)
    fields["from"] = sender_fields(publication.sender)
    if publication.id is not None:
        fields["id"] = publication.id
    if publication.headers:
        fields["headers"] = publication.headers
    if publication.retained:
        fields["retained"] = True
    return fields
