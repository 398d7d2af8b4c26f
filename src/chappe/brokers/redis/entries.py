"""How a publication is written down in the server, and the names of keys and feeds."""

import binascii
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from chappe.hub.contracts import Append
from chappe.model.channels import namespace_of
from chappe.model.publication import Kind, Publication, Sender

_SLOTS: Final = 16_384


class Entry(msgspec.Struct, array_like=True, gc=False):
    """All of a publication but its place.

    Attributes:
        node, number: who appended it, and its number among what that node appended there.
    """

    node: str
    number: int
    channel: str
    payload: bytes
    kind: int
    time_ms: int
    sender: tuple[str | None, str, str] | None = None
    id: str | None = None
    headers: Mapping[str, str] | None = None


class Message(msgspec.Struct, gc=False):
    """Hold one message of the feed, or the content of a retained slot: an entry and where it is.

    Attributes:
        offset: 0 for a transient publication.
    """

    generation: str
    log: int
    epoch: str
    offset: int
    entry: Entry

    def publication(self, log: int, *, retained: bool = False) -> Publication:
        """Return it as the hub takes it, at a log position."""
        transient = self.offset == 0
        return publication(self.entry, self.epoch, self.offset, 0 if transient else log, retained, transient)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode


def encode(item: Append, node: str, number: int) -> bytes:
    """Write a publication down."""
    sender = item.sender
    return _encode(
        Entry(
            node,
            number,
            item.channel,
            item.payload,
            item.kind,
            item.time_ms,
            (sender.user, sender.name, sender.session) if sender is not None else None,
            item.key,
            item.headers,
        )
    )


def decode_message(data: bytes) -> Message:
    """Read a message of the feed.

    Raises:
        ValueError: it is none of ours (`msgspec.DecodeError` is one).
    """
    generation, log, epoch, offset, entry = data.split(b":", 4)
    return Message(generation.decode(), int(log), epoch.decode(), int(offset), _decode(entry))


def decode_kept(data: bytes, epoch: str, offset: int) -> Publication:
    """Read an entry of a history; its epoch and offset follow from where it stands.

    Raises:
        ValueError: it is none of ours.
    """
    _, log, entry = data.split(b":", 2)
    return publication(_decode(entry), epoch, offset, int(log), False, False)


def publication(entry: Entry, epoch: str, offset: int, log: int, retained: bool, transient: bool) -> Publication:
    """Return an entry as the hub takes it."""
    sender = entry.sender
    return Publication(
        entry.channel,
        entry.payload,
        Kind(entry.kind),
        offset,
        epoch,
        entry.time_ms,
        Sender(*sender) if sender is not None else None,
        entry.id,
        entry.headers,
        log,
        retained,
        transient,
    )


class Keys:
    """The names of one partition; in a cluster a hash tag puts all of them into one slot.

    Attributes:
        number: of the partition.
        state, index, slots: see `scripts`.
    """

    def __init__(self, prefix: str, number: int, *, in_cluster: bool) -> None:
        self.number = number
        base = f"{prefix}:{{{number}}}:" if in_cluster else f"{prefix}:"
        self.state = f"{base}s"
        self.index = f"{base}i"
        self.slots = f"{base}R"
        self.metas = f"{base}m:"
        self.slot = binascii.crc_hqx(str(number).encode(), 0) % _SLOTS
        self._in_cluster = in_cluster
        self._base = base
        self._histories = f"{base}h:"
        self._keys = f"{base}k:"
        self._feeds = f"{base}f:"

    def meta(self, channel: str) -> str:
        """Return the key of where a channel is."""
        return self.metas + channel

    def history(self, channel: str) -> str:
        """Return the key of what a channel keeps."""
        return self._histories + channel

    def idempotency(self, item: Append) -> bytes:
        """Return the key of an idempotency key; lengths keep owner, key and channel apart."""
        owner, key = item.key_owner, item.key or ""
        return f"{self._keys}{len(owner)}:{owner}:{len(key)}:{key}:{item.channel}".encode(errors="surrogatepass")

    def feed(self, channel: str) -> str:
        """Return the Redis channel that brings one channel."""
        return f"{self._feeds}{channel}"

    def wide_feed(self, pattern: str) -> str:
        """Return what brings all that a pattern matches and perhaps more: a Redis pattern, in a cluster a feed."""
        first = namespace_of(pattern)
        everything = first in ("+", "#")
        if self._in_cluster:
            return f"{self._base}a" if everything else f"{self._base}n:{first}"
        return f"{_quote(self._feeds)}{'' if everything else _quote(first)}*"

    def feeds(self, channel: str) -> tuple[str, ...]:
        """Return every Redis channel that a publication goes to."""
        if self._in_cluster:
            return f"{self._feeds}{channel}", f"{self._base}n:{namespace_of(channel)}", f"{self._base}a"
        return (self._feeds + channel,)


def _quote(text: str) -> str:
    return re.sub(r"([*?\[\]\\^])", r"\\\1", text)


def partition_of(channel: str, partitions: int) -> int:
    """Return the partition of a channel, evenly spread and the same on every hub."""
    return 0 if partitions == 1 else binascii.crc32(channel.encode()) * partitions >> 32


def spread(channel: str, servers: int) -> int:
    """Return the server of a channel among several; one more server moves only its own share of channels.

    Jump consistent hash (Lamping and Veach, 2014).
    """
    key = binascii.crc32(channel.encode()) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
    found, candidate = 0, 0
    while candidate < servers:
        found = candidate
        key = (key * 2862933555777941757 + 1) & 0xFFFFFFFFFFFFFFFF
        candidate = int((found + 1) * ((1 << 31) / ((key >> 33) + 1)))
    return found
