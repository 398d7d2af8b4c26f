"""Publications kept and spread by NATS with JetStream.

Everything is numbered by two streams: what is kept by the main one, live channels by one in memory that has the last
publication of each. Streams republish what they stored, and say for each channel what came before: that is the feed.
"""

import asyncio
import contextlib
import random as noise
from collections.abc import Callable, Sequence
from typing import Final

from chappe.brokers.nats.births import Births
from chappe.brokers.nats.channels import UNAVAILABLE, Channels
from chappe.brokers.nats.connection import Connection, ConnectionFailed, StreamLost
from chappe.brokers.nats.examination import OLDEST_SERVER, version_of
from chappe.brokers.nats.feed import Feed
from chappe.brokers.nats.options import parse_url
from chappe.brokers.nats.publishing import Publishing
from chappe.brokers.nats.reading import UNREADABLE, Reading, unreadable_log
from chappe.brokers.nats.streams import Streams
from chappe.hub.contracts import (
    Append,
    BrokerSink,
    Clock,
    Outcome,
    Random,
    Read,
    ReadLog,
    ReadLogResult,
    ReadResult,
)
from chappe.model.errors import ConfigurationError

#: Seconds between two looks at the streams: a dead server or a stream that somebody deleted is noticed so soon.
PROBE_S: Final = 2.0
_TICK_S: Final = 60.0
#: Seconds before the first and between later attempts to connect again, doubled each time, and drawn around that.
_RETRY_S: Final = 0.05
_MOST_RETRY_S: Final = 5.0


class NatsBroker:
    """Keeps publications in JetStream; any number of hubs share its streams.

    Attributes:
        durable: whether the streams are on disk. Whether they are safe there when an acknowledgement comes, is a
            setting of the server: `sync_interval: always`, or replicas.
        reconnects: how often a connection was made after the first one.
        epochs: how often the streams were found to be others than before.
    """

    name = "nats"
    shared = True

    def __init__(self, url: str, clock: Clock, random: Random) -> None:
        """Take the URL; nothing is connected yet.

        Raises:
            ConfigurationError: the URL says something that is not known.
        """
        self._options = parse_url(url)
        self._clock = clock
        self.durable = self._options.storage == "file"
        origin = int.from_bytes(random(6))
        self._id = f"{origin:012x}"
        self._streams = Streams(self._options)
        self._channels = Channels(self._streams.main, self._streams.live)
        births = Births(clock, self._streams, origin, self._born_anew)
        self._publishing = Publishing(clock, self._streams, self._channels, births, origin)
        self._feed = Feed(self._streams, origin, self._publishing.untold)
        self._publishing.told = self._feed.flush_soon
        self._reading = Reading(clock, self._streams, self._channels, births, self._feed)
        self._servers = list(self._options.servers)
        self._connection: Connection | None = None
        self._lives = 0
        self._keeper: asyncio.Task[None] | None = None
        self._probe: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._is_up = False
        self.reconnects = 0
        self.epochs = 0

    @property
    def is_connected(self) -> bool:
        """Whether appends can be stored now."""
        return self._is_up

    @property
    def duplicates(self) -> int:
        """Appends whose idempotency key was known."""
        return self._publishing.duplicates

    @property
    def conflicts(self) -> int:
        """Appends refused because `expect` was not the channel's position."""
        return self._publishing.conflicts

    def metrics(self) -> dict[str, float]:
        """Return what is counted here, by name of the metric."""
        return {
            "chappe_broker_reconnects_total": self.reconnects,
            "chappe_broker_epochs_total": self.epochs,
            "chappe_broker_duplicates_total": self.duplicates,
            "chappe_broker_conflicts_total": self.conflicts,
            "chappe_broker_failed_total": self.failed,
        }

    @property
    def failed(self) -> int:
        """Appends answered 108."""
        return self._publishing.failed

    @property
    def gaps(self) -> int:
        """How often the feed of a channel had lost something, which was told."""
        return self._feed.gaps

    async def start(self, sink: BrokerSink) -> None:
        """Connect and make the streams.

        Raises:
            ConfigurationError: no server can be reached, lets us in, and has JetStream.
        """
        self._feed.start(sink)
        try:
            await self._connect()
        except (ConnectionFailed, StreamLost) as error:
            raise ConfigurationError(f"broker.url: cannot use NATS at {error}") from None
        self._keeper = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """Wait a moment for what is pending, answer the rest 108, close."""
        for task in (self._keeper, self._probe):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        self._keeper = self._probe = None
        if self._is_up:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._publishing.drained(), self._options.timeout_s)
        self._is_up = False
        self._publishing.end()
        await self._reading.end()
        self._feed.stop()
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    def append(self, batch: Sequence[Append], done: Callable[[Sequence[Outcome]], None]) -> None:
        """Send publications to the streams."""
        if self._is_up:
            self._publishing.append(batch, done)
        else:
            done([UNAVAILABLE] * len(batch))

    def read(self, request: Read, done: Callable[[ReadResult], None]) -> None:
        """Read a channel; one never heard of is born here, so that a later gap can be told."""
        if self._is_up:
            self._reading.read(request, done)
        else:
            done(UNREADABLE)

    def read_log(self, request: ReadLog, done: Callable[[ReadLogResult], None]) -> None:
        """Read all matching channels in the order of the main stream."""
        if self._is_up:
            self._reading.read_log(request, done)
        else:
            done(unreadable_log())

    def attach(self, channel: str) -> None:
        """Ask for the feed of a channel or pattern; kept over connections."""
        self._feed.attach(channel)

    def detach(self, channel: str) -> None:
        """Give the feed of a channel or pattern up."""
        self._feed.detach(channel)

    # --- The connection ----------------------------------------------------------------------------------------------

    async def _connect(self) -> bool:
        """Connect to any server; return whether the streams are others than before.

        Raises:
            ConnectionFailed: none takes us; the text is of the last one that was tried.
            ConfigurationError: one does, but cannot keep publications.
        """
        noise.shuffle(self._servers)
        failure: ConnectionFailed | StreamLost | None = None
        for server in tuple(self._servers):
            self._lives += 1
            self._lost.clear()
            connection = Connection(self._options, f"{self._id}.{self._lives}", self._connection_lost)
            try:
                await connection.open(server)
                _check_version(connection.server_version)
                changed = await self._streams.meet(connection, self._clock.wall_ms() / 1_000)
            except (ConnectionFailed, StreamLost) as error:
                failure = error
                await connection.close()
                continue
            except BaseException:
                await connection.close()
                raise
            self._servers += [each for each in connection.servers() if each not in self._servers]
            self._begin(connection, changed)
            return changed
        assert failure is not None
        raise failure

    def _begin(self, connection: Connection, changed: bool) -> None:
        if changed:
            self.epochs += 1
            self._channels.forget()
            self._feed.renew()
        self._connection = connection
        self._publishing.begin(connection)
        self._feed.begin(connection)
        self._is_up = True
        self._probe = asyncio.create_task(self._look(connection))

    def _connection_lost(self, connection: Connection) -> None:
        if connection is self._connection:
            self._is_up = False
            self._feed.end()
            self._publishing.end()
        self._lost.set()

    async def _keep(self) -> None:
        """Connect again whenever the connection is lost, and tell what that may have cost."""
        while True:
            await self._lost.wait()
            if self._probe is not None:
                self._probe.cancel()
            if self._connection is not None:
                await self._connection.close()
                self._connection = None
            wait_s = _RETRY_S
            while True:
                await asyncio.sleep(wait_s * noise.uniform(0.5, 1.0))  # noqa: S311 - no secret
                try:
                    await self._connect()
                    break
                except (ConnectionFailed, StreamLost, ConfigurationError):
                    wait_s = min(2 * wait_s, _MOST_RETRY_S)
            self.reconnects += 1
            self._feed.tell(None)

    async def _look(self, connection: Connection) -> None:
        """Look after the streams and what is not acknowledged, for as long as the connection lives."""
        ticked = -_TICK_S
        with contextlib.suppress(ConnectionFailed):
            while connection.is_open:
                now = self._clock.now()
                if now - ticked >= _TICK_S:
                    ticked = now
                    self._streams.tick(self._clock.wall_ms() / 1_000)
                await asyncio.sleep(PROBE_S)
                if self._publishing.oldest_s(self._clock.now()) > self._options.timeout_s:
                    connection.abort("an acknowledgement did not come in time")
                elif not await self._is_whole():
                    connection.abort("a stream is not the one it was")

    async def _is_whole(self) -> bool:
        try:
            return await self._streams.check()
        except (StreamLost, ConfigurationError):
            return False

    def _born_anew(self, channel: str) -> None:
        self._feed.tell([channel])


def _check_version(version: str) -> None:
    if version_of(version) < OLDEST_SERVER:
        raise ConfigurationError(
            f"broker.url: NATS is version {version} there, expected {OLDEST_SERVER[0]}.{OLDEST_SERVER[1]} or later"
        )
