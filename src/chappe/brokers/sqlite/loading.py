"""Everything the file keeps, read and checked row by row when a hub starts, and what follows from what is missing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec.structs import replace

from chappe.brokers.sqlite.database import Database
from chappe.brokers.sqlite.records import BadRecord, KeyRecord, State, StreamRecord, check, publication_of, unpack
from chappe.model.publication import Publication

_EMPTY: Final = State(0, 0, "", 0, 0.0, ())


@dataclass
class LoadedStream:
    """A channel as the file has it.

    Attributes:
        kept: its publications, oldest first, each with the broker's second at which it was stored.
        damaged: whether something of it is missing or wrong.
        changed: whether it is not any more what its row says.
    """

    id: int
    record: StreamRecord
    kept: list[tuple[Publication, float]] = field(default_factory=list)
    retained: Publication | None = None
    damaged: bool = False
    changed: bool = False


@dataclass
class Loaded:
    """The content of a file that can be used.

    Attributes:
        state: as of the last transaction; `log_epoch` is empty if log positions told before mean nothing any more.
        keys: by their id, in the order in which they expire.
        strays: ids of rows that are damaged or belong to nothing, by table.
        new_epochs: channels that begin a new epoch.
        bad_rows: rows whose checksum was wrong.
        reason: why epochs are new, empty if none are.
    """

    state: State
    streams: list[LoadedStream]
    keys: list[tuple[int, KeyRecord]]
    strays: dict[str, list[int]]
    new_epochs: int = 0
    bad_rows: int = 0
    reason: str = ""


def load(database: Database, new_epoch: Callable[[], str]) -> Loaded:
    """Read and check everything; give channels that may have lost something a new epoch.

    Raises:
        sqlite3.Error: SQLite cannot read it.
    """
    reader = _Reader(database)
    loaded = reader.read()
    if reader.has_state or loaded.streams or loaded.bad_rows:
        _judge(loaded, database, reader.has_state, new_epoch)
    return loaded


class _Reader:
    """One pass over all tables."""

    def __init__(self, database: Database) -> None:
        self._connection = database.connection
        self._streams: dict[int, LoadedStream] = {}
        self._strays: dict[str, list[int]] = {"streams": [], "publications": [], "retained": [], "keys": []}
        self.has_state = False
        self.bad_rows = 0

    def read(self) -> Loaded:
        state = self._state()
        self._read_streams()
        self._read_publications()
        self._read_slots()
        keys = list(self._keys())
        for stream in self._streams.values():
            _mend(stream)
        return Loaded(state, list(self._streams.values()), keys, self._strays, bad_rows=self.bad_rows)

    def _state(self) -> State:
        rows = {name: rest for name, *rest in self._connection.execute("SELECT name, value, sum FROM chappe")}
        values: dict[str, Any] = {}
        for name in ("state", "lossy"):
            try:
                value, expected = rows[name]
                check(name.encode(), (), expected, value)
                values[name] = unpack(value)
            except KeyError:
                continue
            except BadRecord:
                self.bad_rows += 1
        try:
            state = State(*(*values["state"], tuple(values["lossy"] if "lossy" in rows else ())))
        except KeyError:
            return _EMPTY
        self.has_state = True
        return state

    def _read_streams(self) -> None:
        channels: dict[str, LoadedStream] = {}
        for number, body, expected in self._connection.execute("SELECT id, body, sum FROM streams ORDER BY id"):
            try:
                check(b"streams", (number,), expected, body)
                stream = LoadedStream(number, StreamRecord(*unpack(body)))
            except (BadRecord, TypeError):
                self._drop("streams", number)
                continue
            twin = channels.setdefault(stream.record.channel, stream)
            if twin is not stream:
                # An old life that should be gone: neither can be trusted.
                twin.damaged = stream.damaged = True
                self._drop("streams", twin.id)
                del self._streams[twin.id]
                channels[stream.record.channel] = stream
            self._streams[number] = stream

    def _drop(self, table: str, number: int, *, bad: bool = True) -> None:
        self._strays[table].append(number)
        self.bad_rows += bad

    def _read_publications(self) -> None:
        rows = self._connection.execute(
            "SELECT log, stream, place, stored_us, head, payload, sum FROM publications ORDER BY log"
        )
        for log, number, offset, stored_us, head, payload, expected in rows:
            stream = self._streams.get(number)
            try:
                check(b"publications", (log, number, offset, stored_us), expected, head, payload)
                if stream is None or offset <= stream.record.trimmed_offset:
                    self._drop("publications", log, bad=False)
                    continue
                record = stream.record
                publication = publication_of(head, payload, record.channel, record.epoch, offset, log)
            except BadRecord:
                self._drop("publications", log)
                continue
            stream.kept.append((publication, stored_us / 1e6))

    def _read_slots(self) -> None:
        rows = self._connection.execute("SELECT stream, place, log, head, payload, sum FROM retained")
        for number, offset, log, head, payload, expected in rows:
            stream = self._streams.get(number)
            try:
                check(b"retained", (number, offset, log), expected, head, payload)
                if stream is None or offset != stream.record.retained_offset:
                    raise BadRecord("nobody's")
                record = stream.record
                stream.retained = publication_of(
                    head, payload, record.channel, record.epoch, offset, log, retained=True
                )
            except BadRecord:
                self._drop("retained", number, bad=stream is not None)

    def _keys(self) -> Iterator[tuple[int, KeyRecord]]:
        for number, body, expected in self._connection.execute("SELECT id, body, sum FROM keys ORDER BY id"):
            try:
                check(b"keys", (number,), expected, body)
                yield number, KeyRecord(*unpack(body))
            except (BadRecord, TypeError):
                self._drop("keys", number)


def _mend(stream: LoadedStream) -> None:
    """Keep what can be given without a gap: all of it, or the newest run of publications that follow one another."""
    record, kept = stream.record, stream.kept
    expected = list(range(record.trimmed_offset + 1, record.offset + 1))
    whole = [publication.offset for publication, _ in kept] == expected
    if (record.retained_offset != 0) != (stream.retained is not None):
        stream.damaged = True
        record = record._replace(retained_offset=0 if stream.retained is None else record.retained_offset)
    if not whole:
        stream.damaged = True
        kept.sort(key=lambda each: each[0].offset)
        first = len(kept) - 1
        while first > 0 and kept[first - 1][0].offset == kept[first][0].offset - 1:
            first -= 1
        del kept[: max(first, 0)]
        # What follows the run is lost: the new epoch is one in which nothing followed.
        record = record._replace(offset=kept[-1][0].offset if kept else record.offset)
        trimmed = kept[0][0].offset - 1 if kept else record.offset
        # No older log position can be continued: the one of the newest row before is not known.
        record = record._replace(trimmed_offset=trimmed, trimmed_log=max(record.log, record.trimmed_log))
    stream.record = record


def _judge(loaded: Loaded, database: Database, has_state: bool, new_epoch: Callable[[], str]) -> None:
    """Give new epochs where something that was told may be missing."""
    statement, commit = database.statement, loaded.state.commit
    reason, all_of_them, relaxed_ones = "", False, False
    if not has_state:
        reason, all_of_them = "its state cannot be read", True
    elif statement is None:
        reason, all_of_them = "its -witness file is missing or damaged", True
    elif commit < statement.synced:
        reason, all_of_them = f"it ends at transaction {commit}, {statement.synced} was synced", True
    elif commit < statement.commit:
        reason, relaxed_ones = f"it ends at transaction {commit}, {statement.commit} was told of", True
    elif not statement.clean and statement.relaxed and not _same_boot(statement.boot, database.boot):
        reason, relaxed_ones = "the machine ended before everything was synced", True
    for stream in loaded.streams:
        lost = all_of_them or (relaxed_ones and not stream.record.durable)
        if lost or stream.damaged:
            _begin_anew(stream, new_epoch())
            loaded.new_epochs += 1
    if loaded.bad_rows and not reason:
        reason = f"{loaded.bad_rows} rows are damaged"
    elif loaded.new_epochs and not reason:
        reason = "rows are missing"
    if reason:
        loaded.reason = reason
        loaded.state = loaded.state._replace(log_epoch="")


def _same_boot(before: str, now: str) -> bool:
    return bool(now) and before == now


def _begin_anew(stream: LoadedStream, epoch: str) -> None:
    stream.changed = True
    stream.record = stream.record._replace(epoch=epoch)
    stream.kept = [(replace(publication, epoch=epoch), stored_s) for publication, stored_s in stream.kept]
    if stream.retained is not None:
        stream.retained = replace(stream.retained, epoch=epoch)
