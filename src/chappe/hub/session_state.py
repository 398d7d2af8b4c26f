"""The life of a session: its states, what happens to it, and what follows.

A lost link ends the session at once: its name, its locks and its place in every room are free. What its private handle
is worth afterwards is kept apart (`connecting.Resumption`). The diagram in docs/concepts/session.md is drawn from
`TRANSITIONS` by tools/generate_state_diagram.py.
"""

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from chappe.model.errors import LocalProtocolError


class SessionState(enum.Enum):
    """What a session is."""

    NEW = "new"  #: the link is open and nobody has said who is there
    OPEN = "open"  #: connected: commands are served
    CLOSED = "closed"  #: over, for good


class SessionInput(enum.Enum):
    """What happens to a session."""

    RECV_CONNECT = "recv_connect"  #: the peer said who it is, or a first command did so without a word
    LINK_LOST = "link_lost"  #: the carrier ended
    EXPIRE = "expire"  #: a deadline passed: of the handshake, of the token, of idleness
    CLOSE = "close"  #: the hub, an operator or the peer ended it


TRANSITIONS: Final[Mapping[tuple[SessionState, SessionInput], SessionState]] = MappingProxyType(
    {
        (SessionState.NEW, SessionInput.RECV_CONNECT): SessionState.OPEN,
        (SessionState.NEW, SessionInput.LINK_LOST): SessionState.CLOSED,
        (SessionState.NEW, SessionInput.EXPIRE): SessionState.CLOSED,
        (SessionState.NEW, SessionInput.CLOSE): SessionState.CLOSED,
        (SessionState.OPEN, SessionInput.LINK_LOST): SessionState.CLOSED,
        (SessionState.OPEN, SessionInput.EXPIRE): SessionState.CLOSED,
        (SessionState.OPEN, SessionInput.CLOSE): SessionState.CLOSED,
        # Every link tells its end, so this follows each close; and two may close at once.
        (SessionState.CLOSED, SessionInput.LINK_LOST): SessionState.CLOSED,
        (SessionState.CLOSED, SessionInput.CLOSE): SessionState.CLOSED,
    }
)


def advance(state: SessionState, happened: SessionInput) -> SessionState:
    """Return the state that follows.

    Raises:
        LocalProtocolError: nothing follows, this may not happen in this state; the text names both.
    """
    following = TRANSITIONS.get((state, happened))
    if following is None:
        expected = ", ".join(i.value for s, i in TRANSITIONS if s is state)
        raise LocalProtocolError(f"session is {state.value} and cannot take {happened.value}, expected {expected}")
    return following
