"""chappe.v1 messages as JSON text (spec/protocol.md, clause CH-4)."""

import msgspec

from chappe.model.frame import Frame
from chappe.model.publication import Publication
from chappe.model.timestamps import rfc3339
from chappe.protocols import base
from chappe.protocols.chappe.fields import message_fields, sender_fields

_encode = msgspec.json.encode


class JsonEncoder:
    """Encodes as JSON text."""

    name = "chappe.v1"
    wants_names = False

    def publication(self, publication: Publication) -> Frame:
        """Encode a publication by joining its parts: the payload is JSON text already."""
        return Frame(
            _publication(publication, b'{"type":"publication","channel":'),
            True,
            publication.channel,
            publication.headers.get("key") if publication.headers else None,
        )

    def message(self, message: base.Message) -> Frame | None:
        """Encode a message; names of a room are not told in this protocol."""
        if type(message) is base.Published:
            return Frame(
                b'{"type":"reply","id":%d,"offset":%d,"epoch":"%b"}'
                % (message.id, message.offset, message.epoch.encode()),
                True,
            )
        if type(message) is base.Direct:
            return Frame(b'{"type":"message","data":%b}' % message.payload, True)
        if type(message) is base.HistoryPage:
            return Frame(_history(message), True)
        fields = message_fields(message)
        return None if fields is None else Frame(_encode(fields), True)


def encode_publication(publication: Publication) -> bytes:
    """Return a publication as one JSON object, as HTTP and history answers show it."""
    return _publication(publication, b'{"channel":')


def _publication(publication: Publication, head: bytes) -> bytes:
    parts = [
        head,
        _encode(publication.channel),
        b',"data":',
        publication.as_json(),
    ]
    if not publication.transient:
        parts.append(b',"offset":%d,"epoch":"%b"' % (publication.offset, publication.epoch.encode()))
    parts.append(b',"time":"%b","from":' % rfc3339(publication.time_ms).encode())
    parts.append(_encode(sender_fields(publication.sender)))
    if publication.id is not None:
        parts.append(b',"id":' + _encode(publication.id))
    if publication.headers:
        parts.append(b',"headers":' + _encode(publication.headers))
    if publication.retained:
        parts.append(b',"retained":true')
    parts.append(b"}")
    return b"".join(parts)


def _history(page: base.HistoryPage) -> bytes:
    return b'{"type":"reply","id":%d,"channel":%b,"publications":[%b],"epoch":"%b","offset":%d}' % (
        page.id,
        _encode(page.channel),
        b",".join(map(encode_publication, page.publications)),
        page.position.epoch.encode(),
        page.position.offset,
    )
