"""What a subscription of a client is doing: its states and what leads from one to the next.

OFFLINE --ASK--> ASKING --ANSWERED--> FOLLOWING --OVERFLOWED--> LAGGING --ASK--> ASKING
ASKING, FOLLOWING --LOST--> OFFLINE      any --END--> ENDED
"""

import enum
from typing import Final

from chappe.model.errors import LocalProtocolError


class Stage(enum.Enum):
    """What a subscription is doing."""

    OFFLINE = "offline"  #: waits for a connection, or for its turn to ask again
    ASKING = "asking"
    FOLLOWING = "following"
    LAGGING = "lagging"  #: left the channel until its user has taken what is queued
    ENDED = "ended"


class Input(enum.Enum):
    """What happens to a subscription."""

    ASK = "ask"
    ANSWERED = "answered"
    LOST = "lost"
    OVERFLOWED = "overflowed"
    END = "end"


TRANSITIONS: Final[dict[tuple[Stage, Input], Stage]] = {
    (Stage.OFFLINE, Input.ASK): Stage.ASKING,
    (Stage.OFFLINE, Input.LOST): Stage.OFFLINE,
    (Stage.ASKING, Input.ANSWERED): Stage.FOLLOWING,
    (Stage.ASKING, Input.LOST): Stage.OFFLINE,
    (Stage.FOLLOWING, Input.LOST): Stage.OFFLINE,
    (Stage.FOLLOWING, Input.OVERFLOWED): Stage.LAGGING,
    (Stage.LAGGING, Input.ASK): Stage.ASKING,
    (Stage.LAGGING, Input.LOST): Stage.LAGGING,
    **{(stage, Input.END): Stage.ENDED for stage in Stage},
}


def advance(stage: Stage, happened: Input) -> Stage:
    """Follow the table.

    Raises:
        LocalProtocolError: nothing of the kind can happen in this stage.
    """
    target = TRANSITIONS.get((stage, happened))
    if target is None:
        raise LocalProtocolError(f"{happened.value} cannot happen to a subscription that is {stage.value}")
    return target
