"""MQTT clients that publish and follow with QoS 1 and 2 while they, the hub or its engine are killed again and again.

The clients are paho's, each a process that keeps its half of the session on disk (`mqtt_client`). The offline checker
judges: with QoS 2 each message is stored once and seen once; with QoS 1 it may be stored as often as it was sent, and
what comes again of one place is no second sight of it. Positions come with the messages (`chappe-positions`) and, for
what was acknowledged, from the history.
"""

import asyncio
import contextlib
import random
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import chappe
from chappe.brokers.nats.local import launcher
from chappe.client.client import Client
from chappe.model.position import Position
from chappe.testing.checker import Verdict, payload_hash, verdict
from chappe.testing.checker.journal import Ack, Attempt, Event, History, Seen, Settled, Subscribed
from chappe.testing.hub_process import HubProcess
from chappe.testing.kill_programme import KillProgramme, Victim
from tests.programmes.engines import shared_engine
from tests.programmes.mqtt_client import STOP, Line, lines_of
from tests.programmes.result import ROOT, Result

#: What can be killed: both clients, the hub on each of its brokers, an engine under a hub, two hubs with the members of
#: a shared subscription.
PARTS: Final = ("clients", "hub-sqlite", "hub-redis", "hub-nats", "redis", "nats", "group")
TOPICS: Final = ("kills/a", "kills/b")
QOS: Final = (1, 2)
_SEED: Final = 20_261_127
_PATIENCE_S: Final = 60.0
_LOOK_S: Final = 0.1
#: A message that came twice would come the second time soon.
_CALM_S: Final = 1.0
_PAGE: Final = 1_000
_SETTINGS: Final = """
[broker]
url = "{url}"
[mqtt]
port = {port}
session_queue_messages = 100000
session_queue_bytes = 104857600
[namespaces.default]
level = "durable"
history_count = 500000
history_age_s = 3600
subscribe = "anonymous"
publish = "anonymous"
[limits]
messages_per_s = 0
history_page = 1000
"""


def quiet_port() -> int:
    """Return a free port that the system gives to no outgoing connection.

    Clients try again and again while the hub is down: one of the others might be given its port, and even connect to
    itself by it.
    """
    while True:
        port = random.randint(15_000, 30_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Child:
    """A client as a process."""

    def __init__(self, role: str, folder: Path, port: int, qos: int, *, number: int = 0, prefix: str = "") -> None:
        """Know what to start.

        Args:
            number: tells those of one role and QoS apart.
            prefix: of what it follows.
        """
        self.name = f"{role}-{qos}{'-' * bool(number)}{number or ''}"
        self.qos = qos
        self.folder = folder
        topics = (f"{prefix}{each}/{qos}" for each in TOPICS)
        self._arguments = (role, self.name, str(port), str(folder), str(qos), *topics)
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        command = (*launcher(), sys.executable, "-m", "tests.programmes.mqtt_client", *self._arguments)
        self._process = await asyncio.create_subprocess_exec(*command, cwd=ROOT)

    async def kill(self) -> None:
        if self._process is not None:
            assert self._process.returncode is None, f"{self.name} ended by itself"
            self._process.kill()
            await self._process.wait()
            self._process = None

    def lines(self) -> list[Line]:
        """Return what it did so far."""
        return list(lines_of(self.folder, self.name))


class Crew:
    """The members of a shared subscription, which have together what one subscriber would have, in any order."""

    def __init__(self, folder: Path, ports: Sequence[int], qos: int) -> None:
        """Have one member at each hub."""
        self.name = f"crew-{qos}"
        self.qos = qos
        self.members = [
            Child("subscribe", folder, port, qos, number=number, prefix="$share/crew/")
            for number, port in enumerate(ports, 1)
        ]

    def lines(self) -> list[Line]:
        """Return what they did so far; what they got in the order of the history."""
        found = [line for each in self.members for line in each.lines()]
        return sorted(found, key=lambda line: (line.did == "got", line.offset))


@dataclass
class Outcome:
    """What a programme came to.

    Attributes:
        sessions_lost: how often a client was told that its session is not there, after the first time.
        repeated: messages of QoS 1 that came more than once.
    """

    verdict: Verdict
    sessions_lost: int
    repeated: int

    @property
    def kept(self) -> bool:
        """Whether everything promised was kept."""
        return self.verdict.clean and not self.sessions_lost

    def __str__(self) -> str:
        said = f"{self.verdict}; {self.repeated} repeated with QoS 1"
        return said + (f"; {self.sessions_lost} sessions lost" if self.sessions_lost else "")


class Traffic:
    """A publisher and a subscriber for each QoS; or a group of subscribers, with a member at each of several hubs."""

    def __init__(self, folder: Path, *ports: int) -> None:
        self._folder = folder
        self.crews = [Crew(folder, ports, qos) for qos in QOS] if len(ports) > 1 else []
        self.readers = [Child("subscribe", folder, ports[0], qos) for qos in QOS] if not self.crews else []
        self.subscribers: list[Child | Crew] = [*self.readers, *self.crews]
        self.publishers = [Child("publish", folder, ports[0], qos) for qos in QOS]

    @property
    def following(self) -> list[Child]:
        return [*self.readers, *(member for crew in self.crews for member in crew.members)]

    @property
    def children(self) -> list[Child]:
        return [*self.following, *self.publishers]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run them all; the subscribers follow before anything is published."""
        try:
            for child in self.following:
                await child.start()
            await self._until(
                lambda: all(any(line.did == "subscribed" for line in each.lines()) for each in self.following)
            )
            for child in self.publishers:
                await child.start()
            await self.goes_on()
            yield
        finally:
            for child in self.children:
                with contextlib.suppress(AssertionError):
                    await child.kill()

    async def goes_on(self) -> None:
        """Wait until every subscriber has got something that was sent from now on."""
        before = [{line.hash for line in each.lines()} for each in self.subscribers]
        since = time.time()

        def have_new() -> bool:
            for publisher, subscriber, known in zip(self.publishers, self.subscribers, before, strict=True):
                sent = {payload_hash(line.text.encode()) for line in publisher.lines() if line.time > since}
                if not sent & ({line.hash for line in subscriber.lines()} - known):
                    return False
            return True

        await self._until(have_new)

    async def finish(self, url: str) -> Outcome:
        """Publish no more, let everything arrive, and judge."""
        (self._folder / STOP).touch()
        await self._until(lambda: all(not _pending(each.lines()) for each in self.publishers))
        # Who has not seen everything by then has lost it: the verdict says so.
        with contextlib.suppress(TimeoutError):
            await self._until(lambda: all(map(_has_all, self.publishers, self.subscribers)))
        await asyncio.sleep(_CALM_S)
        return await self._judge(url)

    async def _judge(self, url: str) -> Outcome:
        events: list[Event] = []
        repeated = 0
        async with chappe.connect(url) as client:
            for publisher, subscriber in zip(self.publishers, self.subscribers, strict=True):
                said, heard = publisher.lines(), subscriber.lines()
                for topic in TOPICS:
                    channel = f"{topic}/{publisher.qos}"
                    history = await read_all(client, channel)
                    events += attempts(publisher, channel, said, history)
                    events.append(history)
                    seen, again = sights(subscriber, channel, heard, history.epoch)
                    events += seen
                    repeated += again
        lost = sum(
            line.did == "session" and not line.present
            for child in self.children
            for line in [each for each in child.lines() if each.did == "session"][1:]
        )
        return Outcome(verdict(events), lost, repeated)

    async def _until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(_PATIENCE_S):
            while not done():  # noqa: ASYNC110 - what is waited for is in files
                await asyncio.sleep(_LOOK_S)


async def read_all(client: Client, channel: str) -> History:
    """Read the whole history of a channel, page by page: a page has a limit in bytes."""
    begin = await client.history(channel, limit=1)
    epoch, stored = begin.position.epoch, list[tuple[int, str]]()
    place = Position(epoch, 0)
    while place.offset < begin.position.offset:
        page = await client.history(channel, limit=_PAGE, since=place)
        found = [(each.offset or 0, payload_hash(each.payload)) for each in page.publications]
        if not found:
            break
        stored += found
        place = Position(epoch, found[-1][0])
    return History(
        channel=channel,
        reader="the end",
        epoch=epoch,
        since=0,
        offset=begin.position.offset,
        publications=tuple(stored),
    )


def attempts(publisher: Child, channel: str, said: list[Line], history: History) -> list[Event]:
    """Return what a publisher did in a channel, as the checker reads it."""
    places: dict[str, int] = {}
    for offset, hashed in history.publications:
        places.setdefault(hashed, offset)
    events: list[Event] = []
    name = publisher.name
    beyond = history.offset
    last: dict[int, tuple[int, str]] = {}
    texts: dict[str, int] = {}
    for number, line in enumerate(said, 1):
        if line.did == "sent" and line.topic == channel:
            hashed = payload_hash(line.text.encode())
            is_again = line.text in texts
            if publisher.qos == 1 or not is_again:
                texts[line.text] = number
                key = line.text if publisher.qos == 2 else None
                # Which of several sendings was acknowledged nobody knows, so they have no time.
                moment = 0.0 if is_again or publisher.qos == 1 else line.time
                events.append(
                    Attempt(channel=channel, publisher=name, attempt=number, hash=hashed, key=key, time=moment)
                )
            last[line.mid] = (texts[line.text], hashed)
        elif line.did == "done" and line.mid in last:
            attempt, hashed = last.pop(line.mid)
            if hashed not in places:
                # It is nowhere: the checker finds that this place is missing.
                beyond += 1
            offset = places.get(hashed, beyond)
            epoch, moment = history.epoch, line.time
            ack = Ack(channel=channel, publisher=name, attempt=attempt, epoch=epoch, offset=offset, time=moment)
            events.append(ack)
    return events


def sights(subscriber: Child | Crew, channel: str, heard: list[Line], epoch: str) -> tuple[list[Event], int]:
    """Return what a subscriber saw in a channel, and how much of it came again with QoS 1."""
    name = subscriber.name
    begun = next(line.time for line in heard if line.did == "subscribed")
    events: list[Event] = [Subscribed(channel=channel, subscriber=name, epoch=epoch, offset=0, time=begun)]
    known: set[tuple[str, int]] = set()
    again = 0
    for line in heard:
        if line.did != "got" or line.topic != channel:
            continue
        place = (line.epoch, line.offset)
        if subscriber.qos == 1 and place in known:
            again += 1
            continue
        known.add(place)
        at = {"channel": channel, "subscriber": name, "epoch": line.epoch, "hash": line.hash}
        events.append(Seen(offset=line.offset, time=line.time, **at))
    events.append(Settled(channel=channel, subscriber=name, time=time.time()))
    return events, again


def _pending(lines: list[Line]) -> set[int]:
    pending: set[int] = set()
    for line in lines:
        if line.did == "sent":
            pending.add(line.mid)
        elif line.did == "done":
            pending.discard(line.mid)
    return pending


def _has_all(publisher: Child, subscriber: Child | Crew) -> bool:
    sent = {payload_hash(line.text.encode()) for line in publisher.lines() if line.did == "sent"}
    return sent <= {line.hash for line in subscriber.lines()}


async def kill(part: str, kills: int) -> Outcome:
    """Kill what one of `PARTS` names so often under traffic; of the clients each so often."""
    kind, _, broker = part.partition("-")
    name = broker or {"clients": "sqlite", "group": "redis"}.get(kind, kind)
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        engine: Victim | None = None
        url = f"sqlite://{folder}/hub.db"
        if name != "sqlite":
            shared = await stack.enter_async_context(shared_engine(name))
            engine, url = shared, shared.url
        hubs, ports = [], [quiet_port() for _ in range(2 if kind == "group" else 1)]
        for number, port in enumerate(ports):
            settings = folder / f"chappe-{number}.toml"
            settings.write_text(_SETTINGS.format(url=url, port=port), encoding="utf-8")
            hubs.append(await stack.enter_async_context(HubProcess("--dev", "--config", str(settings))))
        traffic = Traffic(folder, *ports)
        await stack.enter_async_context(traffic.running())
        victims: list[Victim] = [*hubs] if kind in ("hub", "group") else [*traffic.children]
        if engine is not None and kind not in ("hub", "group"):
            victims = [engine]
        programmes = [KillProgramme(_SEED + number, kills) for number, _ in enumerate(victims)]
        await asyncio.gather(*(programme.run(victim) for programme, victim in zip(programmes, victims, strict=True)))
        await traffic.goes_on()
        return await traffic.finish(hubs[0].url)


async def result(part: str, kills: int) -> Result:
    """Return what a part came to."""
    outcome = await kill(part, kills)
    kind, _, broker = part.partition("-")
    done = {
        "clients": "SIGKILL of MQTT clients that keep their half of the session on disk, publishers and subscribers",
        "hub": f"SIGKILL of a hub on {broker} under MQTT traffic",
        "group": "SIGKILL of two hubs on Redis at any time, each with a member of a shared subscription, under traffic",
    }.get(kind, f"SIGKILL of {kind} under a hub and MQTT traffic, on disk")
    details = "" if outcome.kept else "```\n" + "\n".join(map(str, outcome.verdict.findings[:10])) + "\n```"
    times = f"{kills} kills" + {"clients": " of each of 4", "group": " of each of 2"}.get(kind, "")
    return Result(
        part=f"mqtt_{part}",
        done=f"{done}, QoS 1 and 2",
        times=times,
        verdict=str(outcome),
        kept=outcome.kept,
        details=details,
    )
