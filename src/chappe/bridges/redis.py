"""Plain Redis Pub/Sub: what any program publishes there is published here, and the other way round.

Redis keeps nothing and confirms nothing, so this is at most once: what is published without a connection is lost.
If several hubs have the same bridge, one of them at a time carries it; another takes over within ten seconds.
"""

import asyncio
import contextlib
import logging
from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Any, Final

from chappe.bridges.listening import Listener
from chappe.brokers.redis.address import Address, parse
from chappe.brokers.redis.connection import Connection, connect
from chappe.brokers.redis.topology import UNREACHABLE, NoServer, find_master
from chappe.hub.bridges import BridgeState, BridgeStatus
from chappe.hub.contracts import Outcome
from chappe.hub.hub import HubCore
from chappe.hub.permissions import APPLICATION
from chappe.model.channels import check_channel
from chappe.model.errors import ChappeError, ConfigurationError
from chappe.model.publication import Kind, Publication
from chappe.protocols import base

_log = logging.getLogger("chappe.bridge")

#: How long the right to carry the bridge lasts, and how often it is renewed: three failures lose it.
LEASE_S: Final = 10.0
_RENEWAL_S: Final = 3.0
_RETRY_S: Final = 1.0
#: Publications that came from Redis and are recognised when the feed brings them; the feed brings them soon.
_REMEMBERED: Final = 10_000
#: The lease is kept or taken in one step, and only by who has it.
_LEASE: Final = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""


class RedisBridge:
    """Joins Redis channels with channels of the hub, both ways.

    No message goes round: what came from Redis is known by its position when the feed brings it, and what was sent to
    Redis comes back on the same connection, once for each time it was sent, and is left out.

    Attributes:
        received, sent: messages from Redis that were published here, and publications that were sent there.
        refused: messages from Redis that the hub refused.
        is_carrying: this hub has the bridge now.
    """

    def __init__(self, hub: HubCore, url: str, channels: Mapping[str, str], name: str = "redis") -> None:
        """Take the hub, the channels of the hub by those of Redis, and how the bridge is called.

        Raises:
            ConfigurationError: the URL is not understood, is a cluster's, or two Redis channels have one channel.
        """
        self.name = name
        self.received = 0
        self.sent = 0
        self.refused = 0
        self.is_carrying = False
        self._address: Address = parse(url)
        if self._address.layout == "cluster" or (self._address.layout == "servers" and len(self._address.hosts) > 1):
            raise ConfigurationError("bridges.redis: the URL names several servers, expected one or its sentinels")
        if len(set(channels.values())) != len(channels):
            raise ConfigurationError("bridges.redis: two Redis channels have the same channel")
        for channel in channels.values():
            check_channel(channel)
        self._hub = hub
        self._inwards = dict(channels)
        self._outwards = {channel: name for name, channel in channels.items()}
        self._tls = self._address.tls_context()
        self._id = hub.random(8).hex()
        self._lease_key = f"{self._address.prefix}:bridge:{','.join(sorted(channels))}"
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._over = asyncio.Event()
        self._problem = ""
        self._echoes: dict[str, deque[bytes]] = {}
        self._imported: OrderedDict[tuple[str, str, int], None] = OrderedDict()

    def start(self) -> None:
        """Begin, and begin again whenever the connection is lost, until `stop`."""
        self._task = asyncio.get_running_loop().create_task(self._keep_going())

    async def stop(self) -> None:
        """End; another hub that has the bridge carries it when the lease is over."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def status(self) -> BridgeStatus:
        """Tell how it is; who else carries it is not known."""
        host = self._address.hosts[0]
        state: BridgeState = "stopped" if self._task is None else "connecting" if self._problem else "standing-by"
        return BridgeStatus(
            name=self.name,
            kind="redis",
            peer=f"{'rediss' if self._address.tls else 'redis'}://{host}",
            state="connected" if self.is_carrying else state,
            carrier=self._hub.node if self.is_carrying else "",
            problem="" if self.is_carrying else self._problem,
            counts={"received": self.received, "sent": self.sent, "refused": self.refused},
        )

    async def _keep_going(self) -> None:
        while True:
            try:
                await self._carry()
            except (*UNREACHABLE, NoServer, ConfigurationError) as error:
                problem = str(error) or type(error).__name__
                if problem != self._problem:
                    self._problem = problem
                    _log.warning("bridge to Redis: %s", problem)
            await asyncio.sleep(_RETRY_S)

    async def _carry(self) -> None:
        """Wait for the lease, then carry messages until the connection or the lease is lost."""
        host = self._address.hosts[0]
        if self._address.layout == "sentinel":
            host = await find_master(self._address, self._tls)
        connection = await connect(host, self._address, self._tls)
        try:
            self._problem = ""
            while not await self._lease(connection):  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(_RENEWAL_S)
            self._over.clear()
            self._connection = connection
            connection.on_plain = self._arrived
            connection.on_lost = self._over.set
            self._echoes = {name: deque() for name in self._inwards}
            connection.tell(("SUBSCRIBE", *self._inwards))
            # Behind this answer the subscriptions are in force.
            await connection.call("PING")
            listener = Listener(self._hub, self._outwards, self._published, self._over.set)
            self.is_carrying = True
            try:
                while not self._over.is_set() and await self._lease(connection):
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_RENEWAL_S):
                            await self._over.wait()
            finally:
                self.is_carrying = False
                listener.close()
        finally:
            self._connection = None
            connection.abort()

    async def _lease(self, connection: Connection) -> bool:
        async with asyncio.timeout(self._address.timeout_s):
            answer = await connection.call("EVAL", _LEASE, 1, self._lease_key, self._id, int(LEASE_S * 1000))
        return bool(answer == 1)

    # --- From Redis --------------------------------------------------------------------------------------------------

    def _arrived(self, name: str, payload: bytes) -> None:
        echoes, channel = self._echoes.get(name), self._inwards.get(name)
        if echoes is None or channel is None:
            return
        if payload in echoes:
            # Ours, or the same from somebody else just before it: either way one of the two goes in.
            echoes.remove(payload)
            return
        command = base.Publish(0, channel, payload, _kind(payload))
        try:
            self._hub.publish(APPLICATION, command, lambda outcome, _: self._stored(channel, outcome))
        except ChappeError as error:
            self.refused += 1
            _log.warning("bridge to Redis: a message for %s was refused: %s", channel, error)

    def _stored(self, channel: str, outcome: Outcome | None) -> None:
        if outcome is None or outcome.error:
            self.refused += 1
            return
        self.received += 1
        # The feed brings it after its outcome.
        self._imported[channel, outcome.position.epoch, outcome.position.offset] = None
        if len(self._imported) > _REMEMBERED:
            self._imported.popitem(last=False)

    # --- To Redis ----------------------------------------------------------------------------------------------------

    def _published(self, publication: Publication) -> None:
        place = (publication.channel, publication.epoch, publication.offset)
        if place in self._imported:
            del self._imported[place]
            return
        connection, name = self._connection, self._outwards[publication.channel]
        if connection is None or publication.retained:
            return
        payload = publication.as_raw()
        self._echoes[name].append(payload)
        connection.send(("PUBLISH", name, payload), _ignore)
        self.sent += 1


def _kind(payload: bytes) -> Kind:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return Kind.BINARY
    return Kind.TEXT


def _ignore(answer: Any) -> None:
    """Need no answer: Redis confirms nothing but how many heard it."""
