"""Joins topics of an outside MQTT broker with channels of the hub.

Promises, at QoS 1 and 2. Inwards a message is confirmed when the hub's broker has it. Outwards it stays in the outbox,
and where the namespace keeps a history in that, until the outside broker confirms it; the place is written about once a
second, so that after the end of this process a second's messages may go out twice. Messages of one channel keep their
order. Of several nodes one carries the bridge; when it dies another does within `LEASE_S`.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from typing import Final

import msgspec
from paho.mqtt.properties import Properties

from chappe.bridges.mqtt.address import Address
from chappe.bridges.mqtt.claim import LEASE_S, RENEWAL_S, Claim
from chappe.bridges.mqtt.confirming import Arrival
from chappe.bridges.mqtt.feed import Feed
from chappe.bridges.mqtt.incoming import Incoming
from chappe.bridges.mqtt.line import Line, packed, publish_properties
from chappe.bridges.mqtt.marks import Echoes, mark_of, passing
from chappe.bridges.mqtt.outbox import DEFAULT_BYTES, DEFAULT_MESSAGES, Item, Outbox
from chappe.bridges.mqtt.refusal import RefusalError
from chappe.bridges.mqtt.topics import Mapping
from chappe.hub.bridges import BridgeState, BridgeStatus
from chappe.hub.hub import HubCore
from chappe.hub.namespaces import Access
from chappe.model.channels import is_pattern, namespace_of
from chappe.model.errors import ConfigurationError
from chappe.model.publication import Kind

__all__ = ["LEASE_S", "MqttBridge", "Options"]

_log = logging.getLogger("chappe.bridge")
#: How often the place is written while it moves.
_WRITE_S: Final = 1.0
#: What a stopping bridge gives the outside broker to confirm what is under way.
DRAIN_S: Final = 5.0
#: Longest exponent of the backoff that makes a difference.
_DOUBLINGS: Final = 16


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a bridge is made of.

    Attributes:
        client_id: empty: one is made, and kept in the hub's broker.
        reconnect_interval_ms, reconnect_max_ms: attempt n waits up to interval x 2^(n-1), with full jitter.
        outbox_messages, outbox_bytes: what may wait for the outside broker.
    """

    name: str
    address: Address
    mappings: tuple[Mapping, ...]
    client_id: str = ""
    reconnect_interval_ms: int = 1_000
    reconnect_max_ms: int = 30_000
    outbox_messages: int = DEFAULT_MESSAGES
    outbox_bytes: int = DEFAULT_BYTES


class MqttBridge:
    """One bridge.

    Attributes:
        is_carrying: this node has the bridge now.
        is_connected: and it has a connection, and follows its topics there.
    """

    def __init__(self, hub: HubCore, options: Options) -> None:
        """Put a bridge together; nothing is connected yet.

        Raises:
            ConfigurationError: a file of a certificate cannot be used, or a pattern would bring nothing out.
        """
        options.address.tls_context()
        _check_readable(hub, options.mappings)
        self._hub = hub
        self._options = options
        self._claim = Claim(hub, options.name, options.client_id)
        self._outbox = Outbox(options.outbox_messages, options.outbox_bytes)
        self._counts: Counter[str] = Counter()
        self._line: Line | None = None
        self._incoming: Incoming | None = None
        self._echoes: Echoes | None = None
        self._feeds: list[Feed] = []
        self._mark = ""
        self._problem = ""
        self._tripped = asyncio.Event()
        self._moved = asyncio.Event()
        self._pumping = False
        self._told_dropped = 0
        self._task: asyncio.Task[None] | None = None
        self.is_carrying = False
        self.is_connected = False

    def start(self) -> None:
        """Begin, and begin again whatever happens, until `stop`."""
        self._tripped, self._moved = asyncio.Event(), asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._keep_going())

    async def stop(self) -> None:
        """Send what waits, if there is a connection and within `DRAIN_S`; end, and let another node have the bridge."""
        task, self._task = self._task, None
        if task is None:
            return
        for feed in self._feeds:
            feed.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while self.is_connected and len(self._outbox):
                    self._moved.clear()
                    await self._moved.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def status(self) -> BridgeStatus:
        """Tell how it is."""
        state: BridgeState = "connecting" if self.is_carrying else "standing-by"
        if self._task is None:
            state = "stopped"
        elif self.is_connected:
            state = "connected"
        counts = {"received": 0, "sent": 0, "refused": 0, "looped": 0, "known": 0, "connections": 0, "rejected": 0}
        counts |= self._counts
        counts |= self._incoming.counts if self._incoming is not None else {}
        counts |= {f"dropped_{reason.replace('-', '_')}": count for reason, count in self._outbox.dropped.items()}
        counts["dropped"] = self._outbox.dropped.total()
        counts["gaps"] = self._counts["gaps"] + sum(feed.gaps for feed in self._feeds)
        counts |= {"waiting": len(self._outbox), "waiting_bytes": self._outbox.bytes}
        return BridgeStatus(
            name=self._options.name,
            kind="mqtt",
            peer=self._options.address.peer,
            state=state,
            carrier=self._hub.node if self.is_carrying else self._claim.carrier,
            problem="" if self.is_connected else self._problem,
            counts=counts,
        )

    # --- Carrying ----------------------------------------------------------------------------------------------------

    async def _keep_going(self) -> None:
        while True:
            if await self._claim.take():
                await self._carry()
            else:
                await asyncio.sleep(RENEWAL_S)

    async def _carry(self) -> None:
        """Carry messages until another node does."""
        record = self._claim.record
        assert record is not None
        _log.info("bridge %s: this node carries it, as client %s", self._options.name, record.client_id)
        self._set_up(record.client_id)
        self.is_carrying = True
        connecting = asyncio.create_task(self._connect_again_and_again())
        try:
            for feed in self._feeds:
                feed.start(record.places.get(feed.mapping.local, ""))
            await self._keep_claim(connecting)
        finally:
            for feed in self._feeds:
                feed.stop()
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)
            self.is_carrying = False
            self._counts["gaps"] += sum(feed.gaps for feed in self._feeds)
            places = self._places()
            lost = self._outbox.clear("stopped", self._is_lost)
            self._feeds = []
            if lost:
                _log.warning("bridge %s: %s messages are lost: nothing keeps them", self._options.name, lost)
            await self._claim.give_back(places)

    def _set_up(self, client_id: str) -> None:
        options = self._options
        self._mark = mark_of(client_id)
        self._echoes = None if options.address.version == "5" else Echoes()
        keeps = self._claim.survives or bool(options.client_id)
        self._line = Line(options.address, client_id, keeps=keeps, heard=self._heard, confirmed=self._confirmed)
        former = self._incoming
        self._incoming = Incoming(
            self._hub, options.mappings, self._mark, self._echoes, self._line.confirm, self._not_stored
        )
        if former is not None:
            self._incoming.counts = former.counts
        self._feeds = [
            Feed(self._hub, mapping, self._outbox, self._mark, self._pump)
            for mapping in options.mappings
            if mapping.goes_out
        ]
        for feed in self._feeds:
            feed.is_connected = lambda: self.is_connected

    def _places(self) -> dict[str, str]:
        return {feed.mapping.local: feed.place for feed in self._feeds if feed.place}

    def _is_lost(self, item: Item) -> bool:
        return not (self._claim.survives and item.feed.survives)

    async def _keep_claim(self, connecting: asyncio.Task[None]) -> None:
        written, wait_s = self._places(), _WRITE_S
        renewed = self._hub.clock.now()
        while not self._claim.is_over and not connecting.done():
            await asyncio.wait((connecting,), timeout=wait_s)
            places = self._places()
            if places == written and self._hub.clock.now() - renewed < RENEWAL_S:
                continue
            if not await self._claim.keep(places):
                _log.warning("bridge %s: another node carries it now", self._options.name)
                return
            written, renewed = places, self._hub.clock.now()
        if connecting.done() and not connecting.cancelled() and connecting.exception() is not None:
            _log.error("bridge %s: %r", self._options.name, connecting.exception(), exc_info=connecting.exception())
            await asyncio.sleep(RENEWAL_S)

    # --- Connecting --------------------------------------------------------------------------------------------------

    async def _connect_again_and_again(self) -> None:
        attempt = 0
        line = self._line
        assert line is not None
        try:
            while True:
                try:
                    await line.open()
                    attempt = 0
                    await self._connected(line)
                except RefusalError as error:
                    self._note(str(error))
                finally:
                    self._cut()
                await line.close()
                attempt += 1
                await asyncio.sleep(self._delay_s(attempt))
        finally:
            await line.close()

    async def _connected(self, line: Line) -> None:
        """Follow the topics, send what waits; return when the hub cannot store, to be given the same again later.

        Raises:
            RefusalError: the connection ended.
        """
        self._counts["connections"] += 1
        if self._counts["connections"] > 1 and not line.capabilities.session_present:
            self._counts["sessions_lost"] += 1
            _log.warning("bridge %s: the broker kept nothing of what came meanwhile", self._options.name)
        if self._echoes is not None:
            for item in self._outbox.under_way.values():
                self._expect_echo(item)
        self._tripped.clear()
        refused = await line.follow([mapping for mapping in self._options.mappings if mapping.goes_in])
        for name in refused:
            _log.warning("bridge %s: the broker refuses the subscription to %s", self._options.name, name)
        self._problem = f"the broker refuses the subscription to {', '.join(refused)}" if refused else ""
        self.is_connected = True
        _log.info("bridge %s: connected to %s", self._options.name, self._options.address.peer)
        self._tell_dropped()
        self._pump()
        lost = asyncio.ensure_future(line.lost())
        tripped = asyncio.ensure_future(self._tripped.wait())
        try:
            await asyncio.wait((lost, tripped), return_when=asyncio.FIRST_COMPLETED)
            if lost.done():
                lost.result()
            else:
                self._note("the hub's broker does not store")
        finally:
            for task in (lost, tripped):
                task.cancel()
            await asyncio.gather(lost, tripped, return_exceptions=True)

    def _cut(self) -> None:
        self.is_connected = False
        self._outbox.cut()
        self._moved.set()

    def _note(self, problem: str) -> None:
        if problem != self._problem or self.is_connected:
            _log.warning("bridge %s: %s", self._options.name, problem)
        self._problem = problem

    def _tell_dropped(self) -> None:
        dropped = self._outbox.dropped.total() - self._told_dropped
        if dropped:
            self._told_dropped += dropped
            reasons = ", ".join(f"{reason} {count}" for reason, count in self._outbox.dropped.items())
            _log.warning("bridge %s: %s messages were dropped (in all: %s)", self._options.name, dropped, reasons)

    def _delay_s(self, attempt: int) -> float:
        interval_ms: int = self._options.reconnect_interval_ms << min(attempt - 1, _DOUBLINGS)
        most = min(interval_ms, self._options.reconnect_max_ms)
        share: float = int.from_bytes(self._hub.random(4), "big") / 2**32
        return most / 1_000 * share

    # --- In ----------------------------------------------------------------------------------------------------------

    def _heard(self, arrival: Arrival) -> None:
        if self._incoming is not None and self.is_carrying:
            self._incoming.arrived(arrival)

    def _not_stored(self, arrival: Arrival) -> None:
        """Begin the connection anew: the broker sends again what was not confirmed, in its order."""
        if self._line is not None:
            self._line.forget(arrival)
        self._tripped.set()

    # --- Out ---------------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Send what may be sent."""
        line = self._line
        if self._pumping or not self.is_connected or line is None or not line.is_open:
            return
        self._pumping = True
        try:
            while (item := self._outbox.next(line.capabilities.inflight)) is not None:
                self._send(line, item)
            if self._outbox.is_half_empty:
                for feed in self._feeds:
                    feed.catch_up()
        finally:
            self._pumping = False

    def _send(self, line: Line, item: Item) -> None:
        able = line.capabilities
        properties, size = None, 0
        if self._options.address.version == "5":
            properties = self._properties(item)
            size = len(item.payload) + len(item.topic.encode()) + len(packed(properties)) + 16
        if able.packet_bytes and size > able.packet_bytes:
            _log.warning("bridge %s: a message of %s is too large for the broker", self._options.name, item.topic[:255])
            self._outbox.drop(item, "too-large")
            return
        item.qos = min(item.qos, able.maximum_qos)
        self._expect_echo(item)
        packet_id = line.send(item.topic, item.payload, item.qos, bool(item.retain) and able.retain, properties)
        self._outbox.sent(packet_id, item)

    def _expect_echo(self, item: Item) -> None:
        incoming = self._incoming
        if self._echoes is not None and incoming is not None and incoming.channel_of(item.topic) is not None:
            self._echoes.remember(item.topic, item.payload, self._hub.clock.now())

    def _properties(self, item: Item) -> Properties:
        publication = item.publication
        properties = publish_properties()
        properties.UserProperty = list(passing(self._mark, publication.headers).items())
        if publication.kind is not Kind.BINARY:
            properties.PayloadFormatIndicator = 1
        if publication.kind is Kind.JSON and publication.payload[:1] != b'"':
            properties.ContentType = "application/json"
        return properties

    def _confirmed(self, packet_id: int, taken: bool, reason: str) -> None:
        item = self._outbox.confirmed(packet_id)
        if item is None:
            return
        if taken:
            self._counts["sent"] += 1
        else:
            self._counts["rejected"] += 1
            _log.warning("bridge %s: the broker refuses a message of %s: %s", self._options.name, item.topic, reason)
        self._moved.set()
        self._pump()


def _check_readable(hub: HubCore, mappings: tuple[Mapping, ...]) -> None:
    """Refuse what would silently bring nothing: a pattern does not reach into a namespace that nobody reads."""
    for mapping in mappings:
        namespace = hub.namespaces.of(mapping.local)
        is_wide = is_pattern(namespace_of(mapping.local))
        if mapping.goes_out and is_pattern(mapping.local) and not is_wide and namespace.subscribe is Access.NOBODY:
            raise ConfigurationError(
                f"topic {mapping.pattern!r} goes out by pattern, but namespace {namespace.name!r} says "
                'subscribe = "nobody"; use subscribe = "token", or name the channels'
            )
