"""The whole fault programme, part by part: `make faults`, or `make faults PARTS="kills-redis avalanche"`.

Every part writes what it came to into benchmarks/faults.json and benchmarks/FAULTS.md as soon as it is over, so that
one that fails or is interrupted costs only itself. Figures of a busy machine are worth nothing.
"""

import argparse
import asyncio
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import uvloop

from tests.programmes import avalanche, jitter, kills, mqtt_kills, partitions, rolling
from tests.programmes.engines import DISK
from tests.programmes.kills import HUB_BROKERS
from tests.programmes.result import ROOT, Result, keep, measured

Part = Callable[[], Awaitable[Result]]
ENGINES: Final = ("redis", "valkey", "nats")


async def tests(part: str, done: str, times: str, *targets: str, **environment: str) -> Result:
    """Run tests that are a programme by themselves at full length."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *targets),
        cwd=ROOT,
        env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    lines = output.decode().splitlines()
    if process.returncode:
        print("\n".join(lines))
    return Result(part=part, done=done, times=times, verdict=lines[-1].strip(" ="), kept=process.returncode == 0)


def damage(count: int) -> Part:
    """Return the part that flips bits and tears ends off."""
    done = "bit flips and torn ends of a file of SQLite, read by a hub that starts"
    return partial(
        tests, "damage", done, f"{count} of each", "tests/brokers/sqlite/test_damage.py", CHAPPE_DAMAGE=str(count)
    )


def full_disk() -> Part:
    """Return the part that fills the disk."""
    brokers = "tests/brokers"
    return partial(
        tests,
        "full-disk",
        "the disk of a hub, the stream of NATS and the memory of Redis are full, then have room again",
        "once each",
        f"{brokers}/sqlite/test_faults.py::test_a_full_disk_refuses_the_whole_tail_and_serves_again_when_there_is_room",
        f"{brokers}/sqlite/test_faults.py::test_readiness_tells_that_the_disk_is_full",
        f"{brokers}/jetstream/test_faults.py::test_a_full_stream_refuses_and_goes_on_when_there_is_room",
        f"{brokers}/redis/test_shard.py::test_a_full_server_refuses_and_what_it_has_stays",
    )


def parts(share: float = 1.0) -> dict[str, Part]:
    """Return all parts in their order, each as often as is told, or a share of that."""

    def times(most: int) -> int:
        return max(round(most * share), 1)

    wanted: dict[str, Part] = {}
    for broker in HUB_BROKERS:
        wanted[f"hub-{broker}"] = partial(kills.hub_result, broker, times(200))
    for name in DISK:
        wanted[f"kills-{name}"] = partial(kills.engine_result, name, times(100))
    for name in mqtt_kills.PARTS:
        wanted[f"mqtt_{name}"] = partial(mqtt_kills.result, name, times(50))
    wanted["damage"] = damage(times(1_000))
    wanted["full-disk"] = full_disk()
    for name in ENGINES:
        wanted[f"partitions-{name}"] = partial(partitions.partition_result, name, times(10))
    for name in ENGINES:
        wanted[f"loss-{name}"] = partial(partitions.loss_result, name, times(100))
    wanted["failover"] = partial(partitions.failover_result, times(20))
    wanted["rolling-redis"] = partial(rolling.result, "redis", times(20))
    wanted["rolling-nats"] = partial(rolling.result, "nats", times(20))
    wanted["avalanche"] = partial(avalanche.result, times(10_000))
    wanted["jitter"] = partial(jitter.result, jitter.Jitter(clients=times(2_000), sdk_clients=times(50)))
    return wanted


def order() -> list[str]:
    """Return how the parts follow one another on the page; the soak is run by itself."""
    return [*parts(), "soak"]


async def do(part: Part) -> Result:
    """Run one part and say when and where."""
    began = time.monotonic()
    return measured(await part(), began)


def main() -> int:
    """Run parts; 1 if any of them missed what it must meet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"some of: {', '.join(parts())}")
    parser.add_argument("--share", type=float, default=1.0, help="do only this share of everything, to try it out")
    parser.add_argument("--print", action="store_true", help="print results and write no file")
    options = parser.parse_args()
    known = parts(options.share)
    if unknown := set(options.parts) - set(known):
        parser.error(f"{', '.join(sorted(unknown))}: no such part, expected some of {', '.join(known)}")
    # Clients that are told of a gap say so in their logs, again and again.
    logging.disable(logging.WARNING)
    missed = []
    for name in options.parts or known:
        print(f"{name} ...", flush=True)
        result = uvloop.run(do(known[name]))
        print(f"  {'kept' if result.kept else 'MISSED'} in {result.seconds:,.0f} s: {result.verdict}", flush=True)
        if not options.print:
            keep(result, order())
        if not result.kept:
            missed.append(name)
    if missed:
        print(f"missed: {', '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
