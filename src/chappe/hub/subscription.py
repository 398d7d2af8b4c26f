"""A subscription: one session's interest in one channel or pattern."""

import enum
from typing import TYPE_CHECKING

from chappe.model.publication import Publication

if TYPE_CHECKING:
    from chappe.hub.session import Session


class Stage(enum.Enum):
    """How far a subscription has come."""

    READING = "reading"  #: history is being read; live publications are kept aside
    FOLLOWING = "following"  #: answered, but the feed is behind the answer: what was answered already is skipped
    LIVE = "live"  #: in the audience


class Subscription:
    """One session's interest in one channel or pattern.

    Attributes:
        name: channel or pattern.
        watches: whether joins and leaves are told.
        after: skip publications up to here: an offset of `epoch`, or for a pattern a sequence of the log.
        brought: place of the first publication that came with the answer; 0: none did.
        waiting: live publications that came while history was read, in order; None: none did.
        stale: the feed was interrupted while history was read, so it must be read again.
    """

    __slots__ = ("after", "brought", "epoch", "name", "session", "stage", "stale", "waiting", "watches")

    def __init__(self, session: "Session", name: str, watches: bool) -> None:
        self.session = session
        self.name = name
        self.watches = watches
        self.stage = Stage.READING
        self.epoch = ""
        self.after = 0
        self.brought = 0
        # Most answers come inside the question: nothing ever waits for them.
        self.waiting: list[Publication] | None = None
        self.stale = False

    def has_brought(self, place: int) -> bool:
        """Tell whether a publication went out with the answer, so that the feed's copy is not wanted any more."""
        return 0 < self.brought <= place <= self.after
