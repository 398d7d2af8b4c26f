"""What a group takes in at one node: every message behind the group's place, from the feed or read from the log.

The feed brings what is new. What it does not bring (from before this node had a member, while the feed was interrupted,
or for which there was no room) is read when it is needed, in pages.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from chappe.hub.contracts import Read, ReadLog, ReadLogResult, ReadResult, Timer
from chappe.hub.mqtt.claim_log import RETRY_S
from chappe.hub.mqtt.claims import order_of, place_at
from chappe.model.channels import is_pattern
from chappe.model.position import Position
from chappe.model.publication import Publication
from chappe.protocols.base import SincePosition

if TYPE_CHECKING:
    from chappe.hub.hub import HubCore

#: Messages read at once.
_PAGE: Final = 500


class Intake:
    """Up to where one node knows every message of a filter.

    Attributes:
        gaps: how often the log had no more what was to be read.
    """

    def __init__(self, hub: "HubCore", pattern: str, accept: Callable[[Publication], bool]) -> None:
        """Give messages to `accept`, in order, each once; it returns False if it has no room for one now."""
        self.gaps = 0
        self._hub = hub
        self._pattern = pattern
        self._accept = accept
        self._is_pattern = is_pattern(pattern)
        # Without one log of all servers nothing can be read on from, and orders mean nothing to other nodes.
        self._has_log = not self._is_pattern or getattr(hub.broker, "has_log", True)
        self._begin: SincePosition | None = None
        self._life, self._order = "", 0
        self._is_behind = self._is_reading = self._is_paused = False
        self._missed = 0
        self._timer: Timer | None = None
        self._run = 0

    @property
    def place(self) -> SincePosition | None:
        """Up to where every message came; None: nobody knows."""
        if not self._has_log or self._begin is None or self._is_paused:
            return None
        return place_at(self._life, self._order, is_pattern=self._is_pattern)

    def order(self, publication: Publication) -> int:
        """Return what comes later in the log, or in the channel, by a higher number."""
        return (publication.log if self._is_pattern else publication.offset) if self._has_log else 0

    def floor(self, first: int | None, told: SincePosition | None) -> SincePosition | None:
        """Return up to where everything is done with; None: it is no more than what was told, or nobody knows.

        Args:
            first: the order of the first message that is not.
        """
        place = self.place
        if place is None or told is None:
            return None
        life, order = order_of(place)
        order = order if first is None else min(order, first - 1)
        told_life, told_order = order_of(told)
        is_more = life != told_life or order > told_order
        return place_at(life, order, is_pattern=self._is_pattern) if is_more else None

    def begins_at(self, place: SincePosition | None) -> SincePosition | None:
        """Return where a group begins whose first member came at a place; None: the broker cannot tell places."""
        return place if self._has_log else None

    def is_before(self, place: SincePosition | None) -> bool:
        """Tell whether a place is not behind this one: who follows from there brings all that is still to come."""
        return place is not None and order_of(place) <= (self._life, self._order)

    def follow(self, place: SincePosition | None) -> None:
        """Take everything from a place on; None: what the feed brings."""
        self.stop()
        self._begin = place
        if place is not None and self._has_log:
            self._life, self._order = order_of(place)
            self._is_behind = True
            self.go_on()

    def stop(self) -> None:
        """Take nothing more."""
        self._run += 1
        self._begin = None
        self._order = 0
        self._is_behind = self._is_reading = self._is_paused = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def pause(self) -> None:
        """Learn that the feed may have lost something; what it brings until `go_on` is read again."""
        if self._has_log:
            self._run += 1
            self._is_reading = False
            self._is_paused = self._is_behind = True

    def resume(self) -> None:
        """Read what it lost, now that it goes on."""
        if self._has_log:
            self._run += 1
            self._is_reading = self._is_paused = False
            self._is_behind = self._begin is not None
            self.go_on()

    def fed(self, publication: Publication) -> None:
        """Take what the feed brings, maybe several times."""
        order = publication.log if self._is_pattern else publication.offset
        if self._is_behind:
            self._missed = max(self._missed, order)
            return
        if not self._is_pattern and self._begin is not None and publication.epoch != self._life:
            # The channel begins anew.
            self._life, self._order = publication.epoch, 0
        if order > self._order:
            if self._accept(publication):
                self._order = order
            elif self._begin is not None and self._has_log:
                self._is_behind = True
            else:
                # Nothing can be read again.
                self.gaps += 1
                self._order = order

    def go_on(self) -> None:
        """Read on, if there is something to be read."""
        if self._is_behind and not self._is_reading and not self._is_paused and self._begin is not None:
            self._is_reading = True
            self._missed = 0
            self._read(self._run)

    def _read(self, run: int) -> None:
        def found(result: ReadResult | ReadLogResult) -> None:
            if run == self._run:
                self._take(result)

        broker, place = self._hub.broker, place_at(self._life, self._order, is_pattern=self._is_pattern)
        if place.position is not None:
            broker.read_log(ReadLog(self._pattern, place.position, _PAGE), found)
        else:
            namespace = self._hub.namespaces.of(self._pattern)
            broker.read(Read(self._pattern, namespace, Position(place.epoch, place.offset), _PAGE), found)

    def _take(self, result: ReadResult | ReadLogResult) -> None:
        if result.error:
            self._is_reading = False
            self._timer = self._hub.clock.call_later(RETRY_S, self.go_on)
            return
        life, last = _end_of(result)
        is_full = len(result.publications) >= _PAGE
        if life != self._life:
            self.gaps += 1
            self._life, self._order = life, 0
            self._is_reading = False
            self.go_on()
            return
        self.gaps += not (result.complete or is_full)
        run = self._run
        has_room = self._give(result.publications)
        if run != self._run:
            return
        self._is_reading = False
        if not has_room:
            return
        if not is_full:
            self._order = max(self._order, last)
        if is_full or self._missed > self._order:
            self.go_on()
        else:
            self._is_behind = False

    def _give(self, publications: Sequence[Publication]) -> bool:
        """Give messages on, up to the first for which there is no room; then return False."""
        for each in publications:
            order = each.log if self._is_pattern else each.offset
            if order > self._order:
                if not self._accept(each):
                    return False
                self._order = order
        return True


def _end_of(result: ReadResult | ReadLogResult) -> tuple[str, int]:
    """Return in which life the log or channel is, and its last place there."""
    if isinstance(result, ReadResult):
        return result.position.epoch, result.position.offset
    life, _, _ = result.position.rpartition(":")
    return life, result.sequence
