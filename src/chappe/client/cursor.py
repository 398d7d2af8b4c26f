"""Where a subscriber is: which publications are new to it, and from where it asks for what it missed.

No I/O here, so that every order of answers, cuts and duplicates can be tested.
"""

from collections import OrderedDict
from typing import Any, Final, Literal, Protocol, TypeAlias

from chappe.client.messages import Publication, Reply
from chappe.model.position import Position

Since: TypeAlias = Position | Literal["latest"] | int | None
"""Where to begin: after a position, at the newest publication, with the newest `count`, or with what comes next."""

#: Channels of a pattern whose last offset is remembered to tell duplicates; the channel unheard longest goes first.
MAX_PATTERN_CHANNELS: Final = 10_000


class Cursor(Protocol):
    """The place of one subscription."""

    @property
    def position(self) -> Position | None:
        """Return the place after the last publication taken, if there is one to speak of."""

    def since(self) -> Any:
        """Return what the next subscribe asks for, as it goes on the wire; None: from now on."""

    def answered(self, reply: Reply) -> bool:
        """Take the answer to a subscribe; return whether all that was asked for follows."""

    def admit(self, publication: Publication) -> bool:
        """Tell whether a publication is new, and move behind it."""

    def forget(self) -> None:
        """Begin anew: the place is worth nothing to the hub."""


class ChannelCursor:
    """The place of a subscription to one channel: an epoch and an offset."""

    def __init__(self, since: Since) -> None:
        self._since = since
        self._place = since if isinstance(since, Position) else None
        # After the first answer to a backlog asked by count: the backlog lies before it, what comes lies behind it.
        self._floor: Position | None = None
        self._retained = Retained()

    @property
    def position(self) -> Position | None:
        """Return the place after the last publication taken."""
        return self._place or self._floor

    def since(self) -> Any:
        """Return what the next subscribe asks for.

        A backlog is asked for once: the same count would begin elsewhere the second time and could hide a gap.
        """
        place = self.position
        return self._since if place is None else {"epoch": place.epoch, "offset": place.offset}

    def answered(self, reply: Reply) -> bool:
        """Take the answer to a subscribe; return whether all that was asked for follows.

        A backlog that a cut interrupted counts as incomplete: how much of it came cannot be told.
        """
        if reply.epoch is None:
            self._place = self._floor = None
            return reply.recovered
        told = Position(reply.epoch, reply.offset)
        asked = self.position
        if asked is None:
            if self._wants_backlog and reply.offset:
                self._floor = told
            else:
                self._place = told
            return reply.recovered
        follows = reply.recovered and asked.epoch == told.epoch
        complete = follows and self._floor is None
        self._place = asked if follows else told
        self._floor = None
        return complete

    def admit(self, publication: Publication) -> bool:
        """Tell whether a publication is new, and move behind it; one without a place is always new."""
        place = publication.position
        if place is None:
            return True
        if publication.retained:
            return self._retained.is_new(publication)
        if _is_behind(place, self._place):
            return False
        self._place = place
        self._floor = None
        self._retained.seen(publication)
        return True

    def forget(self) -> None:
        """Begin anew: the place is worth nothing to the hub."""
        self._since = self._place = self._floor = None

    @property
    def _wants_backlog(self) -> bool:
        return self._since == "latest" or (isinstance(self._since, int) and self._since > 0)


class PatternCursor:
    """The place of a subscription to a pattern: a position in the hub's log, and the last offset of each channel.

    Publications do not say their log position, so a gap is asked for from the last complete answer on; what came since
    is told by its channel's offset.
    """

    def __init__(self, since: Since) -> None:
        self._since = since
        self._log: str | None = None
        self._places: OrderedDict[str, Position] = OrderedDict()
        self._retained = Retained()

    @property
    def position(self) -> Position | None:
        """A pattern has no epoch and offset."""
        return None

    def since(self) -> Any:
        """Return what the next subscribe asks for."""
        return self._since if self._log is None else {"position": self._log}

    def answered(self, reply: Reply) -> bool:
        """Take the answer to a subscribe; return whether all that was asked for follows."""
        if not reply.recovered:
            self._log = reply.position
        return reply.recovered

    def admit(self, publication: Publication) -> bool:
        """Tell whether a publication is new in its channel, and move behind it."""
        place = publication.position
        if place is None:
            return True
        if publication.retained:
            return self._retained.is_new(publication)
        if _is_behind(place, self._places.get(publication.channel)):
            return False
        self._places[publication.channel] = place
        self._places.move_to_end(publication.channel)
        if len(self._places) > MAX_PATTERN_CHANNELS:
            self._places.popitem(last=False)
        self._retained.seen(publication)
        return True

    def forget(self) -> None:
        """Begin anew: the place is worth nothing to the hub."""
        self._since = self._log = None


class Retained:
    """What a channel's retained slot said: it comes again with every subscribe, and is news only once."""

    def __init__(self) -> None:
        self._told: OrderedDict[str, Position] = OrderedDict()

    def seen(self, publication: Publication) -> None:
        """Remember what came live."""
        if publication.position is not None:
            self._remember(publication.channel, publication.position)

    def is_new(self, publication: Publication) -> bool:
        """Tell whether the slot says something that was not told, and remember it."""
        place = publication.position
        assert place is not None
        if _is_behind(place, self._told.get(publication.channel)):
            return False
        self._remember(publication.channel, place)
        return True

    def _remember(self, channel: str, place: Position) -> None:
        self._told[channel] = place
        self._told.move_to_end(channel)
        if len(self._told) > MAX_PATTERN_CHANNELS:
            self._told.popitem(last=False)


def _is_behind(place: Position, here: Position | None) -> bool:
    return here is not None and here.epoch == place.epoch and place.offset <= here.offset
