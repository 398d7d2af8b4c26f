"""What publishers and subscribers write down: one JSON object a line, `event` says what it is.

All times are seconds of one clock (on one machine: the system's). The lines of one publisher or subscriber are in the
order in which things happened to it, in one file; otherwise order does not matter. Unknown members are ignored, so a
log may have more.

A subscriber logs what its application sees. Its chain on a channel begins at a `subscribed` that did not recover and
goes on over every one that did.
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO, TypeAlias

import msgspec


class Place(msgspec.Struct, frozen=True):
    """A position as a client saw it."""

    epoch: str
    offset: int


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", omit_defaults=True):
    channel: str
    time: float = 0.0


class Attempt(_Event, frozen=True, kw_only=True, tag="attempt"):
    """A publisher is about to send.

    Attributes:
        attempt: a number of its own among the publisher's; a repetition with the same key is another attempt.
        hash: of the payload (`payload_hash`); payloads of different attempts should differ, or doubling cannot be told.
        key: idempotency key; keys of different publishers may not be equal unless they are one user's.
        expect: the position of a compare-and-set.
    """

    publisher: str
    attempt: int
    hash: str
    key: str | None = None
    expect: Place | None = None


class Ack(_Event, frozen=True, kw_only=True, tag="ack"):
    """The hub said that it is stored."""

    publisher: str
    attempt: int
    epoch: str
    offset: int


class Failed(_Event, frozen=True, kw_only=True, tag="failed"):
    """The hub answered with an error, so nothing was stored; without a code the fate is unknown."""

    publisher: str
    attempt: int
    code: int = 0


class Subscribed(_Event, frozen=True, kw_only=True, tag="subscribed"):
    """The hub accepted a subscription; epoch and offset are the answer's.

    Attributes:
        since: the position that was asked for, if any.
        recovered: what the answer said.
        replay: how many older publications were asked for without a position ("latest" is 1).
    """

    subscriber: str
    epoch: str
    offset: int
    since: Place | None = None
    recovered: bool = False
    replay: int = 0


class Seen(_Event, frozen=True, kw_only=True, tag="publication"):
    """A publication came; those without an offset (transient) are not logged."""

    subscriber: str
    epoch: str
    offset: int
    hash: str


class Dropped(_Event, frozen=True, kw_only=True, tag="dropped"):
    """The subscriber was told that publications were left out, or that its state is insufficient."""

    subscriber: str


class Closed(_Event, frozen=True, kw_only=True, tag="closed"):
    """The subscription or its connection ended (`unsubscribed` means the same)."""

    subscriber: str


class Unsubscribed(_Event, frozen=True, kw_only=True, tag="unsubscribed"):
    """The subscription ended."""

    subscriber: str


class Settled(_Event, frozen=True, kw_only=True, tag="settled"):
    """The subscriber is still subscribed and everything acknowledged so far had time to arrive."""

    subscriber: str


class History(_Event, frozen=True, kw_only=True, tag="history"):
    """Somebody read the history after an offset, and the answer was the whole of it.

    Attributes:
        since: the offset read from (0: from the beginning, if nothing was trimmed).
        offset: the channel's position in the answer.
        publications: offset and hash of each, in the order of the answer.
    """

    reader: str
    epoch: str
    since: int
    offset: int
    publications: tuple[tuple[int, str], ...] = ()


Event: TypeAlias = Attempt | Ack | Failed | Subscribed | Seen | Dropped | Closed | Unsubscribed | Settled | History


def payload_hash(payload: bytes) -> str:
    """Return what logs call a payload: the first 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(payload).hexdigest()[:16]


def read_events(paths: Iterable[Path]) -> Iterator[Event]:
    """Read logs.

    A last line without its end is left out: the process was killed while it wrote it.

    Raises:
        ValueError: a line is no event; the text names file and line.
    """
    decoder = msgspec.json.Decoder(type=Event)
    for path in paths:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.endswith(b"\n") or not line.strip():
                    continue
                try:
                    yield decoder.decode(line)
                except msgspec.DecodeError as error:
                    raise ValueError(f"{path}:{number} is no event: {error}") from error


class Journal:
    """Writes events to a log, line by line, so that a killed process leaves what it knew."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, event: Event) -> None:
        """Write one event."""
        self._file.write(msgspec.json.encode(event).decode() + "\n")
        self._file.flush()


def to_text(events: Iterable[Event]) -> str:
    """Return events as the text of a log."""
    return "".join(msgspec.json.encode(event).decode() + "\n" for event in events)
