"""Measure the hub beside its peers on this machine and write benchmarks/RESULTS.md.

    python benchmarks/bench.py                      every row (about 45 minutes, on an idle machine)
    python benchmarks/bench.py --rows P1,P2         some rows; the report is written from these and what was kept
    python benchmarks/bench.py --quick --rows P1    one short round, printed only

The server runs on core 0 and the generator on core 1; runs alternate between the servers (A B A B), and each figure is
the median of all rounds with the smallest and the largest. Servers are compared per CPU-second: in most runs the
generator is near its own limit. What was measured is kept in benchmarks/results.json, row by row.
"""

import argparse
import datetime
import importlib.metadata
import json
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

import report
import rows
from sections import Bench

from chappe.bench.load import LoadError
from chappe.bench.machine import describe
from chappe.bench.running import StartError

HERE = Path(__file__).parent
RESULTS = HERE / "RESULTS.md"
KEPT = HERE / "results.json"
LIBRARIES = ("chappe", "uvicorn", "uvloop")


def chosen(names: str) -> list[str]:
    """Return the rows that were asked for, in their order."""
    wanted = [name.strip() for name in names.split(",") if name.strip()] or list(rows.ROWS)
    unknown = [name for name in wanted if name not in rows.ROWS]
    if unknown:
        raise SystemExit(f"no row {unknown[0]}; there are {', '.join(rows.ROWS)}")
    return [name for name in rows.ROWS if name in wanted]


def provenance() -> dict[str, Any]:
    """Return where and with what a row was measured."""
    return {
        "date": str(datetime.datetime.now(tz=datetime.UTC).date()),
        "machine": describe(),
        "versions": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "command": shlex.join(["python", "benchmarks/bench.py", *sys.argv[1:]]),
    }


def parse() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="", help=f"of {','.join(rows.ROWS)}; all without it")
    parser.add_argument("--quick", action="store_true", help="one short round with fewer connections, nothing written")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each server (5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="seconds of a run (3)")
    parser.add_argument("--minutes", type=float, default=10.0, help="minutes P10 holds its connections (10)")
    parser.add_argument("--report", action="store_true", help="measure nothing, write the report of what was kept")
    return parser.parse_args()


def main() -> None:
    """Measure and write."""
    options = parse()
    kept: dict[str, Any] = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.is_file() else {}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(
            Path(folder),
            seconds=0.5 if options.quick else options.seconds,
            rounds=1 if options.quick else options.rounds,
            scale=0.1 if options.quick else 1.0,
            hold_s=3.0 if options.quick else options.minutes * 60,
        )
        for name in [] if options.report else chosen(options.rows):
            try:
                section = rows.ROWS[name](bench)
            except (LoadError, StartError) as error:
                print(f"{name} could not be measured: {error}", file=sys.stderr)
                continue
            entry = {**provenance(), **section.as_dict()}
            if options.quick:
                print(report.section_text(name, entry))
                continue
            kept[name] = entry
            KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            RESULTS.write_text(report.text({row: kept[row] for row in rows.ROWS if row in kept}), encoding="utf-8")
            print(f"{name} written to {RESULTS}")
    if options.report:
        RESULTS.write_text(report.text({row: kept[row] for row in rows.ROWS if row in kept}), encoding="utf-8")


if __name__ == "__main__":
    main()
