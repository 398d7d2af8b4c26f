"""Publications and messages as events (spec/protocol.md, part SE)."""

from typing import Final

from chappe.model.error_codes import Code
from chappe.model.frame import Frame
from chappe.model.publication import Publication
from chappe.protocols import base
from chappe.protocols.chappe import JsonEncoder
from chappe.protocols.sse.cursor import cursor_of
from chappe.protocols.sse.event_text import SILENCE, data_field, event, field

#: What opens a stream or refuses it: the stream itself takes these, they are never written as they are.
_OPENING: Final = (base.Connected, base.Subscribed, base.Failed)


class EventFrame(Frame, kw_only=True, gc=False):
    """A publication as text, and what it says.

    Attributes:
        publication: what it says, for streams that end it with a cursor of their own.
    """

    publication: Publication


class MessageFrame(Frame, kw_only=True, gc=False):
    """A message as text, and what it says: streams that open and mailboxes look at it."""

    message: base.Message


class EventEncoder:
    """Encodes for streams: `whole` events end with the cursor of a stream that has this channel only.

    Otherwise they lack it and the blank line: each stream ends them itself (`end_event`).
    """

    wants_names = False

    def __init__(self, whole: bool) -> None:
        self.name = "sse" if whole else "sse.many"
        self._whole = whole
        self._json = JsonEncoder()

    def publication(self, publication: Publication) -> Frame:
        """Encode a publication: its chappe.v1 form, unnamed, so that a browser's `onmessage` gets it."""
        return self._event(self._json.publication(publication).payload, publication)

    def message(self, message: base.Message) -> Frame | None:
        """Encode a message as an event named by its type; None if there is no word for it.

        There is none for the end of a subscription that may begin again: a stream cannot subscribe, so it ends, and its
        reader comes back with a cursor and misses nothing.
        """
        if type(message) is base.Unsubscribed and message.code >= Code.UNSUBSCRIBED_INSUFFICIENT_STATE:
            return None
        frame = self._json.message(message)
        if frame is None:
            return None
        return MessageFrame(event(frame.payload, name_of(type(message))), True, message=message)

    def _event(self, payload: bytes, publication: Publication) -> Frame:
        channel = publication.channel
        if self._whole:
            text = event(payload, id=cursor_of(channel, publication.position) if is_place(publication) else b"")
        else:
            text = data_field(payload)
        key = publication.headers.get("key") if publication.headers else None
        return EventFrame(text, True, channel, key, publication=publication)


class RawEventEncoder(EventEncoder):
    """Sends nothing but the payloads, for readers that know no Chappe."""

    def __init__(self, whole: bool) -> None:
        super().__init__(whole)
        self.name = "sse.raw" if whole else "sse.raw.many"

    def publication(self, publication: Publication) -> Frame:
        """Return the bare payload; bytes that are no UTF-8 cannot be in an event and are JSON, in base64."""
        payload = publication.as_raw()
        try:
            payload.decode()
        except UnicodeDecodeError:
            payload = publication.as_json()
        return self._event(payload, publication)

    def message(self, message: base.Message) -> Frame | None:
        """Stay silent, but for what opens the stream."""
        return MessageFrame(SILENCE, True, message=message) if isinstance(message, _OPENING) else None


def is_place(publication: Publication) -> bool:
    """Tell whether a reader of this publication has come to its position: it is kept, and comes in its turn."""
    return not publication.transient and not publication.retained


def end_event(frame: EventFrame, cursor: bytes) -> Frame:
    """Return an event of a stream of several channels with its end; without a cursor readers keep the last one."""
    ended = Frame(frame.payload + (field(b"id", cursor) if cursor else b"") + b"\n", True, frame.channel, frame.key)
    ended.policy = frame.policy
    return ended


def name_of(kind: type) -> bytes:
    """Return the name of the events of a kind of message: its `type` in chappe.v1."""
    return _NAMES.get(kind, b"reply")


_NAMES: Final[dict[type, bytes]] = {
    base.Failed: b"error",
    base.Joined: b"join",
    base.Left: b"leave",
    base.PresenceState: b"presence",
    base.Unsubscribed: b"unsubscribed",
    base.Missed: b"missed",
    base.Direct: b"message",
    base.Pong: b"pong",
}
