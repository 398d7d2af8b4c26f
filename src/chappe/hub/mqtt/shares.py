"""What nodes tell each other about groups whose members are connected to several of them."""

from typing import TYPE_CHECKING, Final

import msgspec

from chappe.hub.mqtt.choosing import Place
from chappe.hub.mqtt.seen import Told
from chappe.model.publication import Publication
from chappe.protocols.base import SincePosition

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chappe.hub.mqtt.groups import Group
    from chappe.hub.mqtt.records import Record
    from chappe.protocols.mqtt.window import Delivery

#: A node has sessions of members, and none is connected; or it has not even those.
ONLY_AWAY: Final = -1
NOTHING: Final = -2
#: Places in one message.
_AT_ONCE: Final = 1_000
JOIN: Final = "mqtt.join"
SHARES: Final = "mqtt.shares"
DONE: Final = "mqtt.done"
GIVE: Final = "mqtt.give"
ENDED: Final = "mqtt.ended"
LAST: Final = "mqtt.last"


class Known(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a node says to one that gets its first member of a group.

    Attributes:
        share: the highest QoS of its members, or that there is none.
        mine: what its members have not acknowledged.
        done: what nobody needs any more.
    """

    share: int
    mine: list[Place]
    done: Told


class Shares(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Which groups a node has; the places are of those without a connected member.

    Attributes:
        shares: by name.
        places: of groups without a connected member.
        is_whole: there are no others.
    """

    shares: dict[str, int]
    places: dict[str, SincePosition]
    is_whole: bool = False


class Given(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Messages of a group that a node is to send on, if it does not know them.

    Attributes:
        is_certain: who had them does not have them any more: only what is under way is known.
    """

    name: str
    places: list[Place]
    is_certain: bool = False


class Ended(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The members of a group at a node take nothing more.

    Attributes:
        left: what they did not acknowledge.
        held: what others were to send on, or what came before it was known who does; maybe they have.
        place: up to where the last one was served.
    """

    name: str
    left: list[Place]
    held: list[Place]
    place: SincePosition | None


class Alone:
    """Groups of a hub that shares its broker with nobody."""

    def metrics(self) -> dict[str, float]:
        """Return nothing."""
        return {}

    def stop(self) -> None:
        """There is nothing to stop."""

    def has_others(self, name: str) -> bool:
        """There are no others."""
        return False

    def begin(self, group: "Group") -> None:
        """Ask nobody."""

    def changed(self, group: "Group") -> None:
        """Tell nobody."""

    def is_over(self, group: "Group") -> bool:
        """Nobody else has it."""
        return True

    def is_ours(self, group: "Group", publication: Publication, qos: int) -> bool:
        """Everything is."""
        return True

    def finished(self, name: str, place: Place, *, at_once: bool = False) -> None:
        """Tell nobody."""

    def ended(self, group: "Group", left: "Iterable[Delivery]", place: SincePosition | None) -> None:
        """Tell nobody."""

    def give(self, name: str, places: list[Place]) -> None:
        """There is nobody to take them."""

    def learn_places(self, records: "list[Record]", node: str | None = None) -> None:
        """There is nobody who could go on from them."""


def parts_of(places: list[Place]) -> list[list[Place]]:
    """Return places in as many parts as there have to be messages."""
    return [places[start : start + _AT_ONCE] for start in range(0, len(places), _AT_ONCE)]
