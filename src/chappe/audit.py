"""The audit log: who was refused what and why, who changed what, and with which settings the hub began."""

import datetime
import errno
import logging
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from chappe.hub.rate_limit import Pace
from chappe.telemetry import json_line

try:
    import fcntl
except ImportError:  # Windows, where only one process writes
    fcntl = None  # type: ignore[assignment]

#: Refusals written at once and sustained each second: who is refused ever again must not fill the disk.
_BURST: Final = 200
_PER_S: Final = 100.0
_MODE: Final = 0o640
_log = logging.getLogger("chappe.audit")


class AuditLog:
    """A file of JSON lines that is only appended to, and begun anew when it is large.

    Several processes may share it: each line is one write to a file opened for appending, and who begins it anew holds
    a lock. Lines say `time`, `event` and what belongs to it; secrets are redacted and control characters escaped.

    Attributes:
        lines: written.
        suppressed: refusals that came too fast to be written; the next line says how many.
        lost: lines that the disk did not take.
    """

    def __init__(self, path: str | os.PathLike[str], max_bytes: int, files: int, **always: Any) -> None:
        """Take the file, the size at which it is begun anew, how many are kept, and members of every line."""
        self._path = Path(path)
        self._max_bytes = max_bytes
        self._files = files
        self._always = always
        self._descriptor = -1
        self._pace = Pace(_PER_S, _BURST)
        self._full_at = 0.0
        self._untold = 0
        self._is_torn = False
        self.lines = 0
        self.suppressed = 0
        self.lost = 0

    def open(self) -> None:
        """Open the file; done by the first line if nobody did.

        Raises:
            OSError: it cannot be written.
        """
        if self._descriptor < 0:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
            self._descriptor = os.open(self._path, flags, _MODE)

    def close(self) -> None:
        """Close the file; another line opens it again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def write(self, event: str, members: Mapping[str, Any]) -> None:
        """Write one line. A disk that takes nothing loses lines, which are counted, and never stops the hub."""
        if event == "refused" and self._is_flood():
            return
        now = datetime.datetime.now(datetime.UTC)
        line = {"time": f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z", "event": event, **self._always}
        if self._untold:
            line["suppressed"] = self._untold
        data = json_line({**line, **members}).encode() + b"\n"
        try:
            self._append(data)
        except OSError as error:
            self._lose(error)
        else:
            self.lines += 1
            self._untold = 0

    def metrics(self) -> dict[str, float]:
        """Return what is counted here, by name of the metric."""
        return {
            "chappe_audit_lines_total": self.lines,
            "chappe_audit_suppressed_total": self.suppressed,
            "chappe_audit_lost_total": self.lost,
        }

    def _is_flood(self) -> bool:
        full_at = self._pace.take(self._full_at, time.monotonic())
        if full_at == math.inf:
            self.suppressed += 1
            self._untold += 1
            return True
        self._full_at = full_at
        return False

    def _append(self, data: bytes) -> None:
        self.open()
        size_bytes = os.fstat(self._descriptor).st_size
        if size_bytes and size_bytes + len(data) > self._max_bytes:
            self._begin_anew()
        if self._is_torn:
            data = b"\n" + data
        written = os.write(self._descriptor, data)
        self._is_torn = written < len(data)
        if self._is_torn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _begin_anew(self) -> None:
        """Give the file another name, unless another process just did, and open a new one."""
        if fcntl is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            if self._is_current():
                for number in range(self._files - 1, 0, -1):
                    older = self._numbered(number - 1)
                    if older.exists():
                        older.replace(self._numbered(number))
                if self._files == 1:
                    self._path.unlink()
        finally:
            # Which gives the lock back as well.
            self.close()
        self.open()

    def _is_current(self) -> bool:
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        ours = os.fstat(self._descriptor)
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path

    def _lose(self, error: OSError) -> None:
        if not self.lost:
            _log.error("the audit log loses lines: %s: %s", self._path, error.strerror)
        self.lost += 1
