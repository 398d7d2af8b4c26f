"""The messages of a group that are not done with, as one node knows them, and which of them it claims next."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from chappe.hub.contracts import Read, ReadResult
from chappe.hub.mqtt.choosing import Place, identity_at, owner_of
from chappe.hub.mqtt.claims import Claim
from chappe.model.position import Position
from chappe.model.publication import Publication

if TYPE_CHECKING:
    from chappe.hub.mqtt.service import MqttService

#: After so many seconds without a claim a message is anybody's: a claim takes milliseconds, and its node may be stuck.
UNCLAIMED_S: Final = 1.0
#: Counted for each message beside its payload.
_OVERHEAD_BYTES: Final = 200


class Item(msgspec.Struct, gc=False):
    """A message that is not done with.

    Attributes:
        order: where it is among the others, as other nodes know it.
        since: when it was last free, monotonic seconds.
        publication: None: it has to be read first.
        claim: whose it is.
    """

    order: int
    since: float
    publication: Publication | None = None
    claim: Claim | None = None

    @property
    def size_bytes(self) -> int:
        """What it takes here."""
        return _OVERHEAD_BYTES + len(self.publication.payload) if self.publication is not None else 0


class Tally:
    """What happens to the messages of all groups of a node.

    Attributes:
        elsewhere: claimed by other nodes.
        conflicts: claimed here when another node had been quicker.
        taken_over: free again because another node gave them up, or was gone.
        passed_on: given up here, because a member went.
        forgotten: not kept in memory any more while another node has them.
        lost: that the log had no more when they were to be sent.
    """

    def __init__(self) -> None:
        self.elsewhere = self.conflicts = self.taken_over = self.passed_on = self.forgotten = self.lost = 0


class Items:
    """The messages of one group at one node.

    Attributes:
        all: by place.
        ready: what this node claims as soon as a member has room, first come first served.
        is_wanted: somebody here is to get messages: those that are not in memory are read.
        lost: called with place and order of a message that is to be sent and that the log has no more.
        found: called when there is more to claim.
    """

    def __init__(
        self,
        service: "MqttService",
        tally: Tally,
        lost: Callable[[Place, int], None],
        found: Callable[[], None],
    ) -> None:
        self.all: dict[Place, Item] = {}
        self.ready: OrderedDict[Place, None] = OrderedDict()
        self.is_wanted = False
        self._lost = lost
        self._found = found
        self._hub = service.hub
        self._options = service.options
        self._tally = tally
        self._nodes: Mapping[str, Any] = {}
        # What another node is to claim, and what is being read.
        self._waiting: dict[Place, None] = {}
        self._fetching: set[Place] = set()
        self._held = self._held_bytes = 0

    @property
    def has_room(self) -> bool:
        """Whether one more message may be kept in memory."""
        return (
            self._held < self._options.session_queue_messages and self._held_bytes < self._options.session_queue_bytes
        )

    @property
    def has_much_room(self) -> bool:
        """Whether a good part of what may be kept in memory is free."""
        options = self._options
        return 2 * self._held <= options.session_queue_messages and 2 * self._held_bytes <= options.session_queue_bytes

    @property
    def first(self) -> int | None:
        """The order of the first message; None: there is none."""
        return min((item.order for item in self.all.values()), default=None)

    @property
    def claimed(self) -> int:
        """How many are somebody's."""
        return sum(item.claim is not None for item in self.all.values())

    def take(self, place: Place, order: int, publication: Publication) -> bool:
        """Take a message that the feed or the log brought; False: there is no room for it."""
        item = self.all.get(place)
        if item is None:
            if not self.has_room and not self._make_room():
                return False
            item = self.all[place] = Item(order, self._hub.clock.now())
            self._hold(item, publication)
            self._sort(place)
        elif item.publication is None:
            self._hold(item, publication)
            if item.claim is None and place not in self._waiting:
                self.ready[place] = None
        return True

    def claim(self, place: Place, claim: Claim) -> Item:
        """Learn whose a message is."""
        item = self._get(place, claim.order)
        item.claim = claim
        self.ready.pop(place, None)
        self._waiting.pop(place, None)
        return item

    def free(self, place: Place, order: int, *, is_asked: bool = False) -> None:
        """Learn that a message is nobody's any more; `is_asked`: this node has claimed it, and waits for the answer."""
        item = self._get(place, order)
        if item.claim is not None:
            self._tally.taken_over += item.claim.node != self._hub.node
        item.claim = None
        item.since = self._hub.clock.now()
        if is_asked:
            return
        if self.is_wanted:
            self._sort(place)
        else:
            self.pop(place)

    def offer(self, place: Place) -> None:
        """Claim a message again, or leave it to another node, if it is nobody's."""
        item = self.all.get(place)
        if item is not None and item.claim is None and self.is_wanted:
            self._sort(place)

    def pop(self, place: Place) -> Item | None:
        """Forget a message, and return it."""
        item = self.all.pop(place, None)
        self.ready.pop(place, None)
        self._waiting.pop(place, None)
        if item is not None:
            self._drop(item)
        return item

    def sort(self, nodes: Mapping[str, Any], asked: Iterable[Place]) -> None:
        """Find out who claims what of all that is free, and not asked for, among nodes with members."""
        self._nodes = nodes
        self.ready, self._waiting = OrderedDict(), {}
        for place, item in tuple(self.all.items()):
            if item.claim is None and place not in asked:
                self._sort(place)

    def audit(self) -> None:
        """Claim what nobody does, and read what could not be read."""
        overdue = self._hub.clock.now() - UNCLAIMED_S
        self._steal([place for place in self._waiting if self.all[place].since <= overdue])
        for place, item in tuple(self.all.items()):
            if item.publication is None and item.claim is None and place not in self._waiting:
                self._fetch(place)

    # --- Inside ------------------------------------------------------------------------------------------------------

    def _get(self, place: Place, order: int) -> Item:
        item = self.all.get(place)
        if item is None:
            item = self.all[place] = Item(order, self._hub.clock.now())
        return item

    def _make_room(self) -> bool:
        """Keep what others have no longer, or take what they leave lying; False: neither is there."""
        for item in self.all.values():
            if item.publication is not None and item.claim is not None and item.claim.node != self._hub.node:
                self._drop(item)
                self._tally.forgotten += 1
                if self.has_room:
                    return True
        if self._waiting and not self.ready:
            self._steal(tuple(self._waiting))
            self._found()
        return self.has_room

    def _steal(self, places: Iterable[Place]) -> None:
        """Claim what another node is to and does not."""
        for place in places:
            del self._waiting[place]
            self._prepare(place)

    def _sort(self, place: Place) -> None:
        if len(self._nodes) > 1 and owner_of(identity_at(place), self._nodes) != self._hub.node:
            self._waiting[place] = None
        else:
            self._prepare(place)

    def _prepare(self, place: Place) -> None:
        if self.all[place].publication is None:
            self._fetch(place)
        else:
            self.ready[place] = None

    def _hold(self, item: Item, publication: Publication) -> None:
        item.publication = publication
        self._held += 1
        self._held_bytes += item.size_bytes

    def _drop(self, item: Item) -> None:
        if item.publication is not None:
            self._held -= 1
            self._held_bytes -= item.size_bytes
            item.publication = None

    def _fetch(self, place: Place) -> None:
        """Read a message that is to be sent and is not here."""
        if place in self._fetching or not self.is_wanted:
            return
        self._fetching.add(place)
        channel, epoch, offset = place

        def found(result: ReadResult) -> None:
            self._fetching.discard(place)
            item = self.all.get(place)
            if item is None or item.publication is not None or result.error:
                # With an error it is asked for again at the next audit.
                return
            publication = next((each for each in result.publications if each.offset == offset), None)
            if publication is None or publication.epoch != epoch:
                self._tally.lost += 1
                self._hub.log("WARNING", "a message of a shared subscription is not kept any more")
                self._lost(place, item.order)
                return
            self._hold(item, publication)
            if item.claim is None and place not in self._waiting:
                self.ready[place] = None
                self._found()

        namespace = self._hub.namespaces.of(channel)
        self._hub.broker.read(Read(channel, namespace, Position(epoch, offset - 1), 1), found)
