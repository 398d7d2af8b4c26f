"""Publications as messages of MQTT and back: what goes into headers, and what a payload is.

What MQTT says of a message beside its payload travels as headers of the publication, so that every broker keeps it and
every protocol may show it (spec/protocol.md, part MQ).
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Final

import msgspec

from chappe.model.publication import Kind, Publication
from chappe.protocols.mqtt.packets import (
    NO_PUBLISH_PROPERTIES,
    PublishProperties,
    UserProperties,
    WillProperties,
)

#: The QoS that a message was published with; absent: not by MQTT, and then 2: it is acknowledged where it is kept.
QOS: Final = "mqtt-qos"
#: RETAIN was set, for subscribers that want it as published.
RETAIN: Final = "mqtt-retain"
#: Milliseconds since 1970 after which nobody wants it any more.
EXPIRES: Final = "mqtt-expires"
FORMAT: Final = "mqtt-payload-format"
CONTENT_TYPE: Final = "content-type"
RESPONSE_TOPIC: Final = "response-topic"
#: In base64.
CORRELATION: Final = "correlation-data"
#: User properties that no mapping can hold, as a JSON array of pairs: a name that comes twice, or is one of these here.
PROPERTIES: Final = "mqtt-properties"
_RESERVED: Final = frozenset({QOS, RETAIN, EXPIRES, FORMAT, CONTENT_TYPE, RESPONSE_TOPIC, CORRELATION, PROPERTIES})
_BARE: Final[tuple[Mapping[str, str], ...]] = ({QOS: "0"}, {QOS: "1"}, {QOS: "2"})
_PAIRS: Final = msgspec.json.Decoder(list[tuple[str, str]])
#: What a publication without such headers says of itself: publishers of other protocols name no content type.
_TEXT: Final = PublishProperties(payload_format=1)
_JSON: Final = PublishProperties(payload_format=1, content_type="application/json")


def headers_of(
    qos: int, retain: bool, properties: PublishProperties | WillProperties, now_ms: int
) -> Mapping[str, str]:
    """Return the headers of a message."""
    if properties is NO_PUBLISH_PROPERTIES and not retain:
        return _BARE[qos]
    headers: dict[str, str] = dict(_BARE[qos])
    if retain:
        headers[RETAIN] = "1"
    if properties.message_expiry_s is not None:
        headers[EXPIRES] = str(now_ms + properties.message_expiry_s * 1_000)
    if properties.payload_format is not None:
        headers[FORMAT] = str(properties.payload_format)
    if properties.content_type is not None:
        headers[CONTENT_TYPE] = properties.content_type
    if properties.response_topic is not None:
        headers[RESPONSE_TOPIC] = properties.response_topic
    if properties.correlation_data is not None:
        headers[CORRELATION] = base64.b64encode(properties.correlation_data).decode()
    pairs = properties.user_properties
    if pairs:
        named = dict(pairs)
        if len(named) == len(pairs) and not _RESERVED & named.keys():
            headers.update(named)
        else:
            headers[PROPERTIES] = msgspec.json.encode(pairs).decode()
    return headers


def kind_of(payload: bytes, properties: PublishProperties | WillProperties) -> Kind:
    """Return what a payload is: what the publisher says of it, else text if it can be text.

    A JSON string stays raw: as a value it would leave without its quotes, and MQTT passes payloads on unchanged.
    """
    content_type = properties.content_type
    if content_type is None:
        return Kind.BINARY if properties.payload_format == 0 else _text_or_bytes(payload)
    media = content_type.partition(";")[0].strip().lower()
    if media == "application/json" or media.endswith("+json"):
        text = payload.lstrip(b" \t\r\n")
        if text[:1] == b'"':
            return Kind.TEXT
        try:
            msgspec.json.decode(payload)
            payload.decode()
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return Kind.BINARY
        return Kind.JSON
    if properties.payload_format == 0 or (
        media and properties.payload_format is None and not media.startswith("text/")
    ):
        return Kind.BINARY
    return _text_or_bytes(payload)


def _text_or_bytes(payload: bytes) -> Kind:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return Kind.BINARY
    return Kind.TEXT


def qos_of(publication: Publication, is_live: bool) -> int:
    """Return the QoS that a publication was made with; 0 in a namespace that keeps nothing."""
    if is_live:
        return 0
    headers = publication.headers
    text = headers.get(QOS) if headers else None
    return 2 if text is None else 1 if text == "1" else 0 if text == "0" else 2


def is_expired(publication: Publication, now_ms: int) -> bool:
    """Whether nobody wants a message any more."""
    expires_ms = _number(publication.headers, EXPIRES)
    return expires_ms is not None and expires_ms <= now_ms


def was_retained(publication: Publication) -> bool:
    """Whether a message was published with RETAIN."""
    return bool(publication.headers) and publication.headers.get(RETAIN) == "1"  # type: ignore[union-attr]


def properties_of(publication: Publication, now_ms: int, *, position: bool = False) -> PublishProperties:
    """Return the properties that a publication goes out with.

    Args:
        position: tell its offset and epoch as user properties behind the others.
    """
    headers = publication.headers
    tells_position = position and publication.offset > 0
    if not tells_position:
        if not headers:
            return _own_words(publication)
        if headers is _BARE[0] or headers is _BARE[1] or headers is _BARE[2]:
            return NO_PUBLISH_PROPERTIES
    headers = headers or {}
    pairs = _user_properties(headers)
    if tells_position:
        pairs += (("chappe-offset", str(publication.offset)), ("chappe-epoch", publication.epoch))
    expires_ms = _number(headers, EXPIRES)
    format_ = _number(headers, FORMAT)
    content_type = headers.get(CONTENT_TYPE)
    if QOS not in headers and format_ is None and content_type is None:
        own = _own_words(publication)
        format_, content_type = own.payload_format, own.content_type
    return PublishProperties(
        payload_format=format_ if format_ in (0, 1) else None,
        # The seconds that are left (MQTT 5, 3.3.2.3.3); what is over is not sent at all.
        message_expiry_s=None if expires_ms is None else max(0, expires_ms - now_ms) // 1_000,
        response_topic=headers.get(RESPONSE_TOPIC),
        correlation_data=_correlation(headers.get(CORRELATION)),
        user_properties=pairs,
        content_type=content_type,
    )


def _own_words(publication: Publication) -> PublishProperties:
    """Return what the kind of a payload says, where its publisher said nothing in MQTT's words."""
    if publication.kind is Kind.BINARY:
        return NO_PUBLISH_PROPERTIES
    if publication.kind is Kind.TEXT or publication.payload[:1] == b'"':
        return _TEXT
    return _JSON


def _user_properties(headers: Mapping[str, str]) -> UserProperties:
    listed = headers.get(PROPERTIES)
    pairs = tuple((name, value) for name, value in headers.items() if name not in _RESERVED)
    if listed is None:
        return pairs
    try:
        return pairs + tuple(_PAIRS.decode(listed))
    except (msgspec.DecodeError, RecursionError):
        return pairs


def _number(headers: Mapping[str, str] | None, name: str) -> int | None:
    text = headers.get(name) if headers else None
    if text is None or not (text.isascii() and text.isdigit()) or len(text) > 15:
        return None
    return int(text)


def _correlation(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
