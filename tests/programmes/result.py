"""What a programme of faults came to, and the page that tells it: benchmarks/FAULTS.md, from benchmarks/faults.json."""

import datetime
import os
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec

from chappe.bench.machine import describe

ROOT: Final = Path(__file__).resolve().parents[2]
KEPT: Final = ROOT / "benchmarks" / "faults.json"
PAGE: Final = ROOT / "benchmarks" / "FAULTS.md"
_HEAD: Final = """# What faults do

Written by `make faults` from `benchmarks/faults.json`; `make faults PARTS="jitter avalanche"` does some of it again.
What is promised, fault by fault, and which test shows it: [one table](../docs/concepts/reliability.md).

`load` is the machine's load average over five minutes at the end of a part. Above the number of its cores others were
at work there as well: times are longer then, and verdicts are worth the same.

| part | what is done | how often | seconds | load | verdict |
| --- | --- | --- | --- | --- | --- |
"""


class Result(msgspec.Struct, kw_only=True):
    """One part.

    Attributes:
        part: its name for `make faults PARTS=...`.
        done: what is done, in a few words.
        times: how often, with the unit.
        verdict: what the checker or the tests said.
        kept: whether everything demanded was met.
        details: text for a section of its own, or empty.
        seconds, load, machine, software, day: filled in by whoever ran it; load is 0 where nobody looked.
    """

    part: str
    done: str
    times: str
    verdict: str
    kept: bool
    details: str = ""
    seconds: float = 0.0
    load: float = 0.0
    machine: str = ""
    software: str = ""
    day: str = ""


def measured(result: Result, began: float) -> Result:
    """Add when and where it was done; `began` is of the monotonic clock."""
    result.seconds = round(time.monotonic() - began, 1)
    result.load = round(os.getloadavg()[1], 1)
    result.machine = describe()
    result.software = f"chappe {version('chappe')}"
    result.day = str(datetime.datetime.now(tz=datetime.UTC).date())
    return result


def load(file: Path = KEPT) -> dict[str, Result]:
    """Read what is known so far, by part."""
    if not file.exists():
        return {}
    return msgspec.json.decode(file.read_bytes(), type=dict[str, Result])


def keep(result: Result, order: Iterable[str], file: Path = KEPT, page: Path = PAGE) -> None:
    """Put a result in place of the last one of its part and write the page; parts come in this order."""
    results = load(file) | {result.part: result}
    kept = {part: results[part] for part in order if part in results}
    file.write_bytes(msgspec.json.format(msgspec.json.encode(kept)) + b"\n")
    page.write_text(render(kept.values()), encoding="utf-8")


def render(results: Iterable[Result]) -> str:
    """Return the page."""
    known = list(results)
    text = _HEAD
    for each in known:
        said = "" if each.kept else "**missed**: "
        load = f"{each.load:.1f}" if each.load else ""
        text += (
            f"| `{each.part}` | {each.done} | {each.times} | {each.seconds:,.0f} | {load} | {said}{each.verdict} |\n"
        )
    text += "\n"
    for where in dict.fromkeys((each.day, each.machine, each.software) for each in known):
        parts = ", ".join(f"`{each.part}`" for each in known if (each.day, each.machine, each.software) == where)
        text += f"- {', '.join(where)}: {parts}.\n"
    for each in known:
        if each.details:
            text += f"\n## {each.part.capitalize()}\n\n{each.details.strip()}\n"
    return text
