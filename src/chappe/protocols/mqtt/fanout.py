"""Publications and messages as frames: one of QoS 0 for all plain clients of a version, or what each one needs."""

from collections.abc import Callable
from typing import Final

from chappe.model.errors import ChappeError
from chappe.model.frame import Frame
from chappe.model.publication import Publication
from chappe.protocols import base
from chappe.protocols.mqtt.encoder import PublishFrame, encode_publish
from chappe.protocols.mqtt.messages import EXPIRES, is_expired, properties_of
from chappe.protocols.mqtt.packets import NO_PUBLISH_PROPERTIES, PublishProperties, Version


class PublicationFrame(Frame, kw_only=True, gc=False):
    """A publication as a PUBLISH of QoS 0, and what it says; the bytes of a personal one are empty.

    Attributes:
        qos: what the publication was made with, for all who get it; None: nobody has asked yet.
        prepared: packets of QoS 1 and 2 that differ in the packet id only, by all else that they say.
    """

    publication: Publication
    qos: int | None = None
    prepared: dict[tuple[object, ...], PublishFrame] | None = None


class MessageFrame(Frame, kw_only=True, gc=False):
    """What the hub says to one client, in the hub's words: the client's state makes a packet of it."""

    message: base.Message


class Wording:
    """How publications are said in one version.

    Attributes:
        position: whether offset and epoch go along.
    """

    def __init__(self, version: Version, position: bool = False) -> None:
        self.version = version
        self.position = position

    def properties(self, publication: Publication, now_ms: int) -> PublishProperties:
        """Return what goes with a publication."""
        if self.version is not Version.V5:
            return NO_PUBLISH_PROPERTIES
        return properties_of(publication, now_ms, position=self.position)

    def plain(self, publication: Publication, now_ms: int) -> bytes:
        """Return a PUBLISH of QoS 0."""
        properties = self.properties(publication, now_ms)
        payload, retain = publication.as_raw(), publication.retained
        try:
            return encode_publish(publication.channel, payload, self.version, 0, retain, False, 0, properties)
        except ChappeError:
            # Headers of another protocol may be what no property can hold: the payload goes all the same.
            return encode_publish(publication.channel, payload, self.version, 0, retain)


class MqttEncoder:
    """Encodes for all clients of a version whose filters are plain: QoS 0 and nothing else to be said.

    Attributes:
        now_ms: returns milliseconds since 1970: what is over is not sent, and the rest tells what is left.
    """

    wants_names = False

    def __init__(self, wording: Wording, now_ms: Callable[[], int], *, personal: bool) -> None:
        """Make one; `personal`: each client makes its own packets, so that there are no bytes to share."""
        version = "5" if wording.version is Version.V5 else "3"
        self.name = f"mqtt.{version}{'.personal' if personal else ''}{'.position' if wording.position else ''}"
        self.wording = wording
        self._now_ms = now_ms
        self._personal = personal

    def publication(self, publication: Publication) -> Frame | None:
        """Encode a publication; None if it is over."""
        headers = publication.headers
        now_ms = 0
        if headers and EXPIRES in headers:
            now_ms = self._now_ms()
            if is_expired(publication, now_ms):
                return None
        data = b"" if self._personal else self.wording.plain(publication, now_ms)
        key = headers.get("key") if headers else None
        return PublicationFrame(data, False, publication.channel, key, publication=publication)

    def message(self, message: base.Message) -> Frame | None:
        """Return what the client's state makes packets of."""
        if type(message) in _UNSAID:
            return None
        return MessageFrame(b"", False, message=message)


#: What MQTT has no word for, and what is no loss to who does not hear it.
_UNSAID: Final = frozenset({base.Joined, base.Left, base.PresenceState, base.Names, base.Missed, base.Pong})
