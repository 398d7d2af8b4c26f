"""Who carries a bridge, and how far it came: one record in the hub's own broker, changed only from what was read.

The record is a lease: it holds for `LEASE_S`, or until the node that wrote it is gone. It also has what the next
carrier needs: the client id, under which the outside broker kept what came meanwhile, and the places up to which that
has all.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec

from chappe.hub.contracts import Append, Outcome, Read, ReadResult
from chappe.hub.hub import HubCore
from chappe.hub.namespaces import Level, Namespace
from chappe.model.error_codes import Code
from chappe.model.position import Position
from chappe.model.publication import Kind

#: How long the right to carry a bridge lasts without being renewed, seconds.
LEASE_S: Final = 10.0
#: How often it is renewed, or looked at by those who wait: three failures lose it.
RENEWAL_S: Final = 3.0
#: An answer of the broker that takes longer is a failure.
_ANSWER_S: Final = 2.0
#: A record outlives every absence that a history would.
_RECORD_AGE_S: Final = 30 * 24 * 3_600.0
_ID_BYTES: Final = 8
T = TypeVar("T")


class Record(msgspec.Struct, frozen=True):
    """What is kept about a bridge.

    Attributes:
        node: who carries it; empty: nobody.
        expires_ms: wall clock at which that ends.
        places: how far the outside broker has what mappings send it, by channel or pattern.
    """

    node: str
    expires_ms: int
    client_id: str
    places: dict[str, str]


class Claim:
    """This node's claim to a bridge.

    Attributes:
        record: as it was read or written last.
        survives: what is written here is found again when this process is gone.
    """

    def __init__(self, hub: HubCore, name: str, client_id: str) -> None:
        """Take the name of the bridge, and a client id if the configuration names one."""
        self._hub = hub
        self._channel = f"$hub/bridge/{name}"
        level = Level.DURABLE if hub.broker.durable else Level.RECOVERABLE
        self._namespace = Namespace(name="$hub", level=level, history_count=1, history_age_s=_RECORD_AGE_S)
        self._client_id = client_id
        self._position = Position("", 0)
        self._renewed_at = float("-inf")
        self.record: Record | None = None
        self.survives = hub.broker.durable or hub.broker.shared

    @property
    def is_over(self) -> bool:
        """Whether another node may carry the bridge by now."""
        return self._hub.clock.now() - self._renewed_at >= LEASE_S - RENEWAL_S / 2

    @property
    def carrier(self) -> str:
        """The node that has it, as far as is known here."""
        return self.record.node if self.record is not None and self._is_held(self.record) else ""

    async def take(self) -> bool:
        """Take the bridge if nobody else has it; False: somebody has, or the broker does not answer."""
        if not await self._look():
            return False
        record = self.record
        if record is not None and record.node != self._hub.node and self._is_held(record):
            return False
        made = record.client_id if record is not None else f"chappe-{self._hub.random(_ID_BYTES).hex()}"
        client_id = self._client_id or made
        return await self._write(client_id, record.places if record is not None else {})

    async def keep(self, places: dict[str, str]) -> bool:
        """Renew, and write how far it came; False: another node has it now. A failure is tried again next time."""
        assert self.record is not None
        if await self._write(self.record.client_id, places):
            return True
        # Ours may have been written although nobody said so; or it was another's.
        if not await self._look():
            return True
        if not self._is_ours():
            return False
        await self._write(self.record.client_id, places)
        return True

    async def give_back(self, places: dict[str, str]) -> None:
        """Let others carry the bridge at once, from these places on."""
        if self.record is not None and self._is_ours():
            await self._write(self.record.client_id, places, node="")

    def _is_ours(self) -> bool:
        return self.record is not None and self.record.node == self._hub.node

    def _is_held(self, record: Record) -> bool:
        if not record.node:
            return False
        cluster = self._hub.cluster
        if cluster is None:
            # Its process is gone: a broker of one process has one.
            return record.node == self._hub.node
        alive = record.node == self._hub.node or cluster.nodes.is_alive(record.node)
        return alive and record.expires_ms > self._hub.clock.wall_ms()

    async def _look(self) -> bool:
        def read(done: Callable[[ReadResult], None]) -> None:
            self._hub.broker.read(Read(self._channel, self._namespace, None, 1), done)

        result = await _answer(read)
        if result is None or result.error:
            return False
        self._position = result.position
        last = result.publications[-1].payload if result.publications else b""
        try:
            self.record = msgspec.json.decode(last, type=Record) if last else None
        except msgspec.DecodeError:
            self.record = None
        return True

    async def _write(self, client_id: str, places: dict[str, str], node: str | None = None) -> bool:
        began, clock = self._hub.clock.now(), self._hub.clock
        holder = self._hub.node if node is None else node
        record = Record(holder, clock.wall_ms() + round(LEASE_S * 1_000), client_id, dict(places))
        entry = Append(
            self._channel,
            msgspec.json.encode(record),
            Kind.JSON,
            clock.wall_ms(),
            self._namespace,
            expect=self._position,
        )

        def write(done: Callable[[Sequence[Outcome]], None]) -> None:
            self._hub.broker.append((entry,), done)

        outcomes = await _answer(write)
        if outcomes is None or outcomes[0].error:
            if outcomes is not None and outcomes[0].error == Code.CONFLICT:
                self._position = outcomes[0].position
            return False
        self._position, self.record, self._renewed_at = outcomes[0].position, record, began
        return True


async def _answer(ask: Callable[[Callable[[T], None]], Any]) -> T | None:
    """Ask the broker and wait; None: no answer in time."""
    answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def done(value: T) -> None:
        if not answer.done():
            answer.set_result(value)

    ask(done)
    try:
        async with asyncio.timeout(_ANSWER_S):
            return await answer
    except TimeoutError:
        return None
