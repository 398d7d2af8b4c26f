"""Name the machine a figure was measured on: figures without one mean nothing."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def describe() -> str:
    """Return processor, cores, kernel and Python in one line."""
    cores = os.cpu_count() or 1
    kernel = f"{platform.system()} {platform.release()}"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{processor()}, {cores} core{'s' if cores > 1 else ''}, {kernel}, {python}"


def processor() -> str:
    """Return the name of the processor; its architecture where the kernel tells no name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
