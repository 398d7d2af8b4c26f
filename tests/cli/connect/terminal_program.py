"""A program in a terminal of its own: what it shows is waited for, what a person types is written."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path

_ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07]*\x07|[=>()][0-9A-B]?)")


class TerminalProgram:
    """Run `chappe` in a pseudo-terminal of 100 columns; end it with the block."""

    def __init__(self, arguments: Sequence[str], home: Path, **env: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        environ = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "HOME": str(home), "LANG": "C.UTF-8", **env}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "chappe", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environ,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        self.raw = ""
        self._seen = 0

    def __enter__(self) -> TerminalProgram:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(10)
        os.close(self._master)

    def type(self, text: str) -> None:
        """Press keys; `\\r` is Enter."""
        os.write(self._master, text.encode())

    def wait_for(self, text: str, timeout_s: float = 10.0) -> None:
        """Read until a text appears that was not waited for before."""
        deadline = time.monotonic() + timeout_s
        while True:
            shown = _ESCAPES.sub("", self.raw)
            found = shown.find(text, self._seen)
            if found >= 0:
                self._seen = found + len(text)
                return
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} did not appear, but {shown[self._seen :]!r}"
            if not self._read(left):
                raise AssertionError(f"the program ended before {text!r}: {shown[self._seen :]!r}")

    def wait_for_end(self, timeout_s: float = 10.0) -> int:
        """Read until the program ends; return its exit code."""
        deadline = time.monotonic() + timeout_s
        while self._read(max(0.0, deadline - time.monotonic())):
            assert time.monotonic() < deadline, self.raw
        return self.process.wait(timeout_s)

    def _read(self, timeout_s: float) -> bool:
        """Take what the program wrote; False when it has closed its terminal."""
        ready, _, _ = select.select([self._master], [], [], min(timeout_s, 0.5))
        if not ready:
            return True
        try:
            data = os.read(self._master, 65_536)
        except OSError:
            return False  # Linux says EIO when the last holder of the other side is gone
        if b"\x1b[6n" in data:
            os.write(self._master, b"\x1b[1;1R")  # where the cursor is: terminals answer this, so we do
        self.raw += data.decode("utf-8", "replace")
        return bool(data)
