"""One server with its connection: kept up, watched, and asked for everything that is there."""

import asyncio
import contextlib
import logging
import random as jitter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import count
from typing import Any, Final

from chappe.brokers.redis.address import Address, Host
from chappe.brokers.redis.appending import Call, Pipeline
from chappe.brokers.redis.connection import Command, Connection, ConnectionLost, ReplyError
from chappe.brokers.redis.entries import Keys
from chappe.brokers.redis.feed import Failed, Feed, guarded
from chappe.brokers.redis.log_reading import Changes
from chappe.brokers.redis.reading import Origin
from chappe.brokers.redis.scripts import ADOPT, LOOK, META_AGE_S, SWEEP, scripts
from chappe.brokers.redis.server import Identity, identify
from chappe.brokers.redis.subscriptions import Subscriptions
from chappe.brokers.redis.topology import UNREACHABLE, NoServer
from chappe.model.errors import ConfigurationError

_log = logging.getLogger("chappe.broker")

#: How often it is compared where channels are; a lost message is noticed at the next look.
LOOK_S: Final = 5.0
#: Channels compared by one call, which takes the server half a millisecond.
_LOOK_CHANNELS: Final = 500
#: How often it is looked at how long the oldest answer is outstanding, as a share of what it may take.
_WATCH_SHARE: Final = 0.2
_FIRST_DELAY_S: Final = 0.05
_LONGEST_DELAY_S: Final = 5.0
#: Errors that say that this is the wrong server, or not one that can serve now: the right one has to be found.
_MISPLACED: Final = ("MOVED", "ASK", "READONLY", "CLUSTERDOWN", "MASTERDOWN", "LOADING", "UNBLOCKED")

Open = Callable[[], Awaitable[tuple[Host, Connection]]]


class Shard:
    """Keeps one connection to one server, on which everything of its partitions goes.

    One connection for commands and for the feed puts both into one order: an answer tells what the feed has brought
    until there, and a server that does not answer is one whose feed is dead.

    Attributes:
        partitions: what is served here.
        feed: what comes from here.
        pipeline: appends on their way.
        problem: why there is no connection; empty if there is one.
    """

    def __init__(
        self,
        address: Address,
        partitions: Sequence[Keys],
        feed: Feed,
        open_connection: Open,
        *,
        alone: bool,
        settle: Callable[[], None],
        doubt: Callable[[], None],
    ) -> None:
        """Take what serves.

        Args:
            open_connection: finds the server and connects.
            alone: this is the only partition, so the log of the server is the log of the broker.
            settle: tells outcomes and gives the feed on.
            doubt: is called when this may be the wrong server.
        """
        self.partitions = partitions
        self.feed = feed
        self._scripts = scripts(in_cluster=address.layout == "cluster")
        self.pipeline = Pipeline(feed.node, self._scripts[0], asyncio.get_running_loop().time)
        self.problem = "not connected yet"
        self.subscriptions = Subscriptions(partitions, in_cluster=address.layout == "cluster")
        self._address = address
        self._open_connection = open_connection
        self._alone = alone
        self._settle = settle
        self._doubt = doubt
        self._connection: Connection | None = None
        self._host: Host | None = None
        self._identity = Identity()
        self._tried = asyncio.Event()
        self._lost = asyncio.Event()
        self._refused: ConfigurationError | None = None
        self._task: asyncio.Task[None] | None = None
        self._fresh = count(1)
        self._looked_at = 0.0

    # --- Life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to connect; returns when the first attempt has succeeded or failed.

        Raises:
            ConfigurationError: the server refuses what the configuration says, so that trying again is no use.
        """
        self._task = asyncio.get_running_loop().create_task(self._keep_connected())
        await self._tried.wait()
        if self._refused is not None:
            await self.stop(0.0)
            raise self._refused

    async def stop(self, patience_s: float) -> None:
        """Wait for what is in flight, for so long, then end; everything is answered when this returns."""
        connection = self._connection
        if connection is not None:
            self.write()
            with contextlib.suppress(TimeoutError, ConnectionLost):
                async with asyncio.timeout(patience_s):
                    # An answer behind those that are in flight; what waited meanwhile flies then.
                    while not self.pipeline.is_idle:
                        await connection.call("PING")
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if self._connection is not None:
            self._connection.abort()

    def forget(self) -> None:
        """Fail what is pending, without the event loop, which is closed."""
        connection, self._connection, self._task = self._connection, None, None
        if connection is not None:
            connection.forget()
        self.pipeline.fail()
        self._settle()

    @property
    def is_open(self) -> bool:
        """Whether the server can be asked."""
        return self._connection is not None

    @property
    def host(self) -> Host | None:
        """Where the server is, or was last."""
        return self._host

    def drop(self) -> None:
        """End the connection; it is made again, perhaps to another server."""
        if self._connection is not None:
            self._connection.abort()

    async def _keep_connected(self) -> None:
        delay_s = 0.0
        while True:
            try:
                await self._connect()
                delay_s = 0.0
                self._tried.set()
                await self._watch()
            except ConfigurationError as error:
                self._refused = error
                self._note(str(error.reason))
            except (*UNREACHABLE, NoServer) as error:
                self._note(str(error) or type(error).__name__)
            finally:
                self._close()
            self._tried.set()
            # Not all hubs at once when the server is back.
            delay_s = min(max(delay_s * 2, _FIRST_DELAY_S), _LONGEST_DELAY_S)
            await asyncio.sleep(delay_s * jitter.uniform(0.5, 1.0))  # noqa: S311 - no secret

    def _note(self, problem: str) -> None:
        if problem != self.problem:
            _log.warning("broker %s: %s", self._host or self._address.hosts[0], problem)
        self.problem = problem

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()
            if self._task is not None:
                self._note(self.problem or "the connection was lost")
                self._doubt()
        self.pipeline.fail()
        self._settle()

    # --- Connecting --------------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        self._host, connection = await self._open_connection()
        try:
            async with asyncio.timeout(self._address.timeout_s):
                identity = await identify(connection, self._identity, durable=self._address.durable)
                for script in self._scripts:
                    await connection.call("SCRIPT", "LOAD", script.text)
                self._lost.clear()
                connection.on_lost = self._lost.set
                connection.on_message = self.feed.take
                connection.on_unsubscribed = self._unsubscribed
                self._identity = identity
                await self._catch_up(connection, await self._adopt(connection, identity))
        except BaseException:
            self.feed.drop_aside()
            connection.abort()
            raise
        if not connection.is_open:
            raise ConnectionLost("the connection was lost at once")
        self._connection = connection
        connection.on_read = self._read_on
        self.problem = ""
        _log.info("broker %s: connected", self._host)
        self._look()
        self._read_on()

    async def _adopt(self, connection: Connection, identity: Identity) -> bool:
        """Learn the generation of each partition; tell whether the log goes on where this hub was."""
        goes_on = True
        for keys in self.partitions:
            answer = await connection.call(
                "EVALSHA",
                ADOPT.sha,
                1,
                keys.state,
                identity.run_id,
                int(identity.keeps_all),
                self.origin(keys.number).epoch,
            )
            generation, log = answer[0].decode(), answer[1]
            goes_on = goes_on and self.feed.knows(keys.number) == generation
            self.feed.begin(keys.number, generation, log)
        return goes_on

    async def _catch_up(self, connection: Connection, goes_on: bool) -> None:
        """Subscribe, then read what was missed while there was no connection."""
        missed = self.subscriptions.renew()
        if goes_on and not self._alone:
            # Without one log for everything it is not known what was missed.
            self.feed.interrupt_all(missed)
        if goes_on and self._alone:
            self.feed.put_aside()
        self.subscriptions.flush(connection.tell)
        if goes_on and self._alone:
            filled: asyncio.Future[Changes] = asyncio.get_running_loop().create_future()
            changes = Changes(connection.send, self.partitions[0], self.origin, self.feed.wants, _once(filled))
            changes.start(self.feed.log, retained=False)
            self._fill(await filled)

    def _fill(self, changes: Changes) -> None:
        if changes.failed:
            raise ConnectionLost("the connection was lost while reading what was missed")
        keys = self.partitions[0]
        self.feed.begin(keys.number, changes.generation, changes.log)
        if changes.forgotten > self.feed.log:
            self.feed.interrupt(None)
        else:
            self.feed.interrupt(sorted({*changes.lost, *changes.passed}))
        self.feed.fill(changes.publications)
        self.feed.log = max(self.feed.log, changes.log)
        self.feed.resume()

    # --- Watching ----------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Return when the connection is lost."""
        loop = asyncio.get_running_loop()
        while not self._lost.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._address.timeout_s * _WATCH_SHARE):
                    await self._lost.wait()
            connection = self._connection
            if connection is None:
                return
            if connection.waits_longer_than(self._address.timeout_s):
                self._note(f"no answer within {self._address.timeout_s:g} s")
                connection.abort()
            elif loop.time() - self._looked_at >= LOOK_S:
                self._look()
                self._sweep()

    def _look(self) -> None:
        """Compare where the channels are; the answer is a sign of life as well."""
        self._looked_at = asyncio.get_running_loop().time()
        self._look_at(self.subscriptions.channels())

    def _look_at(self, channels: dict[int, list[str]]) -> None:
        for keys in self.partitions:
            names = channels.get(keys.number)
            if names is None:
                continue
            for start in range(0, max(len(names), 1), _LOOK_CHANNELS):
                part = names[start : start + _LOOK_CHANNELS]
                metas = [keys.meta(name) for name in part]
                command: Command = (
                    "EVALSHA", LOOK.sha, 1 + len(part), keys.state, *metas, int(META_AGE_S * 1000)
                )  # fmt: skip
                self.ask(command, lambda answer, keys=keys, part=part: self._looked(keys, part, answer))  # type: ignore[misc]

    def _looked(self, keys: Keys, names: list[str], answer: Any) -> None:
        if not isinstance(answer, list):
            return
        generation, log = answer[0].decode(), answer[1]
        self.feed.begin(keys.number, generation, log)
        if self._alone:
            self.feed.reached(log)
        for index, name in enumerate(names):
            self.feed.look(name, answer[2 + 2 * index].decode(), answer[3 + 2 * index])

    def _sweep(self) -> None:
        keys = jitter.choice(self.partitions)  # noqa: S311 - no secret
        start = jitter.getrandbits(31)
        self.ask(("EVALSHA", SWEEP.sha, 2, keys.state, keys.index, keys.metas, start), _ignore)

    def _unsubscribed(self, feed: bytes) -> None:
        if self.subscriptions.has(feed):
            self._doubt()

    # --- Asking ------------------------------------------------------------------------------------------------------

    def ask(self, command: Command, answered: Callable[[Any], None]) -> None:
        """Send a command behind the subscriptions that were asked for before it."""
        connection = self._connection
        if connection is None:
            answered(ConnectionLost())
            return
        if self.subscriptions.is_due:
            self.subscribe()
        connection.send(command, lambda answer: self._take(answer, answered))

    def _take(self, answer: Any, answered: Callable[[Any], None]) -> None:
        if isinstance(answer, ReplyError):
            self._judge(str(answer))
        answered(answer)

    def _judge(self, text: str) -> None:
        """Look what the server refused: for a wrong server another one is looked for."""
        if text.startswith(_MISPLACED):
            self._note(text[:200])
            self._doubt()
            self.drop()
        elif text.startswith("NOSCRIPT"):
            self.pipeline.needs_scripts = True
            self.write()
        else:
            self._note(text[:200])

    def origin(self, partition: int) -> Origin:
        """Return an epoch for a channel of a partition that has none, and who serves."""
        epoch = f"{self.feed.node}r{next(self._fresh):x}"
        return Origin(epoch, self._identity.run_id, self.feed.knows(partition) or "")

    def subscribe(self) -> None:
        """Ask for what the hub was attached to since the last time."""
        connection = self._connection
        if connection is not None:
            fresh = self.subscriptions.flush(connection.tell)
            if fresh:
                self._look_at(fresh)

    def write(self) -> None:
        """Write the appends that wait, behind the subscriptions that were asked for before them."""
        connection = self._connection
        if connection is None:
            self.pipeline.fail()
            self._settle()
            return
        if self.pipeline.needs_scripts:
            self.pipeline.needs_scripts = False
            connection.send_all([(("SCRIPT", "LOAD", script.text), _ignore) for script in self._scripts])
        if self.subscriptions.is_due:
            self.subscribe()
        self.pipeline.write(self._identity.run_id, self.feed.knows, connection.send_all)

    def _read_on(self) -> None:
        """Do what was put off while answers were handed out."""
        if self.pipeline.refusals:
            refusals, self.pipeline.refusals = self.pipeline.refusals, []
            for text in dict.fromkeys(refusals):
                self._judge(text)
        self._settle()
        if self._connection is not None:
            self.write()


def tell(calls: Iterable[Call], failed: Failed) -> None:
    """Tell calls their outcomes."""
    for call in calls:
        guarded(lambda call=call: call.done(call.outcomes), failed)  # type: ignore[misc]


def _once(future: "asyncio.Future[Changes]") -> Callable[[Changes], None]:
    def done(changes: Changes) -> None:
        if not future.done():
            future.set_result(changes)

    return done


def _ignore(answer: Any) -> None:
    """Need no answer."""
