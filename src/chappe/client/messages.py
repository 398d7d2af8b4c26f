"""chappe.v1 as a client sees it: what the hub sends, and the two encodings (spec/protocol.md)."""

import base64
import binascii
import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec

from chappe.model.error_codes import Code
from chappe.model.errors import LocalProtocolError, RemoteProtocolError
from chappe.model.member import Member
from chappe.model.position import Position
from chappe.model.publication import Sender

Encoding: TypeAlias = Literal["json", "msgpack"]

#: What msgspec raises for bytes that are no message; MessagePack strings may be no UTF-8.
_UNDECODABLE: Final = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


class Publication(msgspec.Struct, frozen=True, gc=False):
    """A publication as it was received.

    Attributes:
        data: the value; what was published as bytes, and is neither JSON nor UTF-8, is bytes.
        offset, epoch: its place in the channel, or None: ephemeral, it has no place.
        time: the hub's time, UTC.
        from_: who published, or None: a backend or another program.
        id: the idempotency key it was published with, or None.
        headers: what the publisher put beside the data.
        retained: delivered from the channel's retained slot and not live.
    """

    channel: str
    data: Any
    offset: int | None = None
    epoch: str | None = None
    time: datetime.datetime | None = None
    from_: Sender | None = None
    id: str | None = None
    headers: Mapping[str, str] = {}
    retained: bool = False

    @property
    def position(self) -> Position | None:
        """Return its place in the channel, to subscribe `since` it later."""
        return None if self.offset is None or self.epoch is None else Position(self.epoch, self.offset)

    @property
    def payload(self) -> bytes:
        """Return the data as bytes: bytes as they are, a string as its UTF-8, everything else as JSON text."""
        if isinstance(self.data, bytes):
            return self.data
        if isinstance(self.data, str):
            return self.data.encode("utf-8", "surrogatepass")
        return msgspec.json.encode(self.data)


class _From(msgspec.Struct, frozen=True, gc=False):
    user: str | None = None
    name: str | None = None
    session: str = ""


class _Member(msgspec.Struct, frozen=True, gc=False):
    session: str = ""
    user: str | None = None
    name: str | None = None
    info: Any = None


class WirePublication(msgspec.Struct, frozen=True, gc=False):
    """A publication before its data is decoded; `position` is a log position, for patterns."""

    channel: str
    data: msgspec.Raw
    offset: int | None = None
    epoch: str | None = None
    time: datetime.datetime | None = None
    from_: _From | None = msgspec.field(name="from", default=None)
    id: str | None = None
    headers: dict[str, str] | None = None
    retained: bool = False
    position: str | None = None


class Pushed(WirePublication, frozen=True, gc=False, tag_field="type", tag="publication"):
    """A publication in a channel one is subscribed to."""


class Reply(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="reply"):
    """The answer to a command; which members it has depends on the command."""

    id: int
    session: str = ""
    resume: str = ""
    user: str | None = None
    name: str | None = None
    ping: float = 0.0
    version: str = ""
    node: str = ""
    resumed: bool = False
    channel: str = ""
    epoch: str | None = None
    offset: int = 0
    position: str | None = None
    recovered: bool = False
    publications: list[WirePublication] | None = None
    members: list[_Member] | None = None
    count: int = 0
    resource: str = ""
    owner: str = ""
    token: int = 0
    expires: datetime.datetime | None = None
    result: msgspec.Raw = msgspec.Raw()


class Failure(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="error"):
    """A command that failed, or (id None) a frame the hub did not understand."""

    code: int
    id: int | None = None
    reason: str = ""
    retry: bool = False
    detail: dict[str, Any] | None = None


class Joined(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="join"):
    """Somebody came."""

    channel: str
    member: _Member


class Left(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="leave"):
    """Somebody went."""

    channel: str
    member: _Member


class PresenceTold(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="presence"):
    """Who is there, or above a size how many."""

    channel: str
    members: list[_Member] | None = None
    count: int = 0


class Unsubscribed(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="unsubscribed"):
    """The hub ended a subscription; from 2500 on one subscribes again."""

    channel: str
    code: int
    reason: str = ""


class MissedTold(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="missed"):
    """The hub dropped publications because this reader was slow."""

    channel: str
    count: int


class Direct(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="message"):
    """The application said something to this session alone."""

    data: msgspec.Raw


class Ping(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="ping"):
    """The hub asks for a sign of life."""


class Pong(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="pong"):
    """The answer to our ping."""

    id: int | None = None


Incoming: TypeAlias = (
    Pushed | Reply | Failure | Joined | Left | PresenceTold | Unsubscribed | MissedTold | Direct | Ping | Pong
)


class _Typed(msgspec.Struct):
    type: str


class Codec:
    """One encoding of chappe.v1; stateless.

    Attributes:
        subprotocol: its name in the WebSocket handshake.
    """

    def __init__(self, encoding: Encoding) -> None:
        if encoding not in ("json", "msgpack"):
            raise LocalProtocolError(f"encoding is {encoding!r}, expected 'json' or 'msgpack'")
        binary = encoding == "msgpack"
        self.subprotocol = "chappe.v1.msgpack" if binary else "chappe.v1"
        self._binary = binary
        self._encode: Callable[[Any], bytes] = msgspec.msgpack.encode if binary else msgspec.json.encode
        self._decode_value: Callable[[Any], Any] = msgspec.msgpack.decode if binary else msgspec.json.decode
        decoder = msgspec.msgpack.Decoder if binary else msgspec.json.Decoder
        self._decode_frame: Callable[[Any], Any] = decoder(list[Incoming] | Incoming).decode
        self._decode_one: Callable[[Any], Any] = decoder(Incoming).decode
        self._decode_parts: Callable[[Any], list[msgspec.Raw]] = decoder(list[msgspec.Raw]).decode

    def encode(self, fields: Mapping[str, Any]) -> str | bytes:
        """Encode one command.

        Raises:
            TypeError: a value has no such encoding.
        """
        frame = self._encode(fields)
        return frame if self._binary else frame.decode()

    def join(self, frames: Sequence[str | bytes]) -> str | bytes:
        """Return commands that were encoded one by one as one frame: alone as it is, several as an array."""
        if len(frames) == 1:
            return frames[0]
        if not self._binary:
            return f"[{','.join(frame for frame in frames if isinstance(frame, str))}]"
        head = b"\xdd" + len(frames).to_bytes(4, "big")
        return head + b"".join(frame for frame in frames if isinstance(frame, bytes))

    def translated(self, data: msgspec.Raw, codec: "Codec") -> msgspec.Raw:
        """Return a payload that was encoded by another codec in this one; bytes stay bytes."""
        if codec.subprotocol == self.subprotocol:
            return data
        value = codec.value(data)
        return self.data(value if isinstance(value, bytes) or self._binary else _bytes_written(value))

    def data(self, data: Any) -> msgspec.Raw:
        """Encode a payload, to be put into a command; bytes have a form of their own in JSON.

        Raises:
            TypeError: a value has no such encoding.
        """
        if isinstance(data, bytes | bytearray | memoryview):
            data = bytes(data) if self._binary else {"$base64": base64.b64encode(data).decode()}
        return msgspec.Raw(self._encode(data))

    def decode(self, frame: str | bytes) -> list[Incoming]:
        """Decode one frame, an object or an array; messages of a type we do not know are left out.

        Raises:
            RemoteProtocolError: no chappe.v1 in this encoding.
        """
        try:
            message = self._decode_frame(frame)
        except _UNDECODABLE as error:
            return self._decode_known(frame, error)
        return message if isinstance(message, list) else [message]

    def value(self, raw: msgspec.Raw) -> Any:
        """Decode a payload; None if there is none.

        Raises:
            RemoteProtocolError: it is none.
        """
        if not len(memoryview(raw)):
            return None
        try:
            value = self._decode_value(raw)
        except _UNDECODABLE as error:
            raise _bad_frame(error) from error
        return value if self._binary else _bytes_of(value)

    def publication(self, wire: WirePublication) -> Publication:
        """Return a publication with its data.

        Raises:
            RemoteProtocolError: the data cannot be decoded.
        """
        sender = wire.from_
        return Publication(
            wire.channel,
            self.value(wire.data),
            wire.offset,
            wire.epoch,
            wire.time,
            Sender(sender.user, sender.name or "", sender.session) if sender else None,
            wire.id,
            wire.headers or {},
            wire.retained,
        )

    def _decode_known(self, frame: str | bytes, error: Exception) -> list[Incoming]:
        """Decode again, part by part: what a later hub says beyond chappe.v1 must not cost us what we understand."""
        try:
            value = self._decode_value(frame)
            parts = self._decode_parts(frame) if isinstance(value, list) else [frame]
            values = value if isinstance(value, list) else [value]
            types = msgspec.convert(values, list[_Typed])
            return [self._decode_one(part) for part, told in zip(parts, types, strict=True) if told.type in _KNOWN]
        except _UNDECODABLE:
            raise _bad_frame(error) from error


_KNOWN: Final = frozenset(
    struct.__struct_config__.tag
    for struct in (Pushed, Reply, Failure, Joined, Left, PresenceTold, Unsubscribed, MissedTold, Direct, Ping, Pong)
)


def member_of(wire: _Member) -> Member:
    """Return a member with its defaults filled in."""
    return Member(wire.session, wire.user, wire.name or "", wire.info)


def _bytes_of(value: Any) -> Any:
    """Return the bytes that ``{"$base64": "..."}`` stands for, and everything else unchanged."""
    if isinstance(value, dict) and len(value) == 1 and isinstance(text := value.get("$base64"), str):
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            return value
    return value


def _bytes_written(value: Any) -> Any:
    """Return a value of MessagePack as JSON can say it (CH-6.4)."""
    match value:
        case bytes():
            return {"$base64": base64.b64encode(value).decode()}
        case dict():
            return {key: _bytes_written(item) for key, item in value.items()}
        case list():
            return [_bytes_written(item) for item in value]
        case _:
            return value


def _bad_frame(error: Exception) -> RemoteProtocolError:
    return RemoteProtocolError(Code.BAD_REQUEST_CLOSE, f"the hub sent what is no chappe.v1: {error}")
