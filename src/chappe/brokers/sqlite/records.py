"""What the rows of the file hold, each with a checksum of its own: SQLite checks pages of the WAL, not of the file."""

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from zlib import crc32

import msgspec

from chappe.model.publication import Kind, Publication, Sender

_MAX_INTEGER: Final = (1 << 63) - 1

_Cell = int | bytes | str | float | None


class BadRecord(ValueError):
    """A row is not what was written."""


class StreamRecord(NamedTuple):
    """A channel: its place, what is kept of it, and the options that say how much that may be.

    Attributes:
        trimmed_offset, trimmed_log: the newest publication that is not kept; those after it are rows, without a gap.
        durable: whether its last publication was acknowledged after fsync.
        retained_offset: the publication in its retained slot, which is a row too; 0: the slot is empty.
    """

    channel: str
    epoch: str
    offset: int
    log: int
    trimmed_offset: int
    trimmed_log: int
    history_count: int
    age_s: float
    durable: bool
    retained_offset: int


class KeyRecord(NamedTuple):
    """An idempotency key with its first answer."""

    channel: str
    owner: str
    key: str
    epoch: str
    offset: int


class State(NamedTuple):
    """What holds for the whole file.

    Attributes:
        commit: counts transactions; the witness knows which was the last.
        reserved: no log position beyond it was told.
        forgotten_log: up to here some channel is no longer known.
        time_s: the broker's time; it never goes back.
        lossy: first segments of channels that are not written; "+" stands for any.
    """

    commit: int
    reserved: int
    log_epoch: str
    forgotten_log: int
    time_s: float
    lossy: tuple[str, ...]


class PublicationRow(NamedTuple):
    """A publication as it is written, and when that was, in seconds of the broker."""

    stream: int
    publication: Publication
    stored_s: float


def pack(values: tuple[Any, ...]) -> bytes:
    """Return plain values as bytes; text that is no valid Unicode survives too."""
    try:
        return msgspec.msgpack.encode(values)
    except UnicodeEncodeError:
        return json.dumps(values).encode()


def unpack(body: _Cell) -> Any:
    """Return what `pack` was given, tuples as lists.

    Raises:
        BadRecord: it is nothing of `pack`.
    """
    if not isinstance(body, bytes):
        raise BadRecord("not a blob")
    try:
        return json.loads(body) if body[:1] == b"[" else msgspec.msgpack.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise BadRecord(str(error)) from None


def checksum(name: bytes, numbers: tuple[int, ...], *parts: bytes) -> int:
    """Return the CRC-32 of a row; `name` is its table's, so that a row cannot pass for one of another."""
    total = crc32(b"%b %r %r" % (name, numbers, tuple(len(part) for part in parts)))
    for part in parts:
        total = crc32(part, total)
    return total


def check(name: bytes, numbers: tuple[_Cell, ...], expected: _Cell, *parts: _Cell) -> None:
    """Compare a row with its checksum.

    Raises:
        BadRecord: they differ.
    """
    if not all(type(number) is int and 0 <= number <= _MAX_INTEGER for number in numbers):
        raise BadRecord("not a number")
    if not all(type(part) is bytes for part in parts):
        raise BadRecord("not a blob")
    if checksum(name, numbers, *parts) != expected:  # type: ignore[arg-type]
        raise BadRecord("wrong checksum")


def head_of(publication: Publication) -> bytes:
    """Return all of a publication but its payload and its place."""
    sender = publication.sender
    who = None if sender is None else (sender.user, sender.name, sender.session)
    headers = None if publication.headers is None else dict(publication.headers)
    return pack((int(publication.kind), publication.time_ms, who, publication.id, headers))


def publication_of(
    head: _Cell, payload: bytes, channel: str, epoch: str, offset: int, log: int, *, retained: bool = False
) -> Publication:
    """Return a publication from its row.

    Raises:
        BadRecord: the head is nothing of `head_of`.
    """
    try:
        kind, time_ms, who, key, headers = unpack(head)
        sender = None if who is None else Sender(*who)
        named: Mapping[str, str] | None = headers
        return Publication(
            channel, payload, Kind(kind), offset, epoch, time_ms, sender, key, named, log, retained=retained
        )
    except (TypeError, ValueError) as error:
        raise BadRecord(str(error)) from None
