"""The log of claims of one group: in a channel of the hub's own where others write it too, or it outlives the hub.

What a node says is one entry at a time, in its order, and again until the engine answers: what it says meanwhile is the
next one. It holds when it comes back, in the order of the log, whatever the answer was.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import msgspec
from msgspec.structs import replace

from chappe.hub.cluster.bus import PREFIX
from chappe.hub.contracts import Append, Outcome, Read, ReadResult, Timer
from chappe.hub.mqtt.claims import Changes, Claims, Entry, Snapshot, Spot, Wanted, order_of
from chappe.hub.namespaces import Level, Namespace
from chappe.model.position import Position
from chappe.model.publication import Kind, Publication
from chappe.protocols.base import SincePosition

if TYPE_CHECKING:
    from chappe.hub.hub import HubCore

_CHANNEL: Final = f"{PREFIX}mqtt-groups/"
#: Entries that the engine keeps of one group, and for how long, seconds: as long as a session may be away.
_KEPT_ENTRIES: Final = 2_048
#: Entries after which all of it is written down in one: whoever comes reads no more than twice as many.
SNAPSHOT_ENTRIES: Final = 256
#: Bytes of one of those, and of any other entry; NATS takes a megabyte.
_SNAPSHOT_BYTES: Final = 917_504
_ENTRY_BYTES: Final = 262_144
#: Entries read at once, and claims and other places in one.
_PAGE: Final = 500
_AT_ONCE: Final = 1_000
#: Until the engine is asked again that did not answer, seconds.
RETRY_S: Final = 0.5
#: How long is known that a group is over, seconds.
_OVER_S: Final = 60.0
#: What is done with is told together, so often, seconds.
DONE_S: Final = 0.05

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry | Snapshot).decode


class Told(Protocol):
    """Who acts on what the log says."""

    def applied(self, entry: Entry, changes: Changes) -> None:
        """Take what the next entry did."""

    def restored(self) -> None:
        """Look at all of it anew: it was read, or what was known of it does not hold any more."""


class Draft:
    """What a node is about to say."""

    def __init__(self, node: str) -> None:
        self._node = node
        self.share: int | None = None
        self.since: SincePosition | None = None
        self.floor: SincePosition | None = None
        self.gone: list[tuple[str, int]] = []
        self.kept: dict[str, None] = {}
        self.ended: dict[str, None] = {}
        self.over: dict[str, None] = {}
        self.done: list[Spot] = []
        self.freed: list[tuple[Spot, int]] = []
        self.claims: list[Wanted] = []

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to say."""
        told = self.gone or self.kept or self.ended or self.over or self.done or self.freed or self.claims
        return not told and self.share is None and self.floor is None

    def keep(self, client_id: str) -> None:
        """Say that a session is a member and outlives its connection."""
        self.ended.pop(client_id, None)
        self.kept[client_id] = None

    def end(self, client_id: str) -> None:
        """Say that it is none any more."""
        self.kept.pop(client_id, None)
        self.ended[client_id] = None

    def take(self, number: int) -> Entry:
        """Return as much of it as goes into one entry, under a number; begin again with the rest.

        What sessions were sent is told before that they are over, and that before what is claimed anew.
        """
        room = _Room()
        gone, self.gone = room.cut(self.gone, lambda each: _size_of(each[0]))
        kept, rest = room.cut(list(self.kept), _size_of)
        self.kept = dict.fromkeys(rest)
        done, self.done = room.cut(self.done, _size_of_spot)
        freed, self.freed = room.cut(self.freed, lambda each: _size_of_spot(each[0]))
        over, rest = room.cut(list(self.over), _size_of)
        self.over = dict.fromkeys(rest)
        claims, self.claims = room.cut(self.claims, lambda each: _size_of_spot(each.spot) + _size_of(each.client_id))
        ended, rest = room.cut(list(self.ended), _size_of)
        self.ended = dict.fromkeys(rest)
        entry = Entry(
            self._node,
            number,
            gone,
            self.share,
            self.since,
            kept,
            done,
            freed,
            claims,
            ended,
            self.floor,
            over,
        )
        self.share = self.since = self.floor = None
        return entry


_Told = TypeVar("_Told")


class _Room:
    """What still goes into an entry; nothing more behind what did not."""

    def __init__(self) -> None:
        self._bytes = _ENTRY_BYTES
        self._is_full = False

    def cut(self, told: list[_Told], size_of: Callable[[_Told], int]) -> tuple[list[_Told], list[_Told]]:
        """Return what goes into it, and the rest."""
        count = 0
        while count < len(told) and not self._is_full:
            self._bytes -= size_of(told[count])
            self._is_full = self._bytes < 0 or count >= _AT_ONCE
            count += not self._is_full
        return told[:count], told[count:]


def _size_of(text: str) -> int:
    """Return what a text takes at most, bytes."""
    return 5 + (len(text) if text.isascii() else 4 * len(text))


def _size_of_spot(spot: Spot) -> int:
    return 40 + _size_of(spot[0]) + _size_of(spot[1])


class ClaimLog:
    """The log of a group of a hub that has its broker for itself, in memory: what is said holds at once.

    Attributes:
        claims: what it says.
        draft: what this node says next; `flush` or `flush_soon` are called behind a change.
        is_ready: it was read.
    """

    def __init__(self, hub: "HubCore", name: str, told: Told) -> None:
        self.claims = Claims()
        self.draft = Draft(hub.node)
        self.is_ready = False
        self.epoch = ""
        self.applied = 0
        self._hub = hub
        self._told = told
        self._is_busy = False

    @property
    def is_idle(self) -> bool:
        """Whether all that was said holds, and nothing is forgotten by closing it."""
        return self.draft.is_empty and not self._is_busy and self.claims.is_over

    def open(self) -> None:
        """Read it; `restored` is called then."""
        self.is_ready = True
        self._told.restored()

    def close(self) -> None:
        """Read it no more."""

    def flush(self) -> None:
        """Say what there is to say."""
        if self._is_busy:
            # From within: the loop below goes on.
            return
        self._is_busy = True
        while not self.draft.is_empty:
            self._take(self.draft.take(self.applied + 1), self.applied + 1)
        self._is_busy = False

    def flush_soon(self) -> None:
        """Say it when there is more, or some time."""
        self.flush()

    def flush_all(self) -> None:
        """Say it without waiting for anything: this node ends."""
        self.flush()

    def check(self) -> None:
        """Find out whether something did not come."""

    def _take(self, entry: Entry, offset: int) -> None:
        self.applied = offset
        self._told.applied(entry, self.claims.apply(entry, offset))


class Counts:
    """What happens to the logs of all groups.

    Attributes:
        entries: written; the number of the next one is higher.
        failures: that were not answered, and written again.
        gaps: how often a part of a log was gone before it was read.
        malformed: entries that nobody understands.
        too_large: how often all of it was too much to be written down in one.
    """

    def __init__(self) -> None:
        self.entries = self.failures = self.gaps = self.malformed = self.too_large = 0


class SharedClaimLog(ClaimLog):
    """The same through the broker."""

    def __init__(self, hub: "HubCore", name: str, told: Told, age_s: float, counts: Counts) -> None:
        """Know where it is; nothing is read before `open`.

        Args:
            age_s: how long entries are kept.
        """
        super().__init__(hub, name, told)
        self._counts = counts
        self._channel = channel_of(name)
        level = Level.DURABLE if hub.broker.durable else Level.RECOVERABLE
        self._namespace = Namespace(name="$hub", level=level, history_count=_KEPT_ENTRIES, history_age_s=age_s)
        self._is_open = self._is_reading = self._is_stale = False
        self._fed: list[Publication] = []
        self._sending: bytes | None = None
        self._stored = 0
        self._timer: Timer | None = None
        self._done_timer: Timer | None = None
        self._unsaved = 0

    @property
    def is_idle(self) -> bool:
        """Whether all that was said holds."""
        return self.draft.is_empty and self._sending is None and self._stored <= self.applied

    # --- Reading -----------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Follow it, and read what it said so far."""
        self._is_open = True
        self._hub.followers[self._channel] = self
        self._hub.broker.attach(self._channel)
        self._read()

    def close(self) -> None:
        """Follow it no more."""
        self._is_open = False
        self._hub.followers.pop(self._channel, None)
        self._hub.broker.detach(self._channel)
        for timer in (self._timer, self._done_timer):
            if timer is not None:
                timer.cancel()

    def fed(self, publication: Publication) -> None:
        """Take what the feed brings."""
        if self._is_reading or not self.is_ready:
            self._fed.append(publication)
        elif publication.epoch != self.epoch:
            self._begin_again()
        else:
            self._apply(publication)

    def interrupted(self) -> None:
        """Learn that the feed may have lost something."""
        if self._is_reading:
            self._is_stale = True
        elif self._is_open:
            self._read()

    def check(self) -> None:
        """Read on if something of ours was stored and never came; nobody may have noticed that it was lost."""
        if self._stored > self.applied and self._is_open and not self._is_reading:
            self._read()

    def _read(self) -> None:
        self._is_reading, self._is_stale = True, False
        self._hub.broker.read(Read(self._channel, self._namespace), self._found)

    def _found(self, result: ReadResult) -> None:
        if not self._is_open:
            return
        if result.error:
            self._later(self._read)
            return
        if result.position.epoch != self.epoch:
            self._forget(result.position.epoch)
        snapshot = self._snapshot_in(result.retained)
        if snapshot is not None and not self.is_ready:
            self._restore(snapshot)
        self._read_page()

    def _read_page(self) -> None:
        since = Position(self.epoch, self.applied)
        self._hub.broker.read(Read(self._channel, self._namespace, since, _PAGE), self._took)

    def _took(self, result: ReadResult) -> None:
        if not self._is_open:
            return
        if result.error:
            self._later(self._read_page)
        elif result.position.epoch != self.epoch:
            self._read()
        elif not result.unbroken and (self.applied or self.is_ready):
            self._miss(result)
        else:
            for each in result.publications:
                self._apply(each)
            if len(result.publications) >= _PAGE:
                self._read_page()
            else:
                self._finish_reading()

    def _miss(self, result: ReadResult) -> None:
        """Go on behind what the engine has no more: by what another node wrote down, or with what there is."""
        snapshot = self._snapshot_in(result.retained)
        if snapshot is not None and snapshot.offset > self.applied:
            self.is_ready = False
            self._restore(snapshot)
            self._read_page()
            return
        self._counts.gaps += 1
        self._hub.log("WARNING", "a part of the log of a shared subscription is gone: messages may come twice")
        first = result.publications[0].offset - 1 if result.publications else result.position.offset
        self.applied = max(first, self.applied + 1)
        self._read_page()

    def _finish_reading(self) -> None:
        self._is_reading = False
        if not self.is_ready:
            self.is_ready = True
            self._told.restored()
        fed, self._fed = self._fed, []
        for each in fed:
            self.fed(each)
        if self._is_stale and not self._is_reading:
            self._read()
        self.flush()

    def _begin_again(self) -> None:
        """Read anew what begins anew."""
        self.is_ready = False
        self._read()

    def _forget(self, epoch: str) -> None:
        self.is_ready = False
        self.epoch, self.applied, self._stored, self._unsaved = epoch, 0, 0, 0
        self.claims = Claims()

    def _restore(self, snapshot: Snapshot) -> None:
        self.claims.restore(snapshot)
        self.applied, self._unsaved = snapshot.offset, 0

    def _snapshot_in(self, publication: Publication | None) -> Snapshot | None:
        if publication is None or publication.epoch != self.epoch:
            return None
        found = self._decode(publication)
        return found if isinstance(found, Snapshot) else None

    def _apply(self, publication: Publication) -> None:
        if publication.epoch != self.epoch or publication.offset <= self.applied:
            return
        found = self._decode(publication)
        self.applied = publication.offset
        if not isinstance(found, Entry):
            self._unsaved = 0 if found is not None else self._unsaved
            return
        changes = self.claims.apply(found, publication.offset)
        self._unsaved += 1
        if self.is_ready:
            self._told.applied(found, changes)
        if found.node == self._hub.node and (self._unsaved >= SNAPSHOT_ENTRIES or changes.is_over or self._is_last):
            self.save()

    @property
    def _is_last(self) -> bool:
        """Whether nobody goes on from here, and sessions may come back to it."""
        return not self.claims.nodes and bool(self.claims.kept)

    def _decode(self, publication: Publication) -> Entry | Snapshot | None:
        if not publication.payload:
            return None
        try:
            found: Entry | Snapshot = _decode(publication.payload)
            for place in (found.floor, found.since if isinstance(found, Entry) else None):
                if place is not None:
                    order_of(place)
            if isinstance(found, Snapshot) and any(len(numbers) % 2 for _, _, numbers in found.done):
                raise ValueError("an odd count")
        except (msgspec.DecodeError, ValueError, RecursionError):
            self._counts.malformed += 1
            return None
        return found

    # --- Writing -----------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Say what there is to say, unless something is on its way."""
        if self._sending is not None or self.draft.is_empty:
            return
        if self._done_timer is not None:
            self._done_timer.cancel()
            self._done_timer = None
        self._send()

    def flush_soon(self) -> None:
        """Say it with the next that is to be said, or some time."""
        if self._done_timer is None and self._sending is None:
            self._done_timer = self._hub.clock.call_later(DONE_S, self._flush_done)

    def flush_all(self) -> None:
        """Say it without waiting for the answer to what was said before: this node ends."""
        while not self.draft.is_empty:
            self._send()

    def _flush_done(self) -> None:
        self._done_timer = None
        self.flush()

    def _send(self) -> None:
        self._counts.entries += 1
        payload = self._sending = _encode(self.draft.take(self._counts.entries))
        self._write(payload)

    def _write(self, payload: bytes) -> None:
        def answered(outcomes: Sequence[Outcome]) -> None:
            outcome = outcomes[0]
            if outcome.error:
                self._counts.failures += 1
                # It may be there already: its number tells.
                self._hub.clock.call_later(RETRY_S, lambda: self._again(payload))
                return
            if outcome.position.epoch == self.epoch:
                self._stored = max(self._stored, outcome.position.offset)
            if self._sending is payload:
                self._sending = None
            self.flush()

        self._hub.broker.append((self._append(payload),), answered)

    def _again(self, payload: bytes) -> None:
        if self._is_open:
            self._write(payload)

    def _append(self, payload: bytes, *, retain: bool = False) -> Append:
        return Append(self._channel, payload, Kind.BINARY, self._hub.clock.wall_ms(), self._namespace, retain=retain)

    def save(self) -> None:
        """Write all of it down in one, for whoever comes; or that there is nothing."""
        self._unsaved = 0
        entry = self._append(b"", retain=True)
        if self.claims.is_over:
            # Nothing of it is needed any more, and names cost nothing: it does not stay.
            entry = replace(entry, namespace=replace(self._namespace, history_count=1, history_age_s=_OVER_S))
        else:
            payload = _encode(self.claims.snapshot(self.applied))
            if len(payload) > _SNAPSHOT_BYTES:
                # Never a part of it: who begins with that would claim what is done with. The one before stands.
                self._counts.too_large += 1
                return
            entry = self._append(payload, retain=True)
        self._hub.broker.append((entry,), lambda outcomes: None)

    def _later(self, call: Callable[[], None]) -> None:
        def go() -> None:
            if self._is_open:
                call()

        self._timer = self._hub.clock.call_later(RETRY_S, go)


def channel_of(name: str) -> str:
    """Return the channel of a group's log; filters are any text, and channels are not."""
    return _CHANNEL + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
