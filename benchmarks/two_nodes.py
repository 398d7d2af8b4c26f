"""Measure how many publications a second a broker stores and spreads (P16 of the quality page).

    python benchmarks/two_nodes.py redis://127.0.0.1:6379 --level recoverable
    python benchmarks/two_nodes.py redis://127.0.0.1:6379 --level live --rate 4000
    python benchmarks/two_nodes.py redis://127.0.0.1:6379 --json

Node A is a process of its own on core 0 and publishes; node B is this process on core 1, beside the engine, and counts
what its feed brings. Without --rate A publishes as fast as answers come, with --window of them outstanding; with it
the publications are evenly spaced, and the time from when each was due to when B has it is printed.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Sequence
from multiprocessing.synchronize import Event

from chappe.config import make_broker
from chappe.hub.contracts import Append, Outcome
from chappe.hub.namespaces import Level, Namespace
from chappe.model.publication import Kind, Publication
from chappe.transports.event_loop import LoopClock, loop_factory

CHANNELS = 20
PAYLOAD_BYTES = 256


class Feed:
    """Node B: counts, and reads from each payload when it was due."""

    def __init__(self) -> None:
        self.count = 0
        self.delays_us: list[float] = []
        self.interruptions = 0

    def published(self, batch: Sequence[Publication]) -> None:
        """Take a part of the feed."""
        now = time.monotonic()
        self.count += len(batch)
        self.delays_us.extend((now - float(each.payload[:20])) * 1e6 for each in batch)

    def interrupted(self, channels: Sequence[str] | None) -> None:
        """Count it: a measurement with interruptions is worth nothing."""
        self.interruptions += 1


def pin(core: int) -> None:
    """Stay on one core, where the system can do that."""
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {core})


def publish(options: argparse.Namespace, ready: Event) -> None:
    """Be node A."""
    pin(0)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_publish(options, ready))


async def _publish(options: argparse.Namespace, ready: Event) -> None:
    broker = make_broker(options.url, LoopClock(), os.urandom)
    await broker.start(Feed())
    await asyncio.to_thread(ready.wait)
    namespace = Namespace(name="bench", level=Level(options.level), history_count=100, history_age_s=600.0)
    room = asyncio.Semaphore(options.window)
    begun = time.monotonic()
    number = failed = 0

    def done(outcomes: Sequence[Outcome]) -> None:
        nonlocal failed
        failed += sum(outcome.error != 0 for outcome in outcomes)
        room.release()

    while time.monotonic() - begun < options.seconds:
        await room.acquire()
        due = begun + number / options.rate if options.rate else time.monotonic()
        if due > time.monotonic():
            await asyncio.sleep(due - time.monotonic())
        payload = b"%-20.9f" % due + b"x" * (PAYLOAD_BYTES - 20)
        broker.append([Append(f"bench/{number % CHANNELS}", payload, Kind.TEXT, 0, namespace)], done)
        number += 1
    await broker.stop()
    if not options.json:
        print(f"A: {number / options.seconds:,.0f} publications/s, {failed} failed", flush=True)


async def measure(options: argparse.Namespace) -> None:
    """Be node B, and start A."""
    feed = Feed()
    broker = make_broker(options.url, LoopClock(), os.urandom)
    await broker.start(feed)
    for number in range(CHANNELS):
        broker.attach(f"bench/{number}")
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    node = context.Process(target=publish, args=(options, ready))
    node.start()
    await asyncio.sleep(2)
    ready.set()
    await asyncio.to_thread(node.join)
    await asyncio.sleep(0.5)
    await broker.stop()
    cuts = statistics.quantiles(feed.delays_us, n=100) if len(feed.delays_us) > 1 else [float("nan")] * 99
    found = {"fed_per_s": feed.count / options.seconds, "p50_us": cuts[49], "p99_us": cuts[98]}
    if options.json:
        print(json.dumps({**found, "interruptions": feed.interruptions}))
        return
    print(f"B: {found['fed_per_s']:,.0f} publications/s, {feed.interruptions} interruptions")
    if options.rate:
        print(f"B: p50 {found['p50_us']:,.0f} us, p99 {found['p99_us']:,.0f} us from due to fed")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="broker.url that both nodes use")
    parser.add_argument("--level", choices=[level.value for level in Level], default="recoverable")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--window", type=int, default=500, help="publications without an answer at once (500)")
    parser.add_argument("--rate", type=float, default=0.0, help="publications a second, evenly spaced")
    parser.add_argument("--json", action="store_true", help="print what B found as one line of JSON")
    options = parser.parse_args()
    pin(1)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(measure(options))


if __name__ == "__main__":
    main()
