"""chappe.v1 messages as JSON text (spec/protocol.md, clause CH-4)."""

from collections.abc import Mapping

import msgspec

from chappe.model.frame import Frame
from chappe.model.publication import Kind, Publication, Sender
from chappe.model.timestamps import rfc3339
from chappe.protocols import base
from chappe.protocols.chappe.fields import message_fields

_encode = msgspec.json.Encoder().encode


class _Shown(msgspec.Struct, gc=False, omit_defaults=True, rename={"sender": "from"}):
    """A publication as it is on the wire, so that one call writes all of it; the payload is JSON text already."""

    channel: str
    data: msgspec.Raw
    offset: int | msgspec.UnsetType
    epoch: str | msgspec.UnsetType
    time: str
    sender: Sender | None
    id: str | None = None
    headers: Mapping[str, str] | None = None
    retained: bool = False


class _Pushed(_Shown, gc=False, tag_field="type", tag="publication"):
    """The same as a message of its own."""


class JsonEncoder:
    """Encodes as JSON text."""

    name = "chappe.v1"
    wants_names = False

    def publication(self, publication: Publication) -> Frame:
        """Encode a publication."""
        headers = publication.headers
        return Frame(
            _encode(_shown(_Pushed, publication)), True, publication.channel, headers.get("key") if headers else None
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
    return _encode(_shown(_Shown, publication))


def _shown(kind: type[_Shown], publication: Publication) -> _Shown:
    transient = publication.transient
    return kind(
        publication.channel,
        msgspec.Raw(publication.payload if publication.kind is Kind.JSON else publication.as_json()),
        msgspec.UNSET if transient else publication.offset,
        msgspec.UNSET if transient else publication.epoch,
        rfc3339(publication.time_ms),
        publication.sender,
        publication.id,
        publication.headers or None,
        publication.retained,
    )


def _history(page: base.HistoryPage) -> bytes:
    return b'{"type":"reply","id":%d,"channel":%b,"publications":[%b],"epoch":"%b","offset":%d}' % (
        page.id,
        _encode(page.channel),
        b",".join(map(encode_publication, page.publications)),
        page.position.epoch.encode(),
        page.position.offset,
    )
