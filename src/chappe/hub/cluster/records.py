"""Small facts that all nodes agree on: who has a name, who has a lock. Each is the last publication of its own channel.

A record changes only from what was read (`expect`), so that of two nodes that want the same thing one gets it. What is
in a record holds for as long as its node is alive and its time is not over; both are for who reads it to decide.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

from chappe.hub.cluster.bus import PREFIX
from chappe.hub.contracts import Append, Broker, Clock, Outcome, Read, ReadResult
from chappe.hub.namespaces import Level, Namespace
from chappe.model.error_codes import Code
from chappe.model.position import Position
from chappe.model.publication import Kind

#: Seconds the engine keeps a record that nobody writes again. Holders write theirs again within half of it.
RECORD_AGE_S: Final = 24 * 3_600.0
#: Records that one sweep looks at at the same time.
AT_ONCE: Final = 64
#: How often a change is tried again because another node was quicker.
_TRIES: Final = 8
T = TypeVar("T")
_KEPT: Final = Namespace(name="$hub", level=Level.RECOVERABLE, history_count=1, history_age_s=RECORD_AGE_S)


class Found(msgspec.Struct, frozen=True, gc=False):
    """A record as it was read.

    Attributes:
        value: None: there is none.
        position: what a change expects.
    """

    value: Any
    position: Position


class Changed(msgspec.Struct, frozen=True, gc=False):
    """What became of a change.

    Attributes:
        done: the new value is in force.
        error: 0, or 108: the engine does not say what became of it.
        value: what is in force: the new value, or the one that stood in the way; with an error what may be, if it was
            written.
    """

    done: bool
    error: int
    value: Any


Decide = Callable[[Any], Any]
"""Takes what is there (None: nothing) and returns what shall be; `KEEP` leaves it."""
KEEP: Final = object()


class Records:
    """Reads and changes records.

    Attributes:
        changes, conflicts, failures: counted.
        malformed: records that somebody else wrote; they count as none.
    """

    def __init__(self, broker: Broker, clock: Clock) -> None:
        self._broker = broker
        self._clock = clock
        self.changes = self.conflicts = self.failures = self.malformed = 0

    def read(self, key: str, done: Callable[[Found | None], None], of: Any = Any) -> None:
        """Read a record of a type; None: the engine does not answer."""

        def answered(result: ReadResult) -> None:
            if result.error:
                self.failures += 1
                done(None)
                return
            last = result.publications[-1] if result.publications else None
            done(Found(self._decode(last.payload, of) if last is not None else None, result.position))

        self._broker.read(Read(_channel(key), _KEPT, None, 1), answered)

    def change(self, key: str, decide: Decide, done: Callable[[Changed], None], of: Any = Any) -> None:
        """Change a record by what is there, again if another node changes it meanwhile.

        `decide` is called with each value that is found and must not keep what it decided before.
        """
        self._try(key, decide, done, of, _TRIES)

    def _try(self, key: str, decide: Decide, done: Callable[[Changed], None], of: Any, left: int) -> None:
        def found(record: Found | None) -> None:
            if record is None:
                done(Changed(False, Code.NOT_AVAILABLE, None))
                return
            wanted = decide(record.value)
            if wanted is KEEP or (wanted is None and record.value is None):
                done(Changed(wanted is None, 0, record.value))
                return
            self._write(key, wanted, record.position, written)

        def written(outcome: Outcome, wanted: Any) -> None:
            if not outcome.error:
                self.changes += 1
                done(Changed(True, 0, wanted))
            elif outcome.error == Code.CONFLICT and left > 1:
                self.conflicts += 1
                self._try(key, decide, done, of, left - 1)
            else:
                self.failures += 1
                is_known = outcome.error == Code.CONFLICT
                done(Changed(False, Code.NOT_AVAILABLE, None if is_known else wanted))

        self.read(key, found, of)

    def _decode(self, payload: bytes, of: Any) -> Any:
        if not payload:
            return None
        try:
            return msgspec.msgpack.decode(payload, type=of)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.malformed += 1
            return None

    def _write(self, key: str, value: Any, expect: Position, done: Callable[[Outcome, Any], None]) -> None:
        payload = msgspec.msgpack.encode(value) if value is not None else b""

        def answered(outcomes: Sequence[Outcome]) -> None:
            done(outcomes[0], value)

        entry = Append(_channel(key), payload, Kind.BINARY, self._clock.wall_ms(), _KEPT, expect=expect)
        self._broker.append([entry], answered)


class Sweep(Generic[T]):
    """Looks at many records, a few at a time, so that what clients ask comes in between."""

    def __init__(self, look: Callable[[T, Callable[[], None]], None]) -> None:
        """Take what looks at one and then calls back."""
        self._look = look
        self._waiting: deque[T] = deque()
        self._busy = 0
        self._filling = False

    def begin(self, items: Iterable[T]) -> None:
        """Look at these; what was still to be looked at is forgotten for them."""
        self._waiting = deque(items)
        self._fill()

    def _fill(self) -> None:
        if self._filling:
            # An answer inside the question: the loop below goes on.
            return
        self._filling = True
        while self._waiting and self._busy < AT_ONCE:
            self._busy += 1
            self._look(self._waiting.popleft(), self._looked)
        self._filling = False

    def _looked(self) -> None:
        self._busy -= 1
        self._fill()


def _channel(key: str) -> str:
    """Return the channel of a record; keys are any text, and channels are not."""
    return f"{PREFIX}record/{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"
