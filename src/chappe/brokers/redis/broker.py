"""The broker that hubs share by Redis or Valkey."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Final

from chappe.brokers.redis.address import Address, Host
from chappe.brokers.redis.appending import UNAVAILABLE, Call, Done, settle
from chappe.brokers.redis.connection import Connection, connect
from chappe.brokers.redis.entries import Keys, partition_of, spread
from chappe.brokers.redis.feed import Attached, Feed, Numbers, guarded
from chappe.brokers.redis.pattern_reading import read_log, read_several, unreadable
from chappe.brokers.redis.reading import UNREADABLE, Reader, question_of, result_of
from chappe.brokers.redis.shard import Shard, tell
from chappe.brokers.redis.topology import NoServer, find_master, find_nodes
from chappe.hub.contracts import Append, BrokerSink, Random, Read, ReadLog, ReadLogResult, ReadResult
from chappe.model.channels import is_pattern

_log = logging.getLogger("chappe.broker")

#: What is in flight when the hub stops gets so long.
_PATIENCE_S: Final = 2.0
#: How often sentinels and clusters are asked who serves: while all is well, and while something is not.
_OVERSEE_S: Final = 5.0
_IN_DOUBT_S: Final = 0.5


class RedisBroker:
    """Keeps publications in Redis 7 or Valkey, one server or several, and shares them with other hubs there.

    With one server (or one master that sentinels name) everything of the contract holds. With several, each channel is
    whole on its own, but there is no log across them: `read_log` gives what is retained and is never complete.

    A channel that nobody is attached to, that keeps nothing and was not used for ten minutes (or the age of its history
    and the life of an idempotency key, if that is longer) is forgotten by the server.

    Attributes:
        node: names this broker among those that share the servers.
        has_log: log positions mean the same to all hubs: there is one server.
        callback_errors: exceptions of callbacks, which went to the event loop's handler.
    """

    name = "redis"
    shared = True

    def __init__(self, address: Address, random: Random) -> None:
        """Take what the URL says; connects to nothing yet.

        Raises:
            ConfigurationError: a file for TLS cannot be used.
        """
        self.durable = address.durable
        self.node = random(6).hex()
        self.callback_errors = 0
        self._address = address
        self._tls = address.tls_context()
        self._is_cluster = address.layout == "cluster"
        servers = len(address.hosts) if address.layout == "servers" else 1
        partitions = address.partitions if self._is_cluster else servers
        self._keys = [Keys(address.prefix, number, in_cluster=self._is_cluster) for number in range(partitions)]
        self._partition_of: Callable[[str], int] = lambda channel: 0
        if partitions > 1:
            self._partition_of = lambda channel: (partition_of if self._is_cluster else spread)(channel, partitions)
        self._numbers = Numbers() if partitions > 1 else None
        self.has_log = partitions == 1
        self._attached = Attached()
        self._sink: BrokerSink | None = None
        self._loop: asyncio.AbstractEventLoop
        self._shards: list[Shard] = []
        self._shard_of: list[Shard | None] = [None] * partitions
        self._overseer: asyncio.Task[None] | None = None
        self._doubt = asyncio.Event()
        self._settling = False
        self._unsettled = False
        self._write_due = False

    # --- Life --------------------------------------------------------------------------------------------------------

    async def start(self, sink: BrokerSink) -> None:
        """Connect; servers that cannot be reached yet are tried again and again, and everything is 108 meanwhile.

        Raises:
            ConfigurationError: a server refuses our name or password, or writes to its disk too late to be durable.
        """
        self._sink = sink
        self._loop = asyncio.get_running_loop()
        self._doubt = asyncio.Event()
        try:
            if self._is_cluster:
                try:
                    await self._arrange()
                except NoServer as error:
                    _log.warning("broker: %s", error)
            else:
                for keys, host in zip(self._keys, self._address.hosts, strict=False):
                    self._add_shard([keys], host)
                await asyncio.gather(*(shard.start() for shard in self._shards))
        except BaseException:
            await self.stop()
            raise
        if self._address.layout != "servers":
            self._overseer = self._loop.create_task(self._oversee())

    async def stop(self) -> None:
        """Finish what is in flight within two seconds, fail the rest, close."""
        if self._sink is not None and self._loop.is_closed():
            # The loop ended without us: nothing of it can be waited for.
            self._overseer = None
            for shard in self._shards:
                shard.forget()
        overseer, self._overseer = self._overseer, None
        if overseer is not None:
            overseer.cancel()
            await asyncio.gather(overseer, return_exceptions=True)
        self._write_due = False
        self._shard_of = [None] * len(self._shard_of)
        await asyncio.gather(*(shard.stop(_PATIENCE_S) for shard in self._shards))
        self._settle()
        self._shards = []
        self._sink = None

    @property
    def problems(self) -> dict[str, str]:
        """Why servers cannot be asked, by their address; empty: all can."""
        return {str(shard.host): shard.problem for shard in self._shards if not shard.is_open}

    @property
    def malformed(self) -> int:
        """Messages on our Redis channels that no hub had sent."""
        return sum(shard.feed.malformed for shard in self._shards)

    def metrics(self) -> dict[str, float]:
        """Return how many servers cannot be asked, and what went wrong, by name of the metric."""
        return {
            "chappe_broker_servers_away": len(self.problems),
            "chappe_broker_malformed_total": self.malformed,
        }

    # --- Asking ------------------------------------------------------------------------------------------------------

    def append(self, batch: Sequence[Append], done: Done) -> None:
        """Store publications; what comes in one turn of the loop, or while others are in flight, goes at once."""
        call = Call(len(batch), done)
        for index, item in enumerate(batch):
            number = self._partition_of(item.channel)
            shard = self._shard_of[number]
            if shard is None or not shard.is_open:
                call.take(index, UNAVAILABLE)
            else:
                shard.pipeline.add(item, self._keys[number], call, index)
        if not call.ways:
            done(call.outcomes)
        else:
            self._plan_write()

    def read(self, request: Read, done: Callable[[ReadResult], None]) -> None:
        """Read a channel; a channel never heard of gets its epoch here, so that a later gap can be told."""
        number = self._partition_of(request.channel)
        shard = self._shard_of[number]
        if shard is None:
            done(UNREADABLE)
            return

        def read(reader: Reader) -> None:
            guarded(lambda: done(result_of(request, reader)), self._failed)

        Reader(shard.ask, self._keys[number], shard.origin(number), question_of(request), read).start()

    def read_log(self, request: ReadLog, done: Callable[[ReadLogResult], None]) -> None:
        """Read across channels; with several servers only what is retained."""

        def told(result: ReadLogResult) -> None:
            guarded(lambda: done(result), self._failed)

        shard = self._shard_of[0]
        if self._sink is None or shard is None:
            told(unreadable())
        elif self._numbers is None:
            read_log(shard, request, told)
        else:
            read_several(self._shards, f"{self.node}:{self._numbers.last}", self._numbers.last, request, told)

    def attach(self, channel: str) -> None:
        """Follow a channel or pattern; what is attached in one turn of the loop is asked for at once."""
        if self._attached.add(channel):
            for shard, keys in self._ways(channel):
                shard.subscriptions.add(channel, keys)
            self._plan_write()

    def detach(self, channel: str) -> None:
        """Follow a channel or pattern no more."""
        if self._attached.discard(channel):
            for shard, keys in self._ways(channel):
                shard.subscriptions.discard(channel, keys)
                shard.feed.forget((channel,))
            self._plan_write()

    # --- Doing -------------------------------------------------------------------------------------------------------

    def _plan_write(self) -> None:
        if self._shards and not self._write_due:
            self._write_due = True
            self._loop.call_soon(self._write)

    def _write(self) -> None:
        self._write_due = False
        for shard in self._shards:
            shard.write()

    def _settle(self) -> None:
        """Tell what outcomes there are, then give the feed on as far as that allows; inside itself it is put off."""
        self._unsettled = True
        if self._settling:
            return
        self._settling = True
        while self._unsettled:
            self._unsettled = False
            shards = tuple(self._shards)
            tell(settle([shard.pipeline for shard in shards]), self._failed)
            for shard in shards:
                shard.feed.told = shard.pipeline.told
                shard.feed.give(self._failed)
        self._settling = False

    def _failed(self, error: Exception) -> None:
        self.callback_errors += 1
        context = {"message": "a callback of the broker failed", "exception": error}
        self._loop.call_exception_handler(context)

    # --- Servers -----------------------------------------------------------------------------------------------------

    def _ways(self, name: str) -> list[tuple[Shard, Keys]]:
        """Return where a channel is, or for a pattern every place."""
        if is_pattern(name):
            return [(shard, keys) for shard in self._shards for keys in shard.partitions]
        number = self._partition_of(name)
        shard = self._shard_of[number]
        return [] if shard is None else [(shard, self._keys[number])]

    def _add_shard(self, partitions: Sequence[Keys], host: Host) -> Shard:
        async def open_connection() -> tuple[Host, Connection]:
            found = host
            if self._address.layout == "sentinel":
                found = await find_master(self._address, self._tls)
            return found, await connect(found, self._address, self._tls)

        feed = Feed(self.node, self._attached, self._partition_of, self._numbers)
        feed.sink = self._sink
        shard = Shard(
            self._address,
            partitions,
            feed,
            open_connection,
            alone=self._numbers is None,
            settle=self._settle,
            doubt=self._doubt.set,
        )
        self._shards.append(shard)
        for keys in partitions:
            self._shard_of[keys.number] = shard
            for name in (*self._attached.channels, *self._attached.patterns):
                if is_pattern(name) or self._partition_of(name) == keys.number:
                    shard.subscriptions.add(name, keys)
        return shard

    async def _oversee(self) -> None:
        """Follow the servers to where they are."""
        while True:
            in_doubt = self._doubt.is_set() or not self._shards or any(not shard.is_open for shard in self._shards)
            self._doubt.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_IN_DOUBT_S if in_doubt else _OVERSEE_S):
                    await self._doubt.wait()
            try:
                if self._is_cluster:
                    await self._arrange()
                elif any(shard.is_open for shard in self._shards):
                    master = await find_master(self._address, self._tls)
                    for shard in self._shards:
                        if shard.is_open and shard.host != master:
                            shard.drop()
            except NoServer as error:
                _log.debug("broker: %s", error)

    async def _arrange(self) -> None:
        """Serve each partition of a cluster where it is now; if that has changed, everything begins anew."""
        known = {shard.host: [keys.number for keys in shard.partitions] for shard in self._shards}
        seeds = [host for host in known if host is not None]
        nodes = await find_nodes(self._address, self._tls, self._keys, seeds)
        if known == {host: [keys.number for keys in partitions] for host, partitions in nodes.items()}:
            return
        old = self._shards
        self._shard_of = [None] * len(self._keys)
        await asyncio.gather(*(shard.stop(0.0) for shard in old))
        self._settle()
        self._shards = []
        if old:
            _log.warning("broker: the cluster has changed, %d nodes serve now", len(nodes))
        added = [self._add_shard(partitions, host) for host, partitions in nodes.items()]
        if old and added:
            added[0].feed.interrupt(None)
        await asyncio.gather(*(shard.start() for shard in added))
