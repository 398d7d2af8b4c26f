"""How a message that comes round is known: it says which bridges it passed, or it is remembered.

With MQTT 5 a message carries its way as a user property, and so does the publication as a header: it holds over
restarts, on all nodes, and for rings of several hubs and brokers. MQTT 3.1.1 has no place for it: what was sent to a
topic that comes back too is remembered until it came, or for `ECHO_S`.
"""

import hashlib
from collections import deque
from collections.abc import Mapping
from typing import Final

#: The user property and the header: ids of bridges, comma-separated.
MARK: Final = "chappe-bridge"
#: An echo that takes longer never comes: the broker's part is a millisecond, a cut's some seconds.
ECHO_S: Final = 60.0
#: Messages remembered at the same time; beyond, the oldest is forgotten.
REMEMBERED: Final = 10_000
_NOTHING: Final[Mapping[str, str]] = {}


def mark_of(client_id: str) -> str:
    """Return the id of a bridge: the same as long as its client id is, and it tells nobody that."""
    return hashlib.blake2b(client_id.encode(), digest_size=6).hexdigest()


def has_passed(mark: str, headers: Mapping[str, str] | None) -> bool:
    """Tell whether something passed a bridge."""
    return mark in (headers or _NOTHING).get(MARK, "").split(",")


def passing(mark: str, headers: Mapping[str, str] | None) -> dict[str, str]:
    """Return the headers of something that passes a bridge now."""
    way = (headers or _NOTHING).get(MARK, "")
    return {**(headers or _NOTHING), MARK: f"{way},{mark}" if way else mark}


class Echoes:
    """What was sent and will come back, for brokers that mark nothing.

    Attributes:
        forgotten: what was remembered in vain.
    """

    def __init__(self) -> None:
        self._expected: dict[bytes, deque[float]] = {}
        # All deadlines in their order; those whose message came are still among them.
        self._order: deque[tuple[float, bytes]] = deque()
        self.forgotten = 0

    def remember(self, topic: str, payload: bytes, now: float) -> None:
        """Expect a message back once more."""
        self._forget(now)
        digest = _digest(topic, payload)
        self._expected.setdefault(digest, deque()).append(now + ECHO_S)
        self._order.append((now + ECHO_S, digest))
        if len(self._order) > REMEMBERED:
            self._pop()

    def recognize(self, topic: str, payload: bytes, now: float) -> bool:
        """Tell whether a message is one that was sent, and expect it once less."""
        self._forget(now)
        digest = _digest(topic, payload)
        deadlines = self._expected.get(digest)
        if deadlines is None:
            return False
        deadlines.popleft()
        if not deadlines:
            del self._expected[digest]
        return True

    def __len__(self) -> int:
        """Return how many are expected."""
        return sum(len(deadlines) for deadlines in self._expected.values())

    def _forget(self, now: float) -> None:
        while self._order and self._order[0][0] <= now:
            self._pop()

    def _pop(self) -> None:
        deadline, digest = self._order.popleft()
        deadlines = self._expected.get(digest)
        if deadlines is not None and deadlines[0] == deadline:
            deadlines.popleft()
            self.forgotten += 1
            if not deadlines:
                del self._expected[digest]


def _digest(topic: str, payload: bytes) -> bytes:
    return hashlib.blake2b(topic.encode("utf-8", "surrogatepass") + b"\0" + payload, digest_size=16).digest()
