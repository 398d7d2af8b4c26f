"""What a publisher's `data` stands for: JSON text, or bytes (spec/protocol.md, clauses CH-6.2 to CH-6.4)."""

import base64
import datetime
import math
from typing import Any, Final

import msgspec

from chappe.model.publication import Kind

#: The member that stands for bytes. White space before it is allowed; more of it than this leaves room for is nobody's.
BASE64_MEMBER: Final = b'"$base64"'
BASE64_WITHIN: Final = 64


def from_base64(text: bytes) -> tuple[bytes, Kind]:
    """Return JSON text as a payload: ``{"$base64": "..."}`` stands for bytes, anything else for itself.

    So JSON clients and backends publish bytes as they receive them.

    Raises:
        ValueError: it is no base64.
    """
    if BASE64_MEMBER not in text[:BASE64_WITHIN]:
        return text, Kind.JSON
    value = msgspec.json.decode(text)
    if not isinstance(value, dict) or set(value) != {"$base64"}:
        return text, Kind.JSON
    encoded = value["$base64"]
    if not isinstance(encoded, str):
        raise ValueError("$base64 is no string")
    try:
        return base64.b64decode(encoded, validate=True), Kind.BINARY
    except ValueError:
        raise ValueError("$base64 is no base64 (RFC 4648, section 4, with padding)") from None


def from_msgpack(raw: bytes, max_depth: int, max_keys: int) -> tuple[bytes, Kind]:
    """Return a MessagePack value as JSON text, or bytes as they are.

    Bytes inside a value become ``{"$base64": "..."}`` and timestamps RFC 3339 text.

    Raises:
        ValueError: JSON has no word for it: an extension, NaN, infinity, a key that is no string; or it is too deep.
    """
    value = msgspec.msgpack.decode(raw)
    if isinstance(value, bytes):
        return value, Kind.BINARY
    return msgspec.json.encode(_Walk(max_depth, max_keys).plain(value, 0)), Kind.JSON


def shape_problem(value: Any, max_depth: int, max_keys: int) -> str | None:
    """Return what is too much about a decoded member of a message, or None, as `json_problem` does for text."""
    depth = 1  # of the message itself
    try:
        _Walk(max_depth, max_keys, anything=True).plain(value, depth)
    except ValueError as error:
        return str(error)
    return None


class _Walk:
    """Goes through a value once, counting members and depth, and turns it into what JSON can hold."""

    __slots__ = ("_anything", "_keys", "_max_depth", "_max_keys")

    def __init__(self, max_depth: int, max_keys: int, anything: bool = False) -> None:
        self._max_depth = max_depth
        self._max_keys = max_keys
        self._keys = 0
        self._anything = anything

    def plain(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is dict:
            return self._object(value, depth + 1)
        if kind is list:
            self._count(0, depth + 1)
            return [self.plain(item, depth + 1) for item in value]
        if kind is bytes:
            return {"$base64": base64.b64encode(value).decode()}
        if self._anything or kind is datetime.datetime:
            return value
        if kind is float and not math.isfinite(value):
            raise ValueError(f"{value} is no JSON number")
        if kind is msgspec.msgpack.Ext:
            raise ValueError(f"MessagePack extension {value.code} has no JSON form")
        return value

    def _object(self, value: dict[Any, Any], depth: int) -> dict[Any, Any]:
        self._count(len(value), depth)
        if not self._anything and not all(type(name) is str for name in value):
            raise ValueError("a key is no string")
        return {name: self.plain(item, depth) for name, item in value.items()}

    def _count(self, keys: int, depth: int) -> None:
        self._keys += keys
        if depth > self._max_depth:
            raise ValueError(f"nested deeper than {self._max_depth} levels")
        if self._keys > self._max_keys:
            raise ValueError(f"more than {self._max_keys} members")
