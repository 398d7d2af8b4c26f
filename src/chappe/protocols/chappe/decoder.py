"""chappe.v1 frames to commands (spec/protocol.md, clauses CH-2 and CH-3)."""

import base64
import binascii
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import msgspec

from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError, RemoteProtocolError
from chappe.model.json_shape import json_problem
from chappe.model.limits import Limits
from chappe.model.position import Position
from chappe.model.publication import Kind
from chappe.protocols import base
from chappe.protocols.validation import bad_request, explain, identifier


class _Publish(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="publish"):
    """`publish` as it is on the wire: its payload stays undecoded."""

    id: int
    channel: str
    data: msgspec.Raw
    key: str | None = None
    expect: int | Position | None = None
    retain: bool = False
    headers: dict[str, str] | None = None


_Wire: TypeAlias = (
    _Publish
    | base.Connect
    | base.Subscribe
    | base.Unsubscribe
    | base.History
    | base.Presence
    | base.Lock
    | base.Unlock
    | base.Rpc
    | base.Cancel
    | base.Refresh
    | base.State
    | base.Ping
    | base.PongReceived
)

_BASE64: Final = b'"$base64"'
_json_one = msgspec.json.Decoder(_Wire).decode
_json_parts = msgspec.json.Decoder(list[msgspec.Raw]).decode
_msgpack_one = msgspec.msgpack.Decoder(_Wire).decode
_msgpack_parts = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode


class ChappeProtocol:
    """Decodes chappe.v1, as JSON or MessagePack; stateless, so one serves all connections of an encoding."""

    closes_refused_names = False

    def __init__(self, limits: Limits, encoder: base.Encoder, msgpack: bool = False) -> None:
        self.encoder = encoder
        self.frame_bytes = (limits.frame_bytes, limits.frame_bytes)
        self._limits = limits
        self._msgpack = msgpack
        self._decode_one: Callable[[Any], Any] = _msgpack_one if msgpack else _json_one
        self._decode_parts: Callable[[Any], list[msgspec.Raw]] = _msgpack_parts if msgpack else _json_parts
        self._decode_any: Callable[[Any], Any] = msgspec.msgpack.decode if msgpack else msgspec.json.decode

    def receive(self, payload: bytes, text: bool) -> list[base.Command]:
        """Decode one frame: an object is one command, an array a batch in order.

        Raises:
            RemoteProtocolError: 3501, a binary frame in JSON or a text frame in MessagePack.
        """
        if text is self._msgpack:
            expected = "binary" if self._msgpack else "text"
            raise RemoteProtocolError(Code.BAD_REQUEST_CLOSE, f"a frame of the wrong kind, expected {expected}")
        if self._is_batch(payload):
            try:
                parts = self._decode_parts(payload)
            except (msgspec.DecodeError, RecursionError) as error:
                return [base.Rejected(None, explain(error))]
            return [self._decode(bytes(part)) for part in parts]
        return [self._decode(payload)]

    def opened(self, name: str) -> None:
        """Nothing depends on the name here."""

    def joins_at_once(self) -> str | None:
        """Nothing is joined without asking."""
        return None

    def _is_batch(self, payload: bytes) -> bool:
        if self._msgpack:
            return bool(payload) and (payload[0] & 0xF0 == 0x90 or payload[0] in (0xDC, 0xDD))
        return payload[:1] == b"[" or payload.lstrip()[:1] == b"["

    def _decode(self, part: bytes) -> base.Command:
        try:
            if len(part) > self._limits.message_bytes:
                return base.Rejected(self._identify(part), self._too_large(len(part)))
            command = self._decode_one(part)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            return self._reject(part, error)
        if type(command) is _Publish:
            return self._publication(command)
        if not self._msgpack and (problem := json_problem(part, self._limits.json_depth, self._limits.json_keys)):
            return base.Rejected(command.id, ChappeError(Code.BAD_REQUEST, problem))
        return command  # type: ignore[no-any-return]

    def _publication(self, wire: _Publish) -> base.Command:
        payload = bytes(wire.data)
        kind = Kind.JSON
        try:
            if self._msgpack:
                payload, kind = _from_msgpack(payload)
            else:
                payload, kind = from_base64(payload)
        except (msgspec.DecodeError, ValueError, TypeError, RecursionError) as error:
            return base.Rejected(wire.id, bad_request("data", str(error)))
        if kind is Kind.JSON and (problem := json_problem(payload, self._limits.json_depth, self._limits.json_keys)):
            return base.Rejected(wire.id, bad_request("data", problem))
        return base.Publish(wire.id, wire.channel, payload, kind, wire.key, wire.expect, wire.retain, wire.headers)

    def _too_large(self, size: int) -> ChappeError:
        return ChappeError(
            Code.MESSAGE_TOO_LARGE,
            f"a message of {size} bytes, expected {self._limits.message_bytes} or fewer",
            detail={"limit": self._limits.message_bytes, "size": size},
        )

    def _identify(self, part: bytes) -> int | None:
        try:
            return identifier(self._decode_any(part))
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, ValueError):
            return None

    def _reject(self, part: bytes, error: Exception) -> base.Rejected:
        """Decode again without types, so that the answer carries the id and names what is wrong."""
        try:
            fields = self._decode_any(part)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, ValueError) as fatal:
            return base.Rejected(None, explain(fatal))
        if not isinstance(fields, dict):
            return base.Rejected(None, ChappeError(Code.BAD_REQUEST, "a message is no object"))
        return base.Rejected(identifier(fields), explain(error, fields.get("type")))


def _from_msgpack(raw: bytes) -> tuple[bytes, Kind]:
    """Return a MessagePack value as JSON text, or bytes as they are."""
    value = msgspec.msgpack.decode(raw)
    if isinstance(value, bytes):
        return value, Kind.BINARY
    return msgspec.json.encode(value), Kind.JSON


def from_base64(text: bytes) -> tuple[bytes, Kind]:
    """Return JSON text as a payload: ``{"$base64": "..."}`` stands for bytes, anything else for itself.

    So JSON clients and backends publish bytes as they receive them.

    Raises:
        ValueError: it is no base64.
    """
    # White space before the member is allowed; more of it than that is nobody's.
    if _BASE64 not in text[:64]:
        return text, Kind.JSON
    value = msgspec.json.decode(text)
    if not isinstance(value, dict) or set(value) != {"$base64"}:
        return text, Kind.JSON
    try:
        return base64.b64decode(value["$base64"], validate=True), Kind.BINARY
    except (binascii.Error, TypeError) as error:
        raise ValueError(f"$base64 is no base64: {error}") from None
