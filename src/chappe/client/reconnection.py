"""When to dial again: the policy, and the state of one client between its connections.

No I/O, no clock and no randomness here: the caller draws the random number and does the waiting. The states are data:

    CONNECTING --CONNECTED--> CONNECTED --LOST--> WAITING --DIAL--> CONNECTING
    CONNECTING --LOST--> WAITING        any --STOP--> ENDED
"""

import enum
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from chappe.model.errors import LocalProtocolError

Jitter: TypeAlias = Literal["full", "none"]

#: Close codes below 3000 that a new connection would only meet again: our messages are too large for this server.
_FINAL_CODES: Final = frozenset({1009})
#: HTTP answers to the opening handshake that may differ next time; every other 3xx and 4xx is final.
_PASSING_STATUSES: Final = frozenset({408, 421, 425, 429})


def may_reconnect(code: int) -> bool:
    """Tell from a close code whether to dial again (interfaces, "Codes").

    3000-3499 and 4000-4499 reconnect, 3500-3999 and 4500-4999 stop. Below 3000 are WebSocket's own codes (RFC 6455,
    7.4.1), 1006 for a cut among them: all reconnect but 1009.
    """
    if code >= 3000:
        return code % 1000 < 500
    return code not in _FINAL_CODES


def may_retry_status(status: int) -> bool:
    """Tell from the HTTP status of a refused handshake whether to dial again."""
    return not 300 <= status < 500 or status in _PASSING_STATUSES


@dataclass(frozen=True, kw_only=True)
class ReconnectionPolicy:
    """How long to wait before each attempt, and how many to make.

    Attributes:
        interval_ms: attempt n waits up to `interval_ms * 2 ** (n - 1)`.
        max_ms: but never longer than this.
        jitter: `full` draws the wait evenly between 0 and that bound, so that a thousand clients do not come back in
            step (AWS, "Exponential Backoff And Jitter"); `none` waits the whole bound.
        max_attempts: attempts in a row before giving up; 0 is for ever.
    """

    interval_ms: int = 1_000
    max_ms: int = 30_000
    jitter: Jitter = "full"
    max_attempts: int = 0

    def __post_init__(self) -> None:
        for name, least in (("interval_ms", 0), ("max_ms", 0), ("max_attempts", 0)):
            value = getattr(self, name)
            if value < least:
                raise LocalProtocolError(f"reconnect option {name} is {value}, expected {least} or more")
        if self.jitter not in ("full", "none"):
            raise LocalProtocolError(f"reconnect option jitter is {self.jitter!r}, expected 'full' or 'none'")

    def bound_ms(self, attempt: int) -> int:
        """Return the longest wait before an attempt, counted from 1."""
        # 2 ** 40 intervals are past every sensible maximum: a client that tries for years computes no giant numbers.
        return int(min(self.max_ms, self.interval_ms * 2 ** min(attempt - 1, 40)))

    def delay_ms(self, attempt: int, random: float) -> float:
        """Return the wait before an attempt.

        Args:
            attempt: counted from 1.
            random: drawn evenly from [0, 1).
        """
        bound = self.bound_ms(attempt)
        return bound * random if self.jitter == "full" else float(bound)


class State(enum.Enum):
    """What a client does about its connection."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    WAITING = "waiting"
    ENDED = "ended"


class Input(enum.Enum):
    """What happens to a connection."""

    CONNECTED = "connected"
    LOST = "lost"
    DIAL = "dial"
    STOP = "stop"


TRANSITIONS: Final[dict[tuple[State, Input], State]] = {
    (State.CONNECTING, Input.CONNECTED): State.CONNECTED,
    (State.CONNECTING, Input.LOST): State.WAITING,
    (State.CONNECTED, Input.LOST): State.WAITING,
    (State.WAITING, Input.DIAL): State.CONNECTING,
    **{(state, Input.STOP): State.ENDED for state in State},
}


@dataclass(frozen=True)
class Wait:
    """Dial for the `attempt`-th time after `delay_ms`."""

    attempt: int
    delay_ms: float


class Reconnection:
    """The state of one client between its connections; begins by dialing."""

    def __init__(self, policy: ReconnectionPolicy) -> None:
        self.policy = policy
        self.state = State.CONNECTING
        self.attempt = 0

    def advance(self, happened: Input) -> None:
        """Follow the table.

        Raises:
            LocalProtocolError: nothing of the kind can happen in this state.
        """
        target = TRANSITIONS.get((self.state, happened))
        if target is None:
            raise LocalProtocolError(f"{happened.value} cannot happen while {self.state.value}")
        self.state = target

    def connected(self) -> None:
        """Learn that the server accepted us: the counter restarts."""
        self.advance(Input.CONNECTED)
        self.attempt = 0

    def lost(self, random: float, not_before_ms: float = 0.0) -> Wait | None:
        """Learn that an attempt failed or a connection went; return the next attempt, or None: give up.

        Call `dial` when the wait is over, or earlier, when the network comes back.

        Args:
            random: drawn evenly from [0, 1).
            not_before_ms: what the server asked for; heeded up to `policy.max_ms`.
        """
        self.advance(Input.LOST)
        self.attempt += 1
        if 0 < self.policy.max_attempts < self.attempt:
            self.advance(Input.STOP)
            return None
        asked_ms = min(not_before_ms, self.policy.max_ms)
        return Wait(self.attempt, max(self.policy.delay_ms(self.attempt, random), asked_ms))

    def dial(self) -> None:
        """Learn that the next attempt begins."""
        self.advance(Input.DIAL)

    def stop(self) -> None:
        """End for good: the user disconnected, or the server's answer was final."""
        self.advance(Input.STOP)
