"""Cursors: where a stream is in each of its channels, as the `id` of an event.

A cursor is one entry for each channel or pattern, joined by commas: `KEY:EPOCH:OFFSET` for a channel, `KEY~POSITION`
for a pattern, whose place is a log position. `KEY` is a hash of the name, so that long names make no long ids; a
browser sends the cursor back in a header. To clients it is opaque.
"""

import functools
import hashlib
import re
from base64 import urlsafe_b64encode
from typing import Final
from urllib.parse import quote, unquote

from chappe.model.channels import is_pattern
from chappe.model.position import Position
from chappe.protocols.base import SincePosition

#: Longer is no cursor of ours, and no header that every proxy lets pass; 100 channels make half of it.
MAX_CURSOR_BYTES: Final = 8_192
#: The cursor of who is nowhere yet. An empty `id` would make a browser forget its last one.
NOWHERE: Final = "-"
#: Two names of one stream meet by chance once in 10^10 streams; and then their epochs differ.
_KEY_BYTES: Final = 6
_ENTRY: Final = re.compile(
    r"(?P<key>[A-Za-z0-9_-]{8})"
    r"(?::(?P<epoch>[A-Za-z0-9_.~%-]{1,192}):(?P<offset>[0-9]{1,19})|~(?P<position>[A-Za-z0-9_.~%:-]{1,192}))"
)
_MAX_OFFSET: Final = 2**63 - 1


class Cursor:
    """The place of one stream in each of its channels."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[str, str] = {}

    def move(self, channel: str, position: Position) -> None:
        """Be at a position of a channel."""
        self._entries[channel] = _channel_entry(channel, position)

    def move_in_log(self, pattern: str, position: str) -> None:
        """Be at a log position of a pattern."""
        self._entries[pattern] = f"{key_of(pattern)}~{quote(position, safe=':')}"

    def forget(self, channel: str) -> None:
        """Be nowhere in a channel or pattern."""
        self._entries.pop(channel, None)

    def encode(self) -> bytes:
        """Return the cursor as an `id`."""
        return ",".join(self._entries.values()).encode() if self._entries else NOWHERE.encode()


def cursor_of(channel: str, position: Position) -> bytes:
    """Return the cursor of a stream that has one channel only."""
    return _channel_entry(channel, position).encode()


def parse_cursor(text: str) -> dict[str, SincePosition] | None:
    """Return the places of a cursor by key, or None if it is malformed."""
    if text == NOWHERE:
        return {}
    if not text or len(text) > MAX_CURSOR_BYTES:
        return None
    places: dict[str, SincePosition] = {}
    for entry in text.split(","):
        matched = _ENTRY.fullmatch(entry)
        if matched is None:
            return None
        key, epoch, offset, position = matched.groups()
        if key in places or int(offset or 0) > _MAX_OFFSET:
            return None
        if position is not None:
            places[key] = SincePosition(position=unquote(position))
        else:
            places[key] = SincePosition(unquote(epoch), int(offset))
    return places


def place_in(places: dict[str, SincePosition] | None, channel: str) -> SincePosition | None:
    """Return where a cursor is in a channel or pattern; None if it does not know it.

    A malformed cursor (None), and an entry of the other kind, is a place that no broker knows: not recovered.
    """
    nowhere = SincePosition(position="") if is_pattern(channel) else SincePosition()
    if places is None:
        return nowhere
    place = places.get(key_of(channel))
    if place is None:
        return None
    return place if (place.position is not None) == is_pattern(channel) else nowhere


@functools.lru_cache(maxsize=8_192)
def key_of(channel: str) -> str:
    """Return what a cursor calls a channel."""
    digest = hashlib.blake2b(channel.encode("utf-8", "surrogatepass"), digest_size=_KEY_BYTES).digest()
    return urlsafe_b64encode(digest).decode()


def _channel_entry(channel: str, position: Position) -> str:
    return f"{key_of(channel)}:{quote(position.epoch, safe='')}:{position.offset}"
