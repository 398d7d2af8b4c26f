"""chappe.v1 frames to commands (spec/protocol.md, clauses CH-2 and CH-3)."""

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

import msgspec

from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError, RemoteProtocolError
from chappe.model.json_shape import json_problem
from chappe.model.limits import Limits
from chappe.model.position import Position
from chappe.model.publication import Kind
from chappe.protocols import base
from chappe.protocols.chappe.payloads import BASE64_MEMBER, BASE64_WITHIN, from_base64, from_msgpack, shape_problem
from chappe.protocols.validation import bad_message, bad_request, explain, identifier, scan_identifier


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

# Names of a module are found sooner than members of an enum.
_JSON: Final = Kind.JSON
#: What parsers raise for what is none of their language.
_MALFORMED: Final = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
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
        self._message_bytes = limits.message_bytes
        self._json_depth = limits.json_depth
        self._json_keys = limits.json_keys
        self._msgpack = msgpack
        self._decode_one: Callable[[Any], Any] = _msgpack_one if msgpack else _json_one
        self._decode_parts: Callable[[Any], list[msgspec.Raw]] = _msgpack_parts if msgpack else _json_parts
        self._decode_any: Callable[[Any], Any] = msgspec.msgpack.decode if msgpack else msgspec.json.decode

    def receive(self, payload: bytes, text: bool) -> Iterable[base.Command]:
        """Decode one frame: an object is one command, an array a batch in order, each decoded when it is asked for.

        Raises:
            RemoteProtocolError: 3501, a binary frame in JSON or a text frame in MessagePack.
        """
        if text is self._msgpack:
            expected = "binary" if self._msgpack else "text"
            raise RemoteProtocolError(Code.BAD_REQUEST_CLOSE, f"a frame of the wrong kind, expected {expected}")
        # The first byte of nearly all there is, and of no batch in either encoding.
        if payload[:1] != b"{" and self._is_batch(payload):
            try:
                parts = self._decode_parts(payload)
            except _MALFORMED as error:
                return [base.Rejected(None, explain(error))]
            if len(parts) > self._limits.batch_commands:
                # One error for all: an error for each would be many times what was sent.
                problem = f"a batch of {len(parts)} commands, expected {self._limits.batch_commands} or fewer"
                return [base.Rejected(None, bad_message(problem))]
            return (self._decode(bytes(part)) for part in parts)
        return [self._decode(payload)]

    def opened(self, name: str) -> None:
        """Nothing depends on the name here."""

    def entered(self, channel: str) -> None:
        """Nothing depends on the channels here."""

    def resolve(self, command: base.Command) -> base.Command:
        """Return the command: none of this protocol waits for a login."""
        return command

    def joins_at_once(self) -> str | None:
        """Nothing is joined without asking."""
        return None

    def _is_batch(self, payload: bytes) -> bool:
        if self._msgpack:
            return bool(payload) and (payload[0] & 0xF0 == 0x90 or payload[0] in (0xDC, 0xDD))
        return payload.lstrip()[:1] == b"["

    def _decode(self, part: bytes) -> base.Command:
        try:
            if len(part) > self._message_bytes:
                return base.Rejected(self._identify(part), self._too_large(len(part)))
            command = self._decode_one(part)
        except _MALFORMED as error:
            return self._reject(part, error)
        if type(command) is _Publish:
            return self._publication(command)
        if problem := self._shape_problem(part, command):
            # A pong has no id.
            return base.Rejected(getattr(command, "id", None), bad_message(problem))
        return command  # type: ignore[no-any-return]

    def _shape_problem(self, part: bytes, command: Any) -> str | None:
        depth, keys = self._json_depth, self._json_keys
        if not self._msgpack:
            return json_problem(part, depth, keys)
        if type(command) is base.Rpc:
            return shape_problem(command.params, depth, keys)
        return shape_problem(command.client, depth, keys) if type(command) is base.Connect else None

    def _publication(self, wire: _Publish) -> base.Command:
        payload, kind = bytes(wire.data), _JSON
        if self._msgpack or BASE64_MEMBER in payload[:BASE64_WITHIN]:
            try:
                payload, kind = self._transcode(payload)
            except (*_MALFORMED, ValueError) as error:
                return base.Rejected(wire.id, bad_request("data", str(error)))
        elif problem := json_problem(payload, self._json_depth, self._json_keys):
            return base.Rejected(wire.id, bad_request("data", problem))
        return base.Publish(wire.id, wire.channel, payload, kind, wire.key, wire.expect, wire.retain, wire.headers)

    def _transcode(self, data: bytes) -> tuple[bytes, Kind]:
        """Return as it is kept what is MessagePack, or bytes in JSON's clothes.

        Raises:
            ValueError: it cannot be kept.
        """
        depth, keys = self._json_depth, self._json_keys
        if self._msgpack:
            return from_msgpack(data, depth, keys)
        payload, kind = from_base64(data)
        if kind is _JSON and (problem := json_problem(payload, depth, keys)):
            raise ValueError(problem)
        return payload, kind

    def _too_large(self, size: int) -> ChappeError:
        return ChappeError(
            Code.MESSAGE_TOO_LARGE,
            f"a message of {size} bytes, expected {self._limits.message_bytes} or fewer",
            detail={"limit": self._limits.message_bytes, "size": size},
        )

    def _identify(self, part: bytes) -> int | None:
        try:
            return identifier(self._decode_any(part))
        except _MALFORMED:
            return None if self._msgpack else scan_identifier(part)

    def _reject(self, part: bytes, error: Exception) -> base.Rejected:
        """Decode again without types, so that the answer carries the id and names what is wrong."""
        try:
            fields = self._decode_any(part)
        except _MALFORMED as fatal:
            # The second parser stopped where no parser gets further; the first one may have known the member.
            found = None if self._msgpack else scan_identifier(part)
            return base.Rejected(found, explain(fatal if isinstance(fatal, RecursionError) else error))
        if not isinstance(fields, dict):
            return base.Rejected(None, bad_message("a message is no object"))
        return base.Rejected(identifier(fields), explain(error, fields.get("type")))
