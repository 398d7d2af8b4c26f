"""Overload: who is here already must not pay for who comes when memory or time runs out."""

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import psutil

from chappe.model.limits import Limits
from chappe.transports.admission import Admission

#: Seconds between two looks: memory of a gigabyte is not filled in one.
INTERVAL_S: Final = 0.25
#: Late looks in a row that are an overload, and punctual ones that end it: one long callback is none.
_IN_A_ROW: Final = 3
#: Of what there is, the part that a hub may have, and the part of its limit below which it lets people in again.
_SHARE: Final = 0.9
_RELIEVED: Final = 0.95
_STATM: Final = Path("/proc/self/statm")
_CGROUPS: Final = Path("/sys/fs/cgroup")
#: cgroups say so, or the largest number there is, where nothing is limited.
_UNLIMITED: Final = 2**60


class Overload:
    """Looks at the memory of the process and at the event loop, and closes an admission while one of them suffers.

    Attributes:
        memory_limit_bytes: resident memory at which nobody else is let in.
        memory_bytes, lag_s: seen at the last look.
    """

    def __init__(self, admission: Admission, limits: Limits, processes: int = 1) -> None:
        """Take the limits; `processes` share the machine's memory if no limit is set."""
        self._admission = admission
        self._lag_limit_s = limits.loop_lag_s
        self._late = 0
        self._timer: asyncio.Handle | None = None
        self.memory_limit_bytes = limits.memory_bytes or int(available_bytes() * _SHARE / processes)
        self.memory_bytes = resident_bytes()
        self.lag_s = 0.0

    def start(self) -> None:
        """Look from time to time; needs the running loop."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(INTERVAL_S, self._look, loop, loop.time() + INTERVAL_S)

    def stop(self) -> None:
        """Look no more, and let everybody in."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._admission.overload = ""

    def metrics(self) -> dict[str, float]:
        """Return what was seen, by name of the metric."""
        return {
            "chappe_overloaded": int(bool(self._admission.overload)),
            "chappe_memory_bytes": self.memory_bytes,
            "chappe_memory_limit_bytes": self.memory_limit_bytes,
            "chappe_loop_lag_seconds": self.lag_s,
        }

    def _look(self, loop: asyncio.AbstractEventLoop, expected: float) -> None:
        late_s = max(0.0, loop.time() - expected)
        # A turn may be long and this timer punctual all the same: one whole turn is measured too.
        self._timer = loop.call_soon(lambda: self._begin_turn(loop, late_s))

    def _begin_turn(self, loop: asyncio.AbstractEventLoop, late_s: float) -> None:
        began = loop.time()
        self._timer = loop.call_soon(lambda: self._judge(loop, max(late_s, loop.time() - began)))

    def _judge(self, loop: asyncio.AbstractEventLoop, lag_s: float) -> None:
        self.lag_s = lag_s
        self.memory_bytes = resident_bytes()
        self._admission.overload = "memory" if self._is_full() else "event loop" if self._is_late() else ""
        self._timer = loop.call_later(INTERVAL_S, self._look, loop, loop.time() + INTERVAL_S)

    def _is_full(self) -> bool:
        relieved = _RELIEVED if self._admission.overload == "memory" else 1.0
        return self.memory_bytes >= self.memory_limit_bytes * relieved

    def _is_late(self) -> bool:
        if 0 < self._lag_limit_s <= self.lag_s:
            self._late = min(self._late + 1, _IN_A_ROW)
        else:
            self._late = max(self._late - 1, 0)
        # Once it is one, it lasts until all late looks are outweighed.
        return self._late == _IN_A_ROW or (self._admission.overload == "event loop" and self._late > 0)


def resident_bytes() -> int:
    """Return the resident memory of this process."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, AttributeError):
        return int(psutil.Process().memory_info().rss)


def available_bytes() -> int:
    """Return what this process may have: what is free on the machine and what it has, or what its container allows."""
    return min(psutil.virtual_memory().available + resident_bytes(), *container_limits(_CGROUPS, _own_cgroup()))


def container_limits(root: Path, own: str) -> list[int]:
    """Return the limits of memory of a process's control groups, of both versions; at least one, which may be none.

    Args:
        root: where the control groups are mounted.
        own: path of the process's own group, such as `/system.slice/chappe.service`.
    """
    group = root / own.strip("/")
    inside = [group, *group.parents][: len(Path(own.strip("/")).parts) + 1]
    files = [each / "memory.max" for each in inside]
    files.append(root / "memory" / "memory.limit_in_bytes")
    return [_UNLIMITED, *_numbers(files)]


def _numbers(files: Iterable[Path]) -> Iterable[int]:
    for file in files:
        try:
            text = file.read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            yield int(text)


def _own_cgroup() -> str:
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return ""
    # Version 2 has one line, `0::/path`.
    return next((line[3:] for line in lines if line.startswith("0::")), "")
