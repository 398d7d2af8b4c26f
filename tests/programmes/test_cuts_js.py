"""F06 with the JavaScript SDK: over every transport and every fault nothing acknowledged is lost or doubled."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from chappe.app import Hub
from chappe.hub.namespaces import Access, Level, Namespace
from chappe.serving import Server
from chappe.testing.checker import read_events, verdict
from chappe.testing.fault_proxy import FaultProxy

SDK = Path(__file__).resolve().parents[2] / "clients" / "js"
CHANNEL = "load/cuts"
OPEN = Namespace(
    name="load",
    level=Level.RECOVERABLE,
    history_count=1_000_000,
    history_age_s=3_600,
    subscribe=Access.ANONYMOUS,
    publish=Access.ANONYMOUS,
)
QUICK: dict[str, Any] = {
    "reconnectIntervalMs": 10,
    "reconnectMaxMs": 40,
    "connectTimeoutMs": 1_500,
    "heartbeatMs": 400,
    "pongTimeoutMs": 600,
    "pollRetryMs": 20,
}
FAULTS = 100
#: What shows that everybody has come back: so many more acknowledgements, and whatever was acknowledged before.
_MORE = {"acknowledged": 5, "followed": 0, "iterated": 0}


class Programme:
    """The Node process and how far it is."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.progress = {"acknowledged": 0, "unconfirmed": 0, "followed": 0, "iterated": 0}
        self._process = process
        self._moved = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self.progress = json.loads(line)
            self._moved.set()
        self._moved.set()

    async def everybody_goes_on(self) -> None:
        """Wait until some more is acknowledged and everybody has seen what was acknowledged before."""
        before = self.progress
        while any(self.progress[name] < before["acknowledged"] + more for name, more in _MORE.items()):
            assert not self._reading.done(), "the programme has ended"
            self._moved.clear()
            await self._moved.wait()

    async def finish(self) -> None:
        """End the load and wait until everybody has seen everything."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._reading
        assert await self._process.wait() == 0

    async def stop(self) -> None:
        """End it whatever it does."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reading


@contextlib.asynccontextmanager
async def loaded(url: str, journal: Path, **options: Any) -> AsyncIterator[Programme]:
    """Run the programme until the block ends."""
    process = await asyncio.create_subprocess_exec(
        *("node", "test/programmes/cuts.mjs", url, CHANNEL, str(journal), json.dumps({**QUICK, **options})),
        cwd=SDK,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    programme = Programme(process)
    try:
        yield programme
    finally:
        await programme.stop()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what nobody tells."""
    while not condition():  # noqa: ASYNC110 - the proxy counts, and tells nobody
        await asyncio.sleep(0.002)


class Faults:
    """What is done to the programme's connections; each fault is over when its method returns."""

    def __init__(self, proxy: FaultProxy, programme: Programme, paths: list[str]) -> None:
        self._proxy = proxy
        self._programme = programme
        self._paths = paths

    def all(self) -> list[Callable[[], Awaitable[None]]]:
        """Return every fault there is."""
        return [
            self.cut,
            self.reset,
            self.stall,
            self.delay,
            self.half_open,
            self.throttle,
            self.refuse,
            self.refuse_upgrade,
            self.lose_response,
        ]

    async def cut(self) -> None:
        self._proxy.cut()

    async def reset(self) -> None:
        self._proxy.reset()

    async def stall(self) -> None:
        self._proxy.stall()
        await asyncio.sleep(0.1)
        self._proxy.resume()

    async def delay(self) -> None:
        self._proxy.delay(0.02)
        await self._programme.everybody_goes_on()
        self._proxy.delay(0)

    async def half_open(self) -> None:
        left = self._proxy.connections
        self._proxy.half_open()
        await self._programme.everybody_goes_on()
        for connection in left:
            connection.cut()

    async def throttle(self) -> None:
        self._proxy.throttle(200_000)
        await self._programme.everybody_goes_on()
        self._proxy.throttle(0)

    async def refuse(self) -> None:
        accepted = self._proxy.accepted
        self._proxy.refusing = True
        self._proxy.cut()
        await until(lambda: self._proxy.accepted >= accepted + 3)
        self._proxy.refusing = False

    async def refuse_upgrade(self) -> None:
        accepted, before = self._proxy.accepted, self._proxy.refuse_upgrade
        self._proxy.refuse_upgrade = 502
        self._proxy.cut()
        await until(lambda: self._proxy.accepted >= accepted + 3)
        self._proxy.refuse_upgrade = before

    async def lose_response(self) -> None:
        lost = self._proxy.lost_responses
        for path in self._paths:
            self._proxy.lose_response(path)
        self._proxy.cut()
        await until(lambda: self._proxy.lost_responses >= lost + len(self._paths))


async def disturb(journal: Path, url: str, proxy: FaultProxy, paths: list[str], **options: Any) -> int:
    """Do `FAULTS` faults, each kind about as often, while the load goes on; return how many publishes were given up."""
    dice = random.Random(20261126)
    async with loaded(url, journal, **options) as programme:
        faults = Faults(proxy, programme, paths).all()
        kinds = [faults[number % len(faults)] for number in range(FAULTS)]
        dice.shuffle(kinds)
        for fault in kinds:
            await programme.everybody_goes_on()
            await fault()
        await programme.everybody_goes_on()
        await programme.finish()
        return programme.progress["unconfirmed"]


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("transports", "paths"),
    [
        (["websocket"], ["/ws"]),
        (["sse"], ["/send"]),
        (["polling"], ["/send", "/poll"]),
    ],
    ids=["websocket", "sse", "polling"],
)
async def test_f06_100_faults_in_a_row_under_load_lose_and_double_nothing_acknowledged(
    transports: list[str], paths: list[str], tmp_path: Path
) -> None:
    journal = tmp_path / "journal.jsonl"
    server = Server(Hub(dev=True, namespaces=[OPEN]), port=0)
    await server.start()
    try:
        async with FaultProxy("127.0.0.1", server.port) as proxy:
            url = f"ws://127.0.0.1:{proxy.port}/ws"
            unconfirmed = await disturb(journal, url, proxy, paths, transports=transports)
    finally:
        await server.stop()
    judged = verdict(read_events([journal]))
    assert judged.clean, "\n".join(map(str, [judged, *judged.findings[:10]]))
    assert judged.acknowledged > 5 * FAULTS
    assert unconfirmed == 0, "the hub kept every session, and somebody did not find the own one again"
    assert judged.seen >= 2 * judged.acknowledged
