"""The file: how it is opened, what it has to be, and how one transaction is written.

Used by one thread at a time. Nothing here knows what the hub was told.
"""

import contextlib
import os
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from chappe.brokers.sqlite.records import (
    KeyRecord,
    PublicationRow,
    State,
    StreamRecord,
    checksum,
    head_of,
    pack,
)
from chappe.brokers.sqlite.witness import Statement, Witness, boot_id
from chappe.model.errors import ConfigurationError
from chappe.model.publication import Publication

Sync = Literal["full", "normal"]
Verify = Literal["quick", "full"]

#: The layout below; another one is refused.
SCHEMA_VERSION: Final = 1
#: "Chap": SQLite keeps it in the header, so that `file` and we know whose database this is.
_APPLICATION_ID: Final = 0x43686170
#: What the WAL may keep of the disk after a checkpoint.
_WAL_BYTES: Final = 67_108_864
#: Pages given back to the system with each transaction that deletes: as many as its deletions can free.
_VACUUM_PAGES: Final = 512

_SCHEMA: Final = """
CREATE TABLE chappe (name TEXT PRIMARY KEY, value BLOB, sum INTEGER) WITHOUT ROWID;
CREATE TABLE streams (id INTEGER PRIMARY KEY, body BLOB, sum INTEGER);
CREATE TABLE publications (log INTEGER PRIMARY KEY, stream INTEGER, place INTEGER, stored_us INTEGER,
  head BLOB, payload BLOB, sum INTEGER);
CREATE INDEX publications_place ON publications (stream, place);
CREATE TABLE retained (stream INTEGER PRIMARY KEY, place INTEGER, log INTEGER, head BLOB, payload BLOB, sum INTEGER);
CREATE TABLE keys (id INTEGER PRIMARY KEY, body BLOB, sum INTEGER);
"""
_PUT_META: Final = "INSERT OR REPLACE INTO chappe VALUES (?, ?, ?)"
_PUT_STREAM: Final = "INSERT OR REPLACE INTO streams VALUES (?, ?, ?)"
_PUT_PUBLICATION: Final = "INSERT INTO publications VALUES (?, ?, ?, ?, ?, ?, ?)"
_PUT_RETAINED: Final = "INSERT OR REPLACE INTO retained VALUES (?, ?, ?, ?, ?, ?)"
_DELETE: Final = {
    "streams": "DELETE FROM streams WHERE id = ?",
    "publications": "DELETE FROM publications WHERE log = ?",
    "retained": "DELETE FROM retained WHERE stream = ?",
    "keys": "DELETE FROM keys WHERE id = ?",
}
_PUT_KEY: Final = "INSERT OR REPLACE INTO keys VALUES (?, ?, ?)"


@dataclass
class Changes:
    """One transaction.

    Attributes:
        durable: whether it is synced before it counts.
        beyond_log, beyond_key: delete what a failed transaction may have left behind these; None: none failed.
        streams: rows to put, by id.
        forgotten: ids of streams to delete, with their retained slots; their publications go by `ranges`.
        ranges: (stream, first offset, last offset) of publications to delete.
        slots: retained publications to put, or None to clear, by stream.
        keys: by id; ids grow with the time at which a key expires.
        expired_key: keys before this id are deleted.
        lossy: written when it is not None.
        strays: ids of rows to delete, by table.
    """

    state: State
    durable: bool = False
    beyond_log: int | None = None
    beyond_key: int = 0
    publications: list[PublicationRow] = field(default_factory=list)
    streams: dict[int, StreamRecord] = field(default_factory=dict)
    forgotten: Sequence[int] = ()
    ranges: Sequence[tuple[int, int, int]] = ()
    slots: dict[int, Publication | None] = field(default_factory=dict)
    keys: list[tuple[int, KeyRecord]] = field(default_factory=list)
    expired_key: int = 0
    lossy: tuple[str, ...] | None = None
    strays: Mapping[str, Sequence[int]] = field(default_factory=dict)


class FileBusy(ConfigurationError):
    """Another process has the file."""


class Database:
    """One SQLite file with its witness, open in this process and in no other.

    Attributes:
        boot: this life of the machine.
        statement: what the witness said when the file was opened.
        is_new: whether the file had nothing in it.
    """

    def __init__(self, path: Path, sync: Sync) -> None:
        self.path = path
        self._sync: Sync = sync
        self._witness = Witness(Path(f"{path}-witness"))
        self.boot = boot_id()
        self._connection: sqlite3.Connection | None = None
        self._synchronous = ""
        self._synced = 0
        self.statement: Statement | None = None
        self.is_new = False

    @property
    def connection(self) -> sqlite3.Connection:
        """The open connection."""
        assert self._connection is not None, "the file is not open"
        return self._connection

    def open(self, verify: Verify) -> None:
        """Open or create the file, and prove that SQLite can read all of it.

        Raises:
            ConfigurationError: it cannot be used; the text names it and says what to do.
        """
        self.check_place()
        try:
            self._connect()
            self._recognize()
            self._examine(verify)
            self.statement = self._witness.read()
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise _refusal(self.path, error) from None
        except BaseException:
            self.close()
            raise

    def begin(self, changes: Changes) -> None:
        """Write the first transaction of this run and have everything on disk before anything else is.

        Raises:
            ConfigurationError: the file cannot be written.
        """
        self._synced = changes.state.commit - 1
        try:
            self.commit(changes)
            self._testify(changes.state.commit, clean=False, sync=True)
            _sync_directory(self.path.parent)
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise _refusal(self.path, error) from None

    def commit(self, changes: Changes) -> None:
        """Write one transaction. After an error the file is as before it, but for what `beyond_log` removes.

        Raises:
            sqlite3.Error, OSError: nothing of it counts.
        """
        try:
            if self._connection is None:
                self._connect()
            self._transact(changes)
            if changes.durable or self._sync == "full":
                self._synced = changes.state.commit
            self._testify(changes.state.commit, clean=False)
        except BaseException:
            self._disconnect()
            raise
        if changes.ranges:
            # It has a transaction of its own: `execute` would stop after one page.
            with contextlib.suppress(sqlite3.OperationalError):
                self.connection.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")

    def finish(self, changes: Changes) -> None:
        """Write the last transaction, move everything into the file, mark it clean; it is closed, whatever happens.

        Raises:
            sqlite3.Error, OSError: it is not marked clean.
        """
        try:
            self.commit(changes)
            (busy, _, _) = self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if busy:
                raise OSError(f"{self.path}: the WAL could not be moved into the file")
            self._disconnect()
            self._synced = changes.state.commit
            self._testify(changes.state.commit, clean=True, sync=True)
        finally:
            self.close()

    def refusal(self, error: Exception) -> ConfigurationError:
        """Say why the file cannot be used, and what to do next."""
        return _refusal(self.path, error)

    def close(self) -> None:
        """Let go of the files."""
        self._disconnect()
        self._witness.close()

    # --- Opening -----------------------------------------------------------------------------------------------------

    def check_place(self) -> None:
        """Refuse a path where no file can be made or used; opens nothing.

        Raises:
            ConfigurationError: what is wrong.
        """
        # SQLite calls all of this "unable to open database file".
        folder = self.path.parent
        if not folder.is_dir():
            raise ConfigurationError(f"broker.url: the directory {folder} is not there, create it first")
        if self.path.is_dir():
            raise ConfigurationError(f"broker.url: {self.path} is a directory, expected a file")
        for each in (folder, *([self.path] if self.path.exists() else ())):
            if not os.access(each, os.W_OK):
                raise ConfigurationError(f"broker.url: {each} is not writable for this user, change its permissions")

    def _connect(self) -> None:
        """Open a connection that locks the file for this process; transactions are ours to begin."""
        # Publications are nobody else's business; SQLite gives the WAL the mode of the file.
        # Only a new one is opened here: to close it later would give up locks that this process has on it.
        if not self.path.exists():
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
        self._connection = connection
        self._synchronous = ""
        # Before the WAL is touched: so it needs no shared memory, and no other process gets in.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        if not connection.execute("PRAGMA page_count").fetchone()[0]:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise ConfigurationError(f"broker.url: {self.path} cannot be written in WAL mode here, use a local disk")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        # Takes the lock now and not at the first publication.
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("COMMIT")

    def _recognize(self) -> None:
        connection = self.connection
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        (owner,) = connection.execute("PRAGMA application_id").fetchone()
        if not tables and owner in (0, _APPLICATION_ID):
            self.is_new = True
            connection.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA.split(";")[:-1]:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            version = b"%d" % SCHEMA_VERSION
            connection.execute(_PUT_META, ("schema", version, checksum(b"schema", (), version)))
            connection.execute("COMMIT")
            return
        if owner != _APPLICATION_ID or "chappe" not in tables:
            raise ConfigurationError(f"broker.url: {self.path} is a database of another program, name another file")
        row = connection.execute("SELECT value, sum FROM chappe WHERE name = 'schema'").fetchone()
        if row is None or not isinstance(row[0], bytes) or row[1] != checksum(b"schema", (), row[0]):
            raise sqlite3.DatabaseError("its schema version cannot be read")
        if row[0] != b"%d" % SCHEMA_VERSION:
            raise ConfigurationError(
                f"broker.url: {self.path} was written by another version of chappe (schema {row[0].decode('latin-1')}, "
                f"expected {SCHEMA_VERSION}); use that version, or name another file"
            )

    def _examine(self, verify: Verify) -> None:
        pragma = "integrity_check" if verify == "full" else "quick_check"
        (found,) = self.connection.execute(f"PRAGMA {pragma}(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(" ".join(str(found).split()))

    # --- Writing -----------------------------------------------------------------------------------------------------

    def _transact(self, changes: Changes) -> None:
        connection = self.connection
        synchronous = "FULL" if changes.durable or self._sync == "full" else "NORMAL"
        if synchronous != self._synchronous:
            connection.execute(f"PRAGMA synchronous = {synchronous}")
            self._synchronous = synchronous
        connection.execute("BEGIN IMMEDIATE")
        self._delete(changes)
        if changes.streams:
            connection.executemany(_PUT_STREAM, [stream_row(*each) for each in changes.streams.items()])
        if changes.publications:
            connection.executemany(_PUT_PUBLICATION, [_publication_row(each) for each in changes.publications])
        for stream, publication in changes.slots.items():
            if publication is None:
                connection.execute("DELETE FROM retained WHERE stream = ?", (stream,))
            else:
                connection.execute(_PUT_RETAINED, _retained_row(stream, publication))
        if changes.keys:
            connection.executemany(_PUT_KEY, [_key_row(*each) for each in changes.keys])
        if changes.lossy is not None:
            lossy = pack(changes.lossy)
            connection.execute(_PUT_META, ("lossy", lossy, checksum(b"lossy", (), lossy)))
        state = pack(changes.state[:-1])
        connection.execute(_PUT_META, ("state", state, checksum(b"state", (), state)))
        connection.execute("COMMIT")

    def _delete(self, changes: Changes) -> None:
        connection = self.connection
        if changes.beyond_log is not None:
            connection.execute("DELETE FROM publications WHERE log > ?", (changes.beyond_log,))
            connection.execute("DELETE FROM keys WHERE id > ?", (changes.beyond_key,))
        for table, numbers in changes.strays.items():
            connection.executemany(_DELETE[table], [(number,) for number in numbers])
        for stream in changes.forgotten:
            connection.execute(_DELETE["streams"], (stream,))
            connection.execute(_DELETE["retained"], (stream,))
        if changes.ranges:
            connection.executemany(
                "DELETE FROM publications WHERE stream = ? AND place BETWEEN ? AND ?", changes.ranges
            )
        if changes.expired_key:
            connection.execute("DELETE FROM keys WHERE id < ?", (changes.expired_key,))

    def _testify(self, commit: int, *, clean: bool, sync: bool = False) -> None:
        self._witness.write(Statement(commit, self._synced, self.boot, clean, self._sync != "full"), sync=sync)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.rollback()
            with contextlib.suppress(sqlite3.Error):
                connection.close()


def stream_row(number: int, record: StreamRecord) -> tuple[int, bytes, int]:
    """Return the row of a stream."""
    body = pack(record)
    return number, body, checksum(b"streams", (number,), body)


def _publication_row(row: PublicationRow) -> tuple[int, int, int, int, bytes, bytes, int]:
    stream, publication, stored_s = row
    stored_us = round(stored_s * 1e6)
    head, payload = head_of(publication), publication.payload
    numbers = (publication.log, stream, publication.offset, stored_us)
    return (*numbers, head, payload, checksum(b"publications", numbers, head, payload))


def _retained_row(stream: int, publication: Publication) -> tuple[int, int, int, bytes, bytes, int]:
    head, payload = head_of(publication), publication.payload
    numbers = (stream, publication.offset, publication.log)
    return (*numbers, head, payload, checksum(b"retained", numbers, head, payload))


def _key_row(number: int, record: KeyRecord) -> tuple[int, bytes, int]:
    body = pack(record)
    return number, body, checksum(b"keys", (number,), body)


def _sync_directory(folder: Path) -> None:
    """Have the names of new files on disk, where a system can do that."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refusal(path: Path, error: Exception) -> ConfigurationError:
    """Say why a file cannot be used, and what to do next."""
    text = str(error)
    if isinstance(error, sqlite3.OperationalError) and "locked" in text:
        return FileBusy(f"broker.url: {path} is in use by another process, one hub to a file")
    if isinstance(error, sqlite3.OperationalError | OSError):
        return ConfigurationError(f"broker.url: {path} cannot be used: {text}; check its permissions and the disk")
    if "not a database" in text:
        return ConfigurationError(f"broker.url: {path} is not a database of chappe, name another file")
    return ConfigurationError(
        f"broker.url: {path} is damaged ({text}): restore a copy, or move it away with its -wal and -witness files "
        "to begin anew"
    )
