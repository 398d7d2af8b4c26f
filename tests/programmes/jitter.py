"""Jitter: many clients whose sockets are cut again and again, while somebody publishes at a steady pace.

At full length (`make faults PARTS=jitter`) it is what benchmarks/FAULTS.md tells: 2,000 clients through the fault
proxy, each socket cut about every 15 s and kept away for 2 s, 120 publications at 2 a second. The hub, the proxy and
the clients are a process each. 50 clients are the SDK's, the others a light one; publications go straight to the hub,
so that every delay is one of delivery. The offline checker judges what everybody saw.
"""

import asyncio
import collections
import contextlib
import math
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

import chappe
from chappe.client.client import Client
from chappe.testing.checker import Verdict, payload_hash, verdict
from chappe.testing.checker.findings import Kind
from chappe.testing.checker.journal import Ack, Attempt, Event, Seen, Settled, Subscribed
from chappe.testing.load import Follower
from tests.programmes.light_client import LightClient
from tests.programmes.result import ROOT, Result

CHANNEL: Final = "load/jitter"
#: So many clients connect at once in the beginning.
_AT_ONCE: Final = 50
#: The longest time that is waited for the last publication.
_SETTLE_S: Final = 30.0
MOST_P99_S: Final = 3.0


@dataclass(frozen=True, kw_only=True)
class Jitter:
    """What is done; the defaults are what the report tells."""

    clients: int = 2_000
    sdk_clients: int = 50
    publications: int = 120
    per_s: float = 2.0
    cut_every_s: float = 15.0
    offline_s: float = 2.0
    seed: int = 1


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of it.

    Attributes:
        expected: acknowledged publications times clients.
        lost, doubled: of these.
        delays_s: from the call of `publish` to the client, by kind of client, sorted.
        cuts: sockets that were cut.
        judged: what the checker says.
    """

    expected: int
    lost: int
    doubled: int
    delays_s: dict[str, list[float]]
    cuts: int
    judged: Verdict

    @property
    def p99_s(self) -> float:
        """Return the 99th percentile over all clients."""
        return percentile(sorted(delay for each in self.delays_s.values() for delay in each), 0.99)

    @property
    def kept(self) -> bool:
        """Whether everything came once, in order, in time."""
        return self.judged.clean and not self.lost and not self.doubled and self.p99_s <= MOST_P99_S


class SdkClient:
    """A subscriber with the SDK, which writes a journal."""

    def __init__(self, port: int, name: str, journal: list[Event], expected: int) -> None:
        self.complete = asyncio.Event()
        self._expected = expected
        self._client: Client = chappe.connect(f"ws://127.0.0.1:{port}/ws")
        self._follower = Follower(self._client, name, CHANNEL, journal)
        self._counting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect and subscribe."""
        await self._client
        await self._follower.start()
        self._counting = asyncio.create_task(self._count())

    async def stop(self) -> None:
        """Disconnect."""
        if self._counting is not None:
            self._counting.cancel()
            await asyncio.gather(self._counting, return_exceptions=True)
        await self._follower.stop()
        await self._client.close()

    async def _count(self) -> None:
        await self._follower.has_counted(self._expected)
        self.complete.set()


@contextlib.asynccontextmanager
async def program(module: str, *arguments: object) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """Run a module of this package until the block ends; gives the port it prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"tests.programmes.{module}", *map(str, arguments)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process, int(await process.stdout.readline())
    finally:
        process.stdin.close()
        await process.wait()


async def tell(process: asyncio.subprocess.Process, line: str) -> None:
    """Send a line to a program."""
    assert process.stdin is not None
    process.stdin.write(f"{line}\n".encode())
    await process.stdin.drain()


async def run(jitter: Jitter) -> Outcome:
    """Do all of it and judge it."""
    journal: list[Event] = []
    async with (
        program("serving") as (_, hub_port),
        program("cutting", hub_port, jitter.cut_every_s, jitter.offline_s, jitter.seed) as (cutting, port),
    ):
        count = jitter.publications
        clients: list[SdkClient | LightClient] = [
            SdkClient(port, f"sdk {n}", journal, count) for n in range(jitter.sdk_clients)
        ]
        clients += [
            LightClient(port, CHANNEL, f"light {n}", journal, count) for n in range(jitter.clients - len(clients))
        ]
        try:
            for begin in range(0, len(clients), _AT_ONCE):
                await asyncio.gather(*(client.start() for client in clients[begin : begin + _AT_ONCE]))
            await tell(cutting, "follow")
            await publish(f"ws://127.0.0.1:{hub_port}/ws", jitter, journal)
            await tell(cutting, "rest")
            assert cutting.stdout is not None
            cuts = int(await cutting.stdout.readline())
            await settle(clients)
            now = time.time()
            journal += [Settled(subscriber=name, channel=CHANNEL, time=now) for name in subscribers(journal)]
        finally:
            await asyncio.gather(*(client.stop() for client in clients))
    return outcome(journal, len(clients), cuts)


async def publish(url: str, jitter: Jitter, journal: list[Event]) -> None:
    """Publish at the pace that was asked for, whatever the answers take."""
    loop = asyncio.get_running_loop()
    async with chappe.connect(url) as publisher, asyncio.TaskGroup() as group:
        begin = loop.time()
        for number in range(jitter.publications):
            await asyncio.sleep(begin + number / jitter.per_s - loop.time())
            group.create_task(_publish(publisher, number, journal))


async def _publish(publisher: Client, number: int, journal: list[Event]) -> None:
    data = f"publication {number}"
    hashed = payload_hash(data.encode())
    journal.append(Attempt(publisher="p", attempt=number, channel=CHANNEL, hash=hashed, key=data, time=time.time()))
    result = await publisher.publish(CHANNEL, data, key=data)
    told = time.time()
    journal.append(
        Ack(publisher="p", attempt=number, channel=CHANNEL, time=told, epoch=result.epoch, offset=result.offset)
    )


async def settle(clients: Sequence[SdkClient | LightClient]) -> None:
    """Wait until everybody has as many as were published, but not for ever: what is missing then is lost."""
    waiting = [asyncio.create_task(client.complete.wait()) for client in clients]
    await asyncio.wait(waiting, timeout=_SETTLE_S)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


def subscribers(journal: Sequence[Event]) -> list[str]:
    """Return the names of all that have ever subscribed."""
    return sorted({event.subscriber for event in journal if isinstance(event, Subscribed)})


def outcome(journal: Sequence[Event], clients: int, cuts: int) -> Outcome:
    """Judge a journal."""
    sent = {event.hash: event.time for event in journal if isinstance(event, Attempt)}
    acknowledged = sum(isinstance(event, Ack) for event in journal)
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    delays: dict[str, list[float]] = {"SDK": [], "light": []}
    for event in journal:
        if isinstance(event, Seen):
            counts[event.subscriber, event.hash] += 1
            delays["SDK" if event.subscriber.startswith("sdk") else "light"].append(event.time - sent[event.hash])
    judged = verdict(journal)
    expected = acknowledged * clients
    return Outcome(
        expected=expected,
        lost=expected - len(counts),
        doubled=sum(count - 1 for count in counts.values()),
        delays_s={name: sorted(each) for name, each in delays.items()},
        cuts=cuts,
        judged=judged,
    )


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value below or at which this share lies; 0 of nothing."""
    return ordered[max(math.ceil(len(ordered) * share) - 1, 0)] if ordered else 0.0


def details(jitter: Jitter, found: Outcome) -> str:
    """Return what the page says of it beside its line."""
    everything = sorted(delay for each in found.delays_s.values() for delay in each)
    lines = [
        f"{jitter.clients:,} clients ({jitter.sdk_clients} of the SDK, the others light ones on raw sockets) through",
        "`chappe.testing.FaultProxy`, each socket cut about every "
        f"{jitter.cut_every_s:g} s (half of them reset) and its client kept away for {jitter.offline_s:g} s;",
        f"{jitter.publications} publications, {jitter.per_s:g} a second, to one channel with its history in memory. "
        "Delays are from the call of `publish` to the client, the time of being cut included.",
        "",
        "| clients | deliveries | p50 s | p90 s | p99 s | p99.9 s | longest s |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, delays in {"all": everything, **found.delays_s}.items():
        figures = [percentile(delays, share) for share in (0.5, 0.9, 0.99, 0.999, 1.0)]
        lines.append(f"| {name} | {len(delays):,} | " + " | ".join(f"{each:.3f}" for each in figures) + " |")
    false = sum(finding.kind is Kind.FALSE_RECOVERED for finding in found.judged.findings)
    lines += [
        "",
        "| expected | lost | doubled | resubscriptions that recovered | of these falsely |",
        "| --- | --- | --- | --- | --- |",
        f"| {found.expected:,} | {found.lost:,} | {found.doubled:,} | {found.judged.recovered:,} | {false:,} |",
    ]
    return "\n".join(lines)


async def result(jitter: Jitter) -> Result:
    """Return what jitter came to."""
    found = await run(jitter)
    said = f"{found.lost} lost, {found.doubled} doubled, p99 {found.p99_s:.1f} s (<= {MOST_P99_S:g} s); {found.judged}"
    return Result(
        part="jitter",
        done=f"{jitter.clients:,} clients are cut again and again, and offline for a while",
        times=f"{found.cuts:,} cuts",
        verdict=said,
        kept=found.kept,
        details=details(jitter, found),
    )
