"""classic frames to commands (spec/protocol.md, clauses CL-1 to CL-8)."""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import msgspec

from chappe.model.error_codes import Code
from chappe.model.errors import ChappeError
from chappe.model.json_shape import json_problem
from chappe.model.limits import Limits
from chappe.model.publication import Kind
from chappe.protocols import base
from chappe.protocols.classic.encoder import ClassicEncoder
from chappe.protocols.validation import bad_request

DEFAULT_ROOM: Final = "chat/lobby"
#: Bytes of one text message (interfaces: 10 KiB, so that a chat line stays a chat line).
TEXT_BYTES: Final = 10_240
#: Bytes of one batch.
BATCH_BYTES: Final = 65_536
#: Bytes of one binary frame; larger files go over the upload API.
BINARY_BYTES: Final = 16 * 1_048_576
#: Header of a binary frame that claims to be a file (F05): above this it is none.
_FILE_HEADER_BYTES: Final = 65_536
_NAME_CHARS: Final = 64


class ClassicProtocol:
    """Decodes classic for one connection; remembers the room and the name once the hub has granted them."""

    closes_refused_names = True

    def __init__(self, limits: Limits, encoder: ClassicEncoder) -> None:
        self.encoder = encoder
        self._limits = limits
        # Set by a login that succeeded, never by one that was only asked for.
        self._room: str | None = None
        self._name = ""

    @property
    def frame_bytes(self) -> tuple[int, int]:
        """Nobody who has not logged in can make us buffer 16 MiB, whatever else opened the session."""
        return (self._limits.frame_bytes, self._limits.frame_bytes if self._room is None else BINARY_BYTES)

    def receive(self, payload: bytes, text: bool) -> list[base.Command]:
        """Decode one frame; every error keeps the connection."""
        if not text:
            return [base.Relay(payload)]
        if len(payload) > BATCH_BYTES:
            return [_too_large(len(payload), TEXT_BYTES)]
        fields = self._parse(payload)
        if isinstance(fields, base.Rejected):
            # What is no JSON and too long is first of all too long.
            return [_too_large(len(payload), TEXT_BYTES) if len(payload) > TEXT_BYTES else fields]
        if fields.get("type") == "batch":
            return self._batch(fields)
        if len(payload) > TEXT_BYTES:
            return [_too_large(len(payload), TEXT_BYTES)]
        return [self._command(fields)]

    def opened(self, name: str) -> None:
        """Remember the name; an identity alone is no login."""
        self._name = name

    def entered(self, channel: str) -> None:
        """Remember the room: what needs a login is allowed from here on."""
        self._room = self._room or channel

    def resolve(self, command: base.Command) -> base.Command:
        """Return what a command means in the room, or why it means nothing: 116 before the login."""
        if isinstance(command, base.Login):
            if self._room is not None:
                return base.Rejected(None, bad_request("type", "a second login on this connection"))
            return command
        if self._room is None:
            return base.Rejected(None, ChappeError(Code.NOT_LOGGED_IN))
        if isinstance(command, base.Say):
            return self._said(command, self._room)
        if isinstance(command, base.Relay):
            if problem := lying_file_header(command.payload):
                return base.Rejected(None, bad_request("header", problem))
            return base.Publish(0, self._room, command.payload, Kind.BINARY, transient=True)
        return base.ListNames(self._room)

    def joins_at_once(self) -> str | None:
        """Nothing is joined before the login."""
        return None

    def _parse(self, payload: bytes) -> dict[str, Any] | base.Rejected:
        if problem := json_problem(payload, self._limits.json_depth, self._limits.json_keys):
            return base.Rejected(None, ChappeError(Code.BAD_REQUEST, problem))
        try:
            fields = msgspec.json.decode(payload)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            return base.Rejected(None, ChappeError(Code.BAD_REQUEST, f"the message is no JSON: {error}"))
        if not isinstance(fields, dict):
            return base.Rejected(None, ChappeError(Code.BAD_REQUEST, "the message is no JSON object"))
        return fields

    def _batch(self, fields: dict[str, Any]) -> list[base.Command]:
        messages = fields.get("messages")
        if not isinstance(messages, list) or not all(isinstance(message, str) for message in messages):
            return [base.Rejected(None, bad_request("messages", "is no array of JSON texts"))]
        return [self._one_of_batch(message.encode("utf-8", "surrogatepass")) for message in messages]

    def _one_of_batch(self, payload: bytes) -> base.Command:
        if len(payload) > TEXT_BYTES:
            return _too_large(len(payload), TEXT_BYTES)
        fields = self._parse(payload)
        if isinstance(fields, base.Rejected):
            return fields
        if fields.get("type") == "batch":
            return base.Rejected(None, bad_request("messages", "a batch in a batch"))
        return self._command(fields)

    def _command(self, fields: dict[str, Any]) -> base.Command:
        if "type" not in fields and ("service" in fields or "action" in fields):
            return base.ServiceRequest(fields.get("service"), fields.get("action"), fields.get("requestId"))
        kind = fields.get("type")
        if not isinstance(kind, str):
            return base.Rejected(None, _no_string(fields, "type"))
        reader = self._reader(kind)
        if reader is None:
            reason = f"unknown type {kind[:64]!r}"
            return base.Rejected(None, ChappeError(Code.UNKNOWN_COMMAND, reason, detail={"type": kind[:64]}))
        try:
            return reader(self, fields)
        except ChappeError as error:
            return base.Rejected(None, error)

    def _reader(self, kind: str) -> "Reader | None":
        return _READERS.get(kind)

    def _login(self, fields: dict[str, Any]) -> base.Command:
        name = _text(fields, "content").strip()
        if not 1 <= len(name) <= _NAME_CHARS:
            raise bad_request("content", f"a name of {len(name)} characters, expected 1 to {_NAME_CHARS}")
        room = _text(fields, "room") if "room" in fields else DEFAULT_ROOM
        token = _text(fields, "token") if "token" in fields else None
        return base.Login(name, room, token)

    def _message(self, fields: dict[str, Any]) -> base.Command:
        content = _text(fields, "content")
        username = _text(fields, "username") if "username" in fields else None
        sent = fields.get("timestamp")
        return base.Say(content, username, sent if isinstance(sent, str) else None)

    def _said(self, said: base.Say, room: str) -> base.Publish:
        username = self._name if said.username is None else said.username
        message = {"type": "message", "content": said.content, "username": username}
        if said.sent is not None:
            message["sent"] = said.sent
        return base.Publish(0, room, msgspec.json.encode(message))

    def _userlist(self, fields: dict[str, Any]) -> base.Command:
        return base.ListNames()

    def _lock(self, fields: dict[str, Any]) -> base.Command:
        operation = _text(fields, "operation") if "operation" in fields else None
        # ttl 0: held until unlock or disconnect.
        return base.Lock(0, _text(fields, "resource"), ttl=0, operation=operation)

    def _unlock(self, fields: dict[str, Any]) -> base.Command:
        return base.Unlock(0, _text(fields, "resource"))

    def _lock_owner(self, fields: dict[str, Any]) -> base.Command:
        return base.LockOwner(_text(fields, "resource"))

    def _ping(self, fields: dict[str, Any]) -> base.Command:
        return base.Ping()

    def _pong(self, fields: dict[str, Any]) -> base.Command:
        return base.PongReceived()


def lying_file_header(payload: bytes) -> str | None:
    """Return what is wrong with the F05 file header of a binary frame; None if it is right or there is none.

    A frame has a header when its first four bytes, little-endian, count a JSON object of type `file` behind them.
    """
    length = int.from_bytes(payload[:4], "little")
    if len(payload) < 5 or payload[4:5] != b"{" or not 2 <= length <= _FILE_HEADER_BYTES:
        return None
    if length > len(payload) - 4:
        return f"header of {length} bytes in a frame with {len(payload) - 4} left"
    try:
        header = msgspec.json.decode(payload[4 : 4 + length])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(header, dict) or header.get("type") != "file":
        return None
    size = header.get("size")
    if not isinstance(header.get("filename"), str) or not isinstance(size, int) or isinstance(size, bool):
        return "a file needs a filename and a size"
    if size != len(payload) - 4 - length:
        return f"a file of {size} bytes, but {len(payload) - 4 - length} follow the header"
    return None


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise _no_string(fields, name)
    return value


def _no_string(fields: dict[str, Any], name: str) -> ChappeError:
    return bad_request(name, "is no string" if name in fields else "is missing")


def _too_large(size: int, limit: int) -> base.Rejected:
    reason = f"a message of {size} bytes, expected {limit} or fewer"
    return base.Rejected(None, ChappeError(Code.MESSAGE_TOO_LARGE, reason, detail={"limit": limit, "size": size}))


Reader: TypeAlias = Callable[[ClassicProtocol, dict[str, Any]], base.Command]
_READERS: Final[dict[str, Reader]] = {
    "login": ClassicProtocol._login,
    "message": ClassicProtocol._message,
    "userlist": ClassicProtocol._userlist,
    "lock": ClassicProtocol._lock,
    "unlock": ClassicProtocol._unlock,
    "lock_owner": ClassicProtocol._lock_owner,
    "ping": ClassicProtocol._ping,
    "pong": ClassicProtocol._pong,
}
