"""Appends on their way: gathered while others are in flight, written at once, answered in order."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from chappe.brokers.redis.connection import Command, ConnectionLost, ReplyError
from chappe.brokers.redis.entries import Keys, encode
from chappe.brokers.redis.scripts import META_AGE_S, RENEWAL_S, Script
from chappe.hub.contracts import IDEMPOTENCY_S, Append, Outcome
from chappe.hub.namespaces import Namespace
from chappe.model.error_codes import Code
from chappe.model.position import Position

#: What is written at once: the server answers all of it in a few milliseconds.
BATCH_APPENDS: Final = 1_000
BATCH_BYTES: Final = 1_048_576

NOWHERE: Final = Position("", 0)
UNAVAILABLE: Final = Outcome(Code.NOT_AVAILABLE, NOWHERE)
#: Channels whose renewal is remembered; beyond, all are renewed once more.
_MOST_RENEWED: Final = 20_000
_DUPLICATE: Final = 1

Done = Callable[[Sequence[Outcome]], None]


class Call:
    """One call of `append`, told when every outcome is there and every call before it on its ways was told.

    Attributes:
        outcomes: in the order of the appends; None: not there yet.
        left: how many are not there yet.
        ways: the pipelines it goes by, each with the number of its last append there.
    """

    __slots__ = ("done", "left", "outcomes", "ways")

    def __init__(self, count: int, done: Done) -> None:
        self.done = done
        self.outcomes: list[Outcome] = [UNAVAILABLE] * count
        self.left = count
        self.ways: dict[Pipeline, int] = {}

    def take(self, index: int, outcome: Outcome) -> None:
        """Take the outcome of one append."""
        self.outcomes[index] = outcome
        self.left -= 1


class _Waiting:
    """An append that has no outcome yet."""

    __slots__ = ("call", "index", "is_second", "item", "keys", "number")

    def __init__(self, item: Append, keys: Keys, number: int, call: Call, index: int) -> None:
        self.item = item
        self.keys = keys
        self.number = number
        self.call = call
        self.index = index
        self.is_second = False


Send = Callable[[list[tuple[Command, Callable[[Any], None]]]], None]


class Pipeline:
    """The appends to one server: at most one write of them is in flight, the next is gathered meanwhile.

    Attributes:
        order: calls that were not told yet, in their order.
        told: number of the last append whose outcome was told.
        refusals: texts of errors by which the server refused, for the log.
        needs_scripts: the server forgot the scripts; they have to be loaded before the next write.
    """

    def __init__(self, node: str, script: Script, now: Callable[[], float]) -> None:
        self.order: deque[Call] = deque()
        self.told = 0
        self.refusals: list[str] = []
        self.needs_scripts = False
        self._node = node
        self._sha = script.sha
        self._now = now
        self._renewed: dict[str, float] = {}
        self._number = 0
        self._queue: deque[_Waiting] = deque()
        self._flying: deque[_Waiting] = deque()
        self._again: list[_Waiting] = []

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits."""
        return not self._queue and not self._flying

    def add(self, item: Append, keys: Keys, call: Call, index: int) -> None:
        """Let an append wait for the next write."""
        if not self.order or self.order[-1] is not call:
            self.order.append(call)
        self._number += 1
        call.ways[self] = self._number
        self._queue.append(_Waiting(item, keys, self._number, call, index))

    def fail(self) -> None:
        """Answer all that waits to be written: 108, it was not stored."""
        for waiting in (*self._again, *self._queue):
            waiting.call.take(waiting.index, UNAVAILABLE)
        self._again.clear()
        self._queue.clear()

    def write(self, server: str, generation: Callable[[int], str | None], send: Send) -> None:
        """Write what waits, unless something is in flight.

        Args:
            server: run id of the server.
            generation: tells that of a partition.
        """
        if self._flying or not self._queue:
            return
        commands: list[tuple[Command, Callable[[Any], None]]] = []
        left = BATCH_BYTES
        now = self._now()
        while self._queue and left > 0 and len(commands) < BATCH_APPENDS:
            waiting = self._queue.popleft()
            self._flying.append(waiting)
            left -= len(waiting.item.payload)
            known = generation(waiting.keys.number) or ""
            commands.append((self._command(waiting, server, known, now), self._answered))
        send(commands)

    def _answered(self, answer: Any) -> None:
        waiting = self._flying.popleft()
        if isinstance(answer, bytes):
            epoch, _, offset = answer.decode().rpartition(":")
            waiting.call.take(waiting.index, Outcome(0, Position(epoch, int(offset))))
        elif isinstance(answer, list):
            code, place = answer
            epoch, _, offset = place.decode().rpartition(":")
            duplicate = code == _DUPLICATE
            waiting.call.take(waiting.index, Outcome(0 if duplicate else code, Position(epoch, int(offset)), duplicate))
        elif isinstance(answer, ReplyError) and str(answer).startswith("NOSCRIPT") and not waiting.is_second:
            # Somebody flushed the scripts: all that flies with it comes back the same way, and goes again in its order.
            waiting.is_second = self.needs_scripts = True
            self._again.append(waiting)
        else:
            if isinstance(answer, ReplyError):
                self.refusals.append(str(answer))
            waiting.call.take(waiting.index, UNAVAILABLE)
        if not self._flying and self._again:
            self._queue.extendleft(reversed(self._again))
            self._again.clear()
            if isinstance(answer, ConnectionLost):
                self.fail()

    def _command(self, waiting: _Waiting, server: str, generation: str, now: float) -> Command:
        item, keys, namespace = waiting.item, waiting.keys, waiting.item.namespace
        channel, expect = item.channel, item.expect
        keyed = item.key is not None
        what = "t" if item.transient else "s"
        if item.retain and not item.transient:
            what = "r" if item.payload else "c"
        return (
            "EVALSHA",
            self._sha,
            6 if keyed else 5,
            keys.meta(channel),
            keys.history(channel),
            keys.state,
            keys.index,
            keys.slots,
            *((keys.idempotency(item),) if keyed else ()),
            encode(item, self._node, waiting.number),
            channel,
            generation,
            f"{self._node}{waiting.number:x}",
            server,
            what,
            namespace.history_count if namespace.keeps_history else 0,
            int(namespace.history_age_s * 1000),
            meta_age_ms(namespace) if self._renews(channel, now) else "",
            expect.epoch if expect is not None else "",
            str(expect.offset) if expect is not None else "",
            *keys.feeds(channel),
        )

    def _renews(self, channel: str, now: float) -> bool:
        """Tell whether it is time to renew the lives of a channel's keys: not each publication has to."""
        renewed = self._renewed
        if renewed.get(channel, -RENEWAL_S) + RENEWAL_S / 2 > now:
            return False
        if len(renewed) >= _MOST_RENEWED:
            renewed.clear()
        renewed[channel] = now
        return True


def meta_age_ms(namespace: Namespace) -> int:
    """Return how long a channel is remembered: longer than its history and the keys of its publishers."""
    return int((max(META_AGE_S, namespace.history_age_s + IDEMPOTENCY_S) + RENEWAL_S) * 1000)


def settle(pipelines: Sequence[Pipeline]) -> list[Call]:
    """Take out the calls that may be told now, in order; a call of several servers waits for its turn at each."""
    ready: list[Call] = []
    found = True
    while found:
        found = False
        for pipeline in pipelines:
            while pipeline.order and pipeline.order[0].left == 0:
                call = pipeline.order[0]
                if any(way.order[0] is not call for way in call.ways):
                    break
                for way, number in call.ways.items():
                    way.order.popleft()
                    way.told = number
                ready.append(call)
                found = True
    return ready
