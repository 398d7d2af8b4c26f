"""The witness: a small file beside the database that knows which transaction was the last.

A damaged WAL ends where the damage begins, and SQLite sees a shorter past and nothing wrong. The witness is written
after each transaction and before anybody is told of it, so whoever opens the file knows whether its end is missing. It
is not synced then: a process that dies leaves it as written, a machine that dies is recognized by its boot id.
"""

import os
from pathlib import Path
from typing import Final, NamedTuple
from zlib import crc32

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_SIZE: Final = 128


class Statement(NamedTuple):
    """What the witness says.

    Attributes:
        commit: the last transaction that anybody was told of.
        synced: the last of them that was synced before.
        boot: the machine's life in which it ran; empty: the system does not tell.
        clean: the hub stopped in order, everything is on disk.
        relaxed: some transactions may not have been synced.
    """

    commit: int
    synced: int
    boot: str
    clean: bool
    relaxed: bool


def boot_id() -> str:
    """Return what names this life of the machine, empty if the system does not tell."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


class Witness:
    """Writes the file, and reads it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def read(self) -> Statement | None:
        """Return what was written last; None: nothing that can be believed.

        Raises:
            OSError: the file is there and cannot be read.
        """
        try:
            line = self._path.read_bytes()
        except FileNotFoundError:
            return None
        body, _, digits = line.rstrip(b" \n").rpartition(b" ")
        if len(line) != _SIZE or b"%d" % crc32(body) != digits:
            return None
        try:
            _, commit, synced, boot, clean, relaxed = body.decode("ascii").split(" ")
            return Statement(int(commit), int(synced), boot.removeprefix("boot:"), clean == "clean", relaxed == "some")
        except ValueError:
            return None

    def write(self, statement: Statement, *, sync: bool = False) -> None:
        """Replace what is there, in one call of the system.

        Raises:
            OSError: it could not be written.
        """
        body = (
            f"chappe {statement.commit} {statement.synced} boot:{statement.boot} "
            f"{'clean' if statement.clean else 'open'} {'some' if statement.relaxed else 'all'}"
        ).encode()
        line = (b"%b %d" % (body, crc32(body))).ljust(_SIZE - 1) + b"\n"
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
            os.ftruncate(self._descriptor, _SIZE)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        if os.write(self._descriptor, line) != _SIZE:
            raise OSError(f"{self._path} was written in part")
        if sync:
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
