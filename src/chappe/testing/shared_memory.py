"""One memory broker for several hubs of a process: an engine for the nodes of a cluster, with ways that can be cut."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from chappe.brokers.memory import MemoryBroker
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
from chappe.model.channels import is_pattern, pattern_matches
from chappe.model.error_codes import Code
from chappe.model.position import Position
from chappe.model.publication import Publication

_NOWHERE: Final = Position("", 0)


class SharedMemory:
    """The engine. `broker()` gives each hub its own way to it.

    Attributes:
        nodes: the hubs' brokers.
        latency_s: how long a call takes to the engine, and its answer back.
    """

    def __init__(self, clock: Clock, random: Random, latency_s: float = 0.001) -> None:
        self.clock = clock
        self.latency_s = latency_s
        self.inner = MemoryBroker(clock, random)
        self.nodes: list[NodeBroker] = []

    def broker(self) -> "NodeBroker":
        """Return a broker for one more hub."""
        node = NodeBroker(self)
        self.nodes.append(node)
        return node

    async def join(self) -> None:
        """Start the engine with the first node."""
        await self.inner.start(_Spread(self.nodes))


class NodeBroker:
    """One hub's broker over a `SharedMemory`.

    Attributes:
        is_cut: nothing reaches the engine and nothing comes from it.
        attached: channels and patterns whose feed this node asked for.
        loses: which publications never come here, although nobody notices.
    """

    name = "shared-memory"
    durable = False
    shared = True

    def __init__(self, engine: SharedMemory) -> None:
        self.is_cut = False
        self.attached: set[str] = set()
        self.loses: Callable[[Publication], bool] = lambda publication: False
        self._engine = engine
        self._sink: BrokerSink | None = None
        self._agenda: deque[Callable[[], None]] = deque()

    async def start(self, sink: BrokerSink) -> None:
        """Reach the engine."""
        self._sink = sink
        if self._engine.nodes[0] is self:
            await self._engine.join()

    async def stop(self) -> None:
        """Answer what is on its way, be heard no more."""
        while self._agenda:
            self._agenda.popleft()()
        self._sink = None

    def cut(self) -> None:
        """Let nothing through until `restore`."""
        self.is_cut = True

    def restore(self) -> None:
        """Let everything through again; the hub is told that it may have missed something."""
        self.is_cut = False
        self.interrupt()

    def interrupt(self) -> None:
        """Tell the hub that its feed may have lost publications."""
        self._later(lambda: self._sink.interrupted(None) if self._sink is not None else None)

    def append(self, batch: Sequence[Append], done: Callable[[Sequence[Outcome]], None]) -> None:
        """Store after the way there, answer after the way back."""
        refused = [Outcome(Code.NOT_AVAILABLE, _NOWHERE)] * len(batch)
        if self._sink is None:
            done(refused)
            return

        def answered(outcomes: Sequence[Outcome]) -> None:
            self._later(lambda: done(refused if self.is_cut else outcomes))

        def store() -> None:
            if self.is_cut:
                answered(refused)
            else:
                self._engine.inner.append(batch, answered)

        self._later(store)

    def read(self, request: Read, done: Callable[[ReadResult], None]) -> None:
        """Read after the way there, answer after the way back."""
        unknown = ReadResult(Code.NOT_AVAILABLE, _NOWHERE)
        self._ask(lambda answered: self._engine.inner.read(request, answered), unknown, done)

    def read_log(self, request: ReadLog, done: Callable[[ReadLogResult], None]) -> None:
        """Read across channels, likewise."""
        unknown = ReadLogResult(Code.NOT_AVAILABLE, "")
        self._ask(lambda answered: self._engine.inner.read_log(request, answered), unknown, done)

    def attach(self, channel: str) -> None:
        """Ask for a feed."""
        self.attached.add(channel)
        self._engine.inner.attach(channel)

    def detach(self, channel: str) -> None:
        """Give a feed up."""
        self.attached.discard(channel)
        if not any(channel in node.attached for node in self._engine.nodes):
            self._engine.inner.detach(channel)

    def feed(self, batch: Sequence[Publication]) -> None:
        """Take what the engine spreads, if it is asked for here."""
        wanted = [each for each in batch if self._wants(each.channel) and not self.loses(each)]
        if wanted and not self.is_cut:
            # Behind the outcome, which is on its way since before.
            self._later(lambda: self._later(lambda: self._deliver(wanted)))

    def _deliver(self, batch: Sequence[Publication]) -> None:
        if self._sink is not None and not self.is_cut:
            self._sink.published(batch)

    def _wants(self, channel: str) -> bool:
        patterns = (name for name in self.attached if is_pattern(name))
        return channel in self.attached or any(pattern_matches(pattern, channel) for pattern in patterns)

    def _ask(self, ask: Callable[[Callable[[Any], None]], None], unknown: Any, done: Callable[[Any], None]) -> None:
        if self._sink is None:
            done(unknown)
            return

        def answered(result: Any) -> None:
            self._later(lambda: done(unknown if self.is_cut else result))

        self._later(lambda: answered(unknown) if self.is_cut else ask(answered))

    def _later(self, call: Callable[[], None]) -> None:
        # All take the same time, so that their order holds.
        self._agenda.append(call)
        self._engine.clock.call_later(self._engine.latency_s, self._next)

    def _next(self) -> None:
        if self._agenda:
            self._agenda.popleft()()


class _Spread:
    """The engine's one feed, to all nodes."""

    def __init__(self, nodes: list[NodeBroker]) -> None:
        self._nodes = nodes

    def published(self, batch: Sequence[Publication]) -> None:
        """Pass it on."""
        for node in self._nodes:
            node.feed(batch)

    def interrupted(self, channels: Sequence[str] | None) -> None:
        """Pass it on; a memory broker loses nothing."""
        for node in self._nodes:
            node.interrupt()
