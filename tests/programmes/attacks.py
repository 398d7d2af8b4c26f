"""Attacks over time: each goes on for a while, beside healthy clients whose every answer is timed.

As a program (`make attacks`) it writes benchmarks/ATTACKS.md. Hub, attacker and healthy clients are a process each; the
attacker has an address of its own, and the hub its default limits.
"""

import argparse
import asyncio
import contextlib
import datetime
import json
import os
import socket
import statistics
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import psutil
import uvloop
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from chappe.bench.machine import describe
from chappe.model.limits import Limits
from tests.programmes.arriving import PAUSE_S
from tests.programmes.attacking import ATTACKS
from tests.programmes.jitter import percentile, program, tell

ROOT: Final = Path(__file__).resolve().parents[2]
REPORT: Final = ROOT / "benchmarks" / "ATTACKS.md"
MOST_RATIO: Final = 1.2
MOST_BYTES: Final = 50_000_000
#: Between two questions of a healthy client: it stays below the rate of a session.
_PACE_S: Final = 0.025
#: Healthy clients, every other of which publishes to itself. A 99th percentile needs thousands of answers: of a few
#: hundred, two late ones would be it.
_CLIENTS: Final = 10
#: After an attack the hub has 90 connections to let go of, seconds.
_SETTLING_S: Final = 3.0
#: Default limits of a hub that is no development one; the healthy client's own rate stays below all of them.
LIMITS: Final = {
    # A development hub has no rates.
    "server.dev": False,
    "auth.anonymous": True,
    "limits.connections_per_address": Limits().connections_per_address,
    "server.drain_timeout_s": 0.2,
}
_PATIENCE_S: Final = 20.0
#: Those that there were before this process chose one for itself.
_CORES: Final = sorted(os.sched_getaffinity(0))
#: Linux: the time at which the last bytes came is told with them, a timespec of the wall clock (socket(7)).
_SO_TIMESTAMPNS: Final = 35


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What healthy clients noticed of an attack.

    Attributes:
        strikes: how often the attacker struck.
        quiet_s, during_s: of each round, from each question to its answer, without and with the attack.
        grown_bytes: the most that the hub grew.
        newcomers_s: from connecting to the first answer without and with the attack, sorted.
        busy: of its core the hub used during the attack.
    """

    name: str
    strikes: int
    quiet_s: list[list[float]]
    during_s: list[list[float]]
    grown_bytes: int
    newcomers_s: tuple[list[float], list[float]] = ([], [])
    busy: float = 0.0

    @property
    def ratio(self) -> float:
        """Return how much longer the 99th percentile became, of the median round."""
        return middle(self.during_s, 0.99) / (middle(self.quiet_s, 0.99) or 1.0)

    @property
    def ratios(self) -> list[float]:
        """Return the same of each round beside the quiet time before it, sorted."""
        return sorted(
            middle([during], 0.99) / middle([quiet], 0.99)
            for during, quiet in zip(self.during_s, self.quiet_s, strict=True)
        )

    @property
    def kept(self) -> bool:
        """Whether that is within what is demanded."""
        return self.ratio <= MOST_RATIO and self.grown_bytes <= MOST_BYTES


def middle(rounds: list[list[float]], q: float) -> float:
    """Return the median of what a quantile is in each round: a machine that stood still once spoils one of them."""
    return statistics.median(percentile(sorted(took_s), q) for took_s in rounds)


async def attack(name: str, connections: int, seconds: float, rounds: int = 1) -> Outcome:
    """Measure healthy clients without and with an attack, in turns: the machine changes from minute to minute."""
    quiet: list[list[float]] = []
    during: list[list[float]] = []
    strikes, busy_s = 0, 0.0
    async with (
        program("serving", "memory://", 0, json.dumps(LIMITS)) as (hub, port),
        contextlib.AsyncExitStack() as stack,
    ):
        process = psutil.Process(hub.pid)
        _apart(process, 0)
        _put_before(hub.pid)
        async with program("arriving", port) as (arriving, _):
            _apart(psutil.Process(arriving.pid), 1)
            clients = [await Healthy.connect(port, number) for number in range(_CLIENTS)]
            for client in clients:
                stack.callback(client.close)
            # What is done for the first time takes longer.
            await ask(clients, 0.5)
            resting = process.memory_info().rss
            async with peak(process) as most:
                for number in range(rounds):
                    if number:
                        await asyncio.sleep(_SETTLING_S)
                    await tell(arriving, "quiet")
                    quiet.append(await ask(clients, seconds))
                    async with program("attacking", name, port, connections) as (attacker, _):
                        # On a core with the healthy clients it runs when they do not: their answers are what is timed.
                        os.sched_setscheduler(attacker.pid, os.SCHED_IDLE, os.sched_param(0))
                        _apart(psutil.Process(attacker.pid), 1)
                        began_s = _cpu_s(process)
                        await tell(arriving, "attacked")
                        during.append(await ask(clients, seconds))
                        await tell(arriving, "")
                        busy_s += _cpu_s(process) - began_s
                    assert attacker.stdout is not None
                    strikes += int(await attacker.stdout.readline())
            came_s = await _end(arriving)
    return Outcome(
        name=name,
        strikes=strikes,
        quiet_s=quiet,
        during_s=during,
        grown_bytes=max(most) - resting,
        newcomers_s=(sorted(came_s.get("quiet", [])), sorted(came_s.get("attacked", []))),
        busy=busy_s / (rounds * seconds),
    )


async def _end(arriving: asyncio.subprocess.Process) -> dict[str, list[float]]:
    """End the newcomers and return how long they took."""
    assert arriving.stdin is not None
    assert arriving.stdout is not None
    arriving.stdin.close()
    came_s: dict[str, list[float]] = json.loads(await arriving.stdout.readline())
    return came_s


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _apart(process: psutil.Process, core: int) -> None:
    """Keep a process on a core: the hub has one to itself, as if all others were on other machines."""
    if core < len(_CORES):
        process.cpu_affinity([_CORES[core]])


class Healthy:
    """A client that asks at an even pace: for a pong, or for what it publishes to come back.

    When an answer came is the kernel's word: how long a client then waits for its core is nothing that the hub did.
    """

    def __init__(self, connection: socket.socket, protocol: ClientProtocol, number: int) -> None:
        self._socket = connection
        self._protocol = protocol
        self._channel = f"load/healthy/{number}" if number % 2 else ""
        self._asked_ns: list[int] = []
        self._took_s: list[float] = []
        self._more = asyncio.Event()
        self._is_over = False

    @classmethod
    async def connect(cls, port: int, number: int) -> "Healthy":
        """Connect, and subscribe if it publishes."""
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        protocol = ClientProtocol(parse_uri(f"ws://127.0.0.1:{port}/ws"))
        client = cls(connection, protocol, number)
        protocol.send_request(protocol.connect())
        client._flush()
        asyncio.get_running_loop().add_reader(connection, client._read)
        await client._until(lambda: protocol.state is State.OPEN)
        if client._channel:
            client._say({"type": "subscribe", "id": 1, "channel": client._channel})
        return client

    def close(self) -> None:
        """Go without a word."""
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    async def ask(self, begin: float, seconds: float) -> list[float]:
        """Ask and return how long each answer took; none may be missing or come twice."""
        count = int(seconds / _PACE_S)
        self._asked_ns, self._took_s = [], []
        for number in range(count):
            await asyncio.sleep(begin + number * _PACE_S - time.perf_counter())
            self._asked_ns.append(time.time_ns())
            self._say(self._question(number))
        async with asyncio.timeout(_PATIENCE_S):
            await self._until(lambda: len(self._took_s) == count)
        return self._took_s

    def _question(self, number: int) -> dict[str, object]:
        if not self._channel:
            return {"type": "ping", "id": number}
        return {"type": "publish", "id": number + 2, "channel": self._channel, "data": number}

    async def _until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            assert not self._is_over, "the hub ended the connection"
            self._more.clear()
            await self._more.wait()

    def _say(self, message: dict[str, object]) -> None:
        self._protocol.send_text(json.dumps(message).encode())
        self._flush()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            assert self._socket.send(data) == len(data), "the hub does not read"

    def _read(self) -> None:
        data, notes, _, _ = self._socket.recvmsg(65_536, socket.CMSG_SPACE(16))
        if not data:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._is_over = True
            self._more.set()
            return
        self._protocol.receive_data(data)
        self._flush()
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                (stamp,) = (
                    note for level, kind, note in notes if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS)
                )
                seconds, nanoseconds = struct.unpack("qq", stamp)
                self._hear(json.loads(bytes(event.data)), seconds * 1_000_000_000 + nanoseconds)
        self._more.set()

    def _hear(self, heard: dict[str, Any], came_ns: int) -> None:
        if heard["type"] == "reply" and self._channel:
            return
        answer = heard["data"] if heard["type"] == "publication" else heard["id"]
        wanted = ("publication" if self._channel else "pong", len(self._took_s))
        assert (heard["type"], answer) == wanted, heard
        self._took_s.append((came_ns - self._asked_ns[answer]) / 1_000_000_000)


async def ask(clients: Sequence[Healthy], seconds: float) -> list[float]:
    """Let clients ask in turn, whatever the answers take; return how long each took."""
    # Not the loop's time, which knows whole milliseconds.
    begin, step_s = time.perf_counter(), _PACE_S / len(clients)
    took = await asyncio.gather(*(each.ask(begin + n * step_s, seconds) for n, each in enumerate(clients)))
    return [each for one in took for each in one]


@contextlib.asynccontextmanager
async def peak(process: psutil.Process) -> AsyncIterator[list[int]]:
    """Note the memory of a process every tenth of a second until the block ends."""
    found = [process.memory_info().rss]

    async def look() -> None:
        while True:
            await asyncio.sleep(0.1)
            found.append(process.memory_info().rss)

    looking = asyncio.create_task(look())
    try:
        yield found
    finally:
        looking.cancel()
        found.append(process.memory_info().rss)


def report(found: Sequence[Outcome], connections: int, seconds: float, rounds: int, order: str) -> str:
    """Return benchmarks/ATTACKS.md."""
    most = LIMITS["limits.connections_per_address"]
    lines = [
        "# What attacks do to others",
        "",
        "Written by `make attacks`.",
        "",
        f"Each attack goes on for {seconds:g} s, {rounds} times with as long a quiet time before each, with",
        f"{connections} connections at a time; an address may have {most}. Beside it {_CLIENTS} healthy clients ask",
        f"{1 / _PACE_S:g} times a second each, half of them for a pong, half for what they publish to come back.",
        "Times are from question to when the kernel had the answer, each figure is the median of what it is in each",
        "round, the ratio that of the 99th percentiles (in brackets: of the best and the worst round beside the quiet",
        "time before it). Newcomers, of a process of their own, connect, ask once and go,",
        f"{1 / PAUSE_S:g} each second. The hub has a core of its own, and {order}.",
        "",
        f"{datetime.datetime.now(tz=datetime.UTC).date()}, {describe()}, chappe {version('chappe')}.",
        "",
        "| attack | strikes | hub busy | p50 quiet ms | attacked | p99 quiet ms | attacked | ratio "
        "| newcomer p50, max quiet ms | attacked | grew by MB | |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for each in found:
        times = (middle(rounds, q) * 1_000 for q in (0.5, 0.99) for rounds in (each.quiet_s, each.during_s))
        came = " | ".join(
            f"{percentile(values, 0.5) * 1_000:.1f}, {values[-1] * 1_000:.0f}" if values else "-"
            for values in each.newcomers_s
        )
        lines.append(
            f"| {each.name.replace('_', ' ')} | {each.strikes:,} | {each.busy:.0%} "
            f"| {' | '.join(f'{time:.2f}' for time in times)} "
            f"| {each.ratio:.2f} ({each.ratios[0]:.2f}-{each.ratios[-1]:.2f}) | {came} "
            f"| {each.grown_bytes / 1_000_000:.1f} | {'kept' if each.kept else '**missed**'} |"
        )
    demanded = f"p99 within {MOST_RATIO - 1:.0%}, memory within {MOST_BYTES / 1_000_000:g} MB"
    return "\n".join([*lines, "", f"Demanded: {demanded}; no answer lost, which the clients assert.", ""])


def come_first() -> str:
    """Let this process go before the attacker, as if it was on another machine; return what came of it."""
    _apart(psutil.Process(), 1)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except PermissionError:
        return "attacker (SCHED_IDLE) and clients share the other"
    return (
        "on the other the clients come before the attacker\n(SCHED_FIFO before SCHED_IDLE), as from another machine; "
        "little of the machine comes before the hub (nice -20)"
    )


def _put_before(pid: int) -> None:
    """Let the hub run before what else the machine does. Not by SCHED_FIFO: of that it would get 95 % of a core."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, pid, -20)


async def run(names: Sequence[str], connections: int, seconds: float, rounds: int) -> list[Outcome]:
    """Attack in every way named, one after the other."""
    return [await attack(name, connections, seconds, rounds) for name in names]


def main() -> int:
    """Run it and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=90)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=sorted(ATTACKS), action="append")
    parser.add_argument("--print", action="store_true", help="print the report and write no file")
    options = parser.parse_args()
    order = come_first()
    found = uvloop.run(run(options.only or list(ATTACKS), options.connections, options.seconds, options.rounds))
    text = report(found, options.connections, options.seconds, options.rounds, order)
    print(text)
    if not options.print:
        REPORT.write_text(text, encoding="utf-8")
    return 0 if all(each.kept for each in found) else 1


if __name__ == "__main__":
    sys.exit(main())
