"""Whose each message of a shared subscription is: what all nodes read out of the same log of claims, in its order.

Nobody decides by what it knows alone: a message is a node's when the log says so, and the first claim in it wins. So
nodes that know less, or know it later, only claim what others have already.
"""

from collections.abc import Iterable
from typing import Final, TypeAlias

import msgspec

from chappe.hub.mqtt.choosing import Place
from chappe.hub.mqtt.kinds import QOS_2
from chappe.protocols.base import SincePosition

#: A node has no members.
NOTHING: Final = -1
#: Places of messages that are done with and behind the group's place; beyond, the oldest are forgotten and may come
#: again to nodes that read them anew. A member that acknowledges nothing holds the group's place back.
MOST_DONE: Final = 65_536
#: Nodes whose last entry is remembered; those that said nothing for longest are forgotten.
_MOST_NUMBERS: Final = 256

Spot: TypeAlias = tuple[str, str, int, int]
"""Channel, epoch, offset and order of a message: its log position, or the offset where a filter has no wildcard."""


class Wanted(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A claim as it is asked for.

    Attributes:
        qos: what it will be sent with.
        client_id: whose session has it, if that is kept and it is sent with QoS 2; empty: the node's.
    """

    spot: Spot
    qos: int
    client_id: str = ""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, tag="e", gc=False):
    """What a node says in the log of a group; it holds in this order.

    Attributes:
        number: grows with each entry of a node: one that is stored twice counts once.
        gone: nodes that are gone, each with the offset of the entry by which it came.
        share: the highest QoS of its members, or that it has none: that holds last.
        since: where the group begins, if it has no place yet.
        kept, ended: sessions that are members, connected or not, and those that are not any more.
        done: messages that need no other member.
        over: sessions that are over: what was claimed for one and not named as done before was never sent.
        freed: claims that were not sent, or are given up, each with its offset.
        floor: before it everything is done with.
    """

    node: str
    number: int
    gone: list[tuple[str, int]] = []
    share: int | None = None
    since: SincePosition | None = None
    kept: list[str] = []
    done: list[Spot] = []
    freed: list[tuple[Spot, int]] = []
    claims: list[Wanted] = []
    ended: list[str] = []
    floor: SincePosition | None = None
    over: list[str] = []


class Claim(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A claim in force; `offset` is that of its entry."""

    offset: int
    node: str
    order: int
    qos: int
    client_id: str = ""


class Present(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A node with members; `offset` is that of the entry by which it came."""

    share: int
    offset: int


class Snapshot(msgspec.Struct, frozen=True, omit_defaults=True, tag="s", gc=False):
    """All that the log said up to an offset.

    Attributes:
        done: of each channel and epoch, offset and order of one message after the other.
    """

    offset: int
    floor: SincePosition | None
    nodes: dict[str, Present]
    kept: list[str]
    claims: list[tuple[Place, Claim]]
    done: list[tuple[str, str, list[int]]]
    numbers: dict[str, int]


class Changes(msgspec.Struct, gc=False):
    """What an entry did.

    Attributes:
        won, lost: of its claims.
        freed: places that may be claimed again, each with its order.
        finished: places that nobody needs any more.
        is_view: which nodes have members, or where the group is, is not what it was.
        is_over: nobody is a member any more: everything is forgotten.
    """

    won: list[tuple[Place, Claim]] = []
    lost: list[Place] = []
    freed: list[tuple[Place, int]] = []
    finished: list[Place] = []
    is_view: bool = False
    is_over: bool = False


class Claims:
    """One group as its log has it.

    Attributes:
        floor: before it everything is done with.
        nodes: those with members.
        kept: sessions that are members and outlive their connections.
        claims: what somebody has and is not done with.
        done: what is done with and not before the floor, each with its order.
        forgotten: places of done messages that were given up for want of room.
    """

    def __init__(self) -> None:
        self.floor: SincePosition | None = None
        self.nodes: dict[str, Present] = {}
        self.kept: dict[str, None] = {}
        self.claims: dict[Place, Claim] = {}
        self.done: dict[Place, int] = {}
        self.forgotten = 0
        self._numbers: dict[str, int] = {}
        self._life, self._order = "", -1

    # --- What it says ------------------------------------------------------------------------------------------------

    def is_done(self, place: Place, order: int) -> bool:
        """Tell whether nobody needs a message any more."""
        return place in self.done or self._is_past(place, order)

    @property
    def share(self) -> int:
        """The highest QoS that any member was granted."""
        return max((each.share for each in self.nodes.values()), default=NOTHING)

    @property
    def is_over(self) -> bool:
        """Nobody is a member."""
        return not self.nodes and not self.kept

    def snapshot(self, offset: int) -> Snapshot:
        """Return all of it, at the offset of the last entry."""
        done: dict[tuple[str, str], list[int]] = {}
        for (channel, epoch, place), order in self.done.items():
            done.setdefault((channel, epoch), []).extend((place, order))
        return Snapshot(
            offset,
            self.floor,
            dict(self.nodes),
            list(self.kept),
            list(self.claims.items()),
            [(channel, epoch, numbers) for (channel, epoch), numbers in done.items()],
            self._numbers,
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Be what a snapshot says."""
        self.nodes = dict(snapshot.nodes)
        self.kept = dict.fromkeys(snapshot.kept)
        self.claims = dict(snapshot.claims)
        self.done = {
            (channel, epoch, offset): order
            for channel, epoch, numbers in snapshot.done
            for offset, order in zip(numbers[::2], numbers[1::2], strict=True)
        }
        self._numbers = dict(snapshot.numbers)
        self._set_floor(snapshot.floor)

    # --- What the log says -------------------------------------------------------------------------------------------

    def apply(self, entry: Entry, offset: int) -> Changes:
        """Take the next entry of the log."""
        changes = Changes([], [], [], [])
        if self._is_repeated(entry):
            return changes
        for node, came_at in entry.gone:
            present = self.nodes.get(node)
            if present is not None and present.offset == came_at:
                self._leave(node, changes)
        self.kept.update(dict.fromkeys(entry.kept))
        if entry.share is not None and entry.share != NOTHING:
            former = self.nodes.get(entry.node)
            self.nodes[entry.node] = Present(entry.share, former.offset if former is not None else offset)
            changes.is_view = True
        if self.floor is None and entry.since is not None:
            self._set_floor(entry.since)
            changes.is_view = True
        self._finish(entry.done, changes)
        for spot, claimed_at in entry.freed:
            self._free(spot[:3], claimed_at, changes)
        # Before the claims: they may be for a new session of the same client.
        self._free_all(set(entry.over), changes)
        self._claim(entry, offset, changes)
        for client_id in entry.ended:
            self.kept.pop(client_id, None)
        if entry.share == NOTHING:
            self._leave(entry.node, changes)
        self._raise(entry.floor, changes)
        if self.is_over and (entry.ended or changes.is_view):
            self._clear(changes)
        return changes

    def _is_repeated(self, entry: Entry) -> bool:
        """Tell whether an entry came before; its node wrote it again because the engine did not answer."""
        former = self._numbers.pop(entry.node, 0)
        self._numbers[entry.node] = max(former, entry.number)
        if entry.number <= former:
            return True
        if len(self._numbers) > _MOST_NUMBERS:
            del self._numbers[next(iter(self._numbers))]
        return False

    def _claim(self, entry: Entry, offset: int, changes: Changes) -> None:
        is_here = entry.node in self.nodes
        for each in entry.claims:
            place, order = each.spot[:3], each.spot[3]
            if is_here and place not in self.claims and not self.is_done(place, order):
                claim = self.claims[place] = Claim(offset, entry.node, order, each.qos, each.client_id)
                changes.won.append((place, claim))
            else:
                changes.lost.append(place)

    def _finish(self, spots: Iterable[Spot], changes: Changes) -> None:
        for each in spots:
            place, order = each[:3], each[3]
            claim = self.claims.pop(place, None)
            if claim is not None:
                # Who has a message from a record does not know where it is among the others.
                order = claim.order
            if not self.is_done(place, order):
                self.done[place] = order
                changes.finished.append(place)
        while len(self.done) > MOST_DONE:
            del self.done[next(iter(self.done))]
            self.forgotten += 1

    def _free(self, place: Place, claimed_at: int, changes: Changes) -> None:
        claim = self.claims.get(place)
        if claim is not None and claim.offset == claimed_at:
            del self.claims[place]
            changes.freed.append((place, claim.order))

    def _free_all(self, over: set[str], changes: Changes) -> None:
        if over:
            for place, claim in [each for each in self.claims.items() if each[1].client_id in over]:
                self._free(place, claim.offset, changes)

    def _leave(self, node: str, changes: Changes) -> None:
        """Free what a node has of QoS 1; what it has of QoS 2 its sessions take with them [MQTT-4.8.2-4]."""
        if self.nodes.pop(node, None) is None:
            return
        changes.is_view = True
        for place, claim in [each for each in self.claims.items() if each[1].node == node]:
            if claim.qos != QOS_2:
                self._free(place, claim.offset, changes)
            elif not claim.client_id:
                # Its session ended with its connection [MQTT-4.8.2-5].
                self._finish([(*place, claim.order)], changes)

    def _raise(self, floor: SincePosition | None, changes: Changes) -> None:
        if floor is None or self.floor is None:
            return
        life, order = order_of(floor)
        if life == self._life and order <= self._order:
            return
        is_other = life != self._life
        self._set_floor(floor)
        passed = [place for place, claim in self.claims.items() if is_other or self._is_past(place, claim.order)]
        for place in passed:
            del self.claims[place]
        changes.finished += passed
        self.done = {place: at for place, at in self.done.items() if not (is_other or self._is_past(place, at))}

    def _clear(self, changes: Changes) -> None:
        changes.is_view = changes.is_over = True
        changes.finished += self.claims
        self.claims.clear()
        self.done.clear()
        self._set_floor(None)

    def _is_past(self, place: Place, order: int) -> bool:
        floor = self.floor
        return floor is not None and order <= self._order and (floor.position is not None or place[1] == floor.epoch)

    def _set_floor(self, floor: SincePosition | None) -> None:
        self.floor = floor
        self._life, self._order = order_of(floor) if floor is not None else ("", -1)


def order_of(place: SincePosition) -> tuple[str, int]:
    """Return which life of the log or channel a place is in, and where there."""
    if place.position is None:
        return place.epoch, place.offset
    life, _, digits = place.position.rpartition(":")
    return life, int(digits)


def place_at(life: str, order: int, *, is_pattern: bool) -> SincePosition:
    """Return the place that `order_of` takes apart."""
    return SincePosition(position=f"{life}:{order}") if is_pattern else SincePosition(life, order)
