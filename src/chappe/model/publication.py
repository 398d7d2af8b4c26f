"""A publication: what moves through channels."""

import base64
import enum
import json
from collections.abc import Mapping
from typing import Any

import msgspec

from chappe.model.json_shape import json_problem
from chappe.model.position import Position


class Kind(enum.IntEnum):
    """What the payload bytes are."""

    JSON = 0  #: JSON text, published as a value by a protocol that has values
    TEXT = 1  #: UTF-8 text, published raw
    BINARY = 2  #: any bytes, published raw


class Sender(msgspec.Struct, frozen=True, gc=False):
    """Who published.

    Attributes:
        user: authenticated user, or None.
        name: the name shown: the user's, else the one claimed, else empty.
        session: public id of the session, or empty for a backend.
    """

    user: str | None
    name: str
    session: str


class Publication(msgspec.Struct, frozen=True, gc=False):
    """One publication as the broker keeps it.

    The payload stays as it was published; `as_json`, `as_raw` and `as_value` derive what another protocol needs. A
    fan-out asks once for each encoding.

    Attributes:
        time_ms: the hub's time, milliseconds since 1970 UTC.
        id: the idempotency key given by the publisher, or None.
        log: position in the log of the channel's namespace; comparable only within one broker.
        retained: delivered from the retained slot and not live.
        transient: for everybody but its sender, neither kept nor numbered: its offset is 0.
    """

    channel: str
    payload: bytes
    kind: Kind
    offset: int
    epoch: str
    time_ms: int
    sender: Sender | None = None
    id: str | None = None
    headers: Mapping[str, str] | None = None
    log: int = 0
    retained: bool = False
    transient: bool = False

    @property
    def position(self) -> Position:
        """Return where this publication is in its channel."""
        return Position(self.epoch, self.offset)

    def as_json(self) -> bytes:
        """Return the payload as JSON text.

        A raw payload that is valid JSON is that value, other valid UTF-8 is a JSON string, the rest is
        ``{"$base64": ...}`` (interfaces, "Channels and publications").
        """
        if self.kind is Kind.JSON:
            return self.payload
        return _raw_to_json(self.payload)

    def as_raw(self) -> bytes:
        """Return the payload for a protocol with raw payloads: a JSON string leaves as its bare text."""
        if self.kind is Kind.JSON and self.payload[:1] == b'"':
            try:
                text: str = msgspec.json.decode(self.payload, type=str)
            except (msgspec.DecodeError, UnicodeDecodeError):
                return self.payload
            return text.encode("utf-8", "surrogatepass")
        return self.payload

    def as_value(self) -> Any:
        """Return the payload as Python values; bytes that are no JSON and no UTF-8 stay bytes. Raises nothing.

        Decoders of protocols take JSON as it is without reading its numbers, so `1e999` comes as far as this: it is
        infinite. Raw payloads with such numbers are strings, as in `as_json`.
        """
        try:
            value = msgspec.json.decode(self.payload)
            if self.kind is Kind.JSON or json_problem(self.payload) is None:
                return value
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        if self.kind is Kind.JSON:
            try:
                return json.loads(self.payload)
            except (ValueError, RecursionError):
                pass
        try:
            return self.payload.decode()
        except UnicodeDecodeError:
            return self.payload


def _raw_to_json(payload: bytes) -> bytes:
    try:
        msgspec.json.decode(payload)
        payload.decode()
        if json_problem(payload) is None:
            return payload
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return msgspec.json.encode(payload.decode())
    except UnicodeDecodeError:
        return b'{"$base64":"%b"}' % base64.b64encode(payload)
