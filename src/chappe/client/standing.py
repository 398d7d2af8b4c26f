"""What a user of a client sees of its connection: its states and what leads from one to the next.

connecting --ACCEPT--> live            connecting --RESUME--> catching-up --CATCH_UP--> live
connecting, live, catching-up --LOSE--> offline --DIAL--> connecting
any --REFUSE--> refused                any --QUIT--> offline

The words are those of the JavaScript SDK.
"""

import enum
from collections.abc import Callable
from typing import Final, Literal, TypeAlias, get_args

from chappe.model.errors import LocalProtocolError

State: TypeAlias = Literal["connecting", "live", "catching-up", "offline", "refused"]
"""What a client is.

- `connecting`: dialing, or waiting for the server to accept us
- `catching-up`: connected again, what was missed is on its way
- `live`: connected, and every subscription is up to date
- `offline`: no connection; the reason says why
- `refused`: the server said no and will say no again; nothing is tried any more
"""
OfflineReason: TypeAlias = Literal["no_network", "hub_down", "background"]
"""Why there is no connection; `background` is the JavaScript SDK's alone."""


class Input(enum.Enum):
    """What happens to a client."""

    DIAL = "dial"
    ACCEPT = "accept"  #: nothing was missed
    RESUME = "resume"  #: what was missed is asked for
    CATCH_UP = "catch_up"  #: everything missed has arrived, or is known to be lost
    LOSE = "lose"
    REFUSE = "refuse"
    QUIT = "quit"  #: the user's own disconnect


_CONNECTED: Final[tuple[State, ...]] = ("live", "catching-up")
TRANSITIONS: Final[dict[tuple[State, Input], State]] = {
    ("connecting", Input.DIAL): "connecting",
    ("connecting", Input.ACCEPT): "live",
    ("connecting", Input.RESUME): "catching-up",
    ("catching-up", Input.CATCH_UP): "live",
    ("offline", Input.DIAL): "connecting",
    # Another transport takes over while the old one still runs.
    **{(state, Input.ACCEPT): "live" for state in _CONNECTED},
    **{(state, Input.RESUME): "catching-up" for state in _CONNECTED},
    ("connecting", Input.LOSE): "offline",
    ("live", Input.LOSE): "offline",
    ("catching-up", Input.LOSE): "offline",
    ("offline", Input.LOSE): "offline",
    **{(state, Input.REFUSE): "refused" for state in get_args(State)},
    **{(state, Input.QUIT): "offline" for state in get_args(State)},
}


class Standing:
    """The state of one client; begins by connecting."""

    def __init__(self, told: Callable[[State, OfflineReason | None], None]) -> None:
        """Call `told` at each change."""
        self._told = told
        self.state: State = "connecting"
        self.reason: OfflineReason | None = None

    def move(self, happened: Input, reason: OfflineReason | None = None) -> None:
        """Follow the table.

        Args:
            happened: what.
            reason: why there is no connection, where there is none.
        Raises:
            LocalProtocolError: nothing of the kind can happen in this state.
        """
        target = TRANSITIONS.get((self.state, happened))
        if target is None:
            raise LocalProtocolError(f"{happened.value} cannot happen to a client that is {self.state}")
        if (target, reason) != (self.state, self.reason):
            self.state, self.reason = target, reason
            self._told(target, reason)
