"""Which messages a group knows of: stretches of offsets in each channel, since nearly all of them come in order."""

from collections.abc import Iterable
from typing import Final, TypeAlias

from chappe.hub.mqtt.choosing import Place

#: Channels that are remembered; above, the one that had nothing new for longest is forgotten.
MOST_CHANNELS: Final = 4_096
#: Stretches that are remembered of one channel; above, the oldest is forgotten.
MOST_STRETCHES: Final = 256

Stretch: TypeAlias = tuple[int, int]
"""First and last offset."""
Told: TypeAlias = list[tuple[str, str, list[Stretch]]]
"""Channel, epoch and stretches, as nodes tell each other."""


class Seen:
    """What of each channel came, was told of, or is known to be done with.

    Offsets may have gaps. What the feed brings comes in order and whole, so whatever lies between two messages of it
    does not exist; after `pause` that is not known.
    """

    __slots__ = ("_latest", "_stretches")

    def __init__(self, told: Iterable[tuple[str, str, list[Stretch]]] = ()) -> None:
        self._stretches: dict[tuple[str, str], list[Stretch]] = {}
        # The last offset that the feed brought, while it goes on without a pause.
        self._latest: dict[tuple[str, str], int] = {}
        self.merge(told)

    def take(self, place: Place) -> bool:
        """Learn of a message that the feed or the log brought; False: it is known already."""
        channel, epoch, offset = place
        key = (channel, epoch)
        latest = self._latest.get(key)
        is_new = place not in self
        if latest is not None and offset > latest:
            # Together with what cannot exist between the two.
            self._put(key, latest, offset)
        else:
            self._put(key, offset, offset)
        if latest is None or offset > latest:
            self._latest[key] = offset
        return is_new

    def add(self, place: Place) -> bool:
        """Learn of a message from another node; False: it is known already."""
        is_new = place not in self
        if is_new:
            self._put(place[:2], place[2], place[2])
        return is_new

    def remove(self, place: Place) -> None:
        """Forget one message."""
        key, offset = place[:2], place[2]
        found = self._stretches.get(key, [])
        kept: list[Stretch] = []
        for first, last in found:
            if first <= offset <= last:
                kept += [each for each in ((first, offset - 1), (offset + 1, last)) if each[0] <= each[1]]
            else:
                kept.append((first, last))
        if found:
            self._stretches[key] = kept

    def pause(self) -> None:
        """Learn that the feed ends here, or may have lost something."""
        self._latest.clear()

    def merge(self, told: Iterable[tuple[str, str, list[Stretch]]]) -> None:
        """Learn what another node knows."""
        for channel, epoch, stretches in told:
            for first, last in stretches:
                if first <= last:
                    self._put((channel, epoch), first, last)

    def without(self, places: Iterable[Place]) -> Told:
        """Return everything but these messages."""
        left = Seen()
        left._stretches = {key: list(found) for key, found in self._stretches.items()}
        for place in places:
            left.remove(place)
        return [(channel, epoch, found) for (channel, epoch), found in left._stretches.items() if found]

    def __contains__(self, place: Place) -> bool:
        offset = place[2]
        return any(first <= offset <= last for first, last in reversed(self._stretches.get(place[:2], ())))

    def _put(self, key: tuple[str, str], first: int, last: int) -> None:
        found = self._stretches.pop(key, None) or []
        self._stretches[key] = found
        if found and found[-1][0] <= first <= found[-1][1] + 1:
            # As nearly always: it goes on where the last stretch ends.
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            apart = [each for each in found if each[1] < first - 1 or each[0] > last + 1]
            touched = [each for each in found if not (each[1] < first - 1 or each[0] > last + 1)]
            joined = (min([first, *(each[0] for each in touched)]), max([last, *(each[1] for each in touched)]))
            found[:] = sorted([*apart, joined])
            del found[:-MOST_STRETCHES]
        if len(self._stretches) > MOST_CHANNELS:
            oldest = next(iter(self._stretches))
            del self._stretches[oldest]
            self._latest.pop(oldest, None)
