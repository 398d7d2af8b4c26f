"""What a client was sent and has not acknowledged, and what waits behind it (MQTT 5, 4.4 and 4.9)."""

import enum
from collections import deque
from typing import Final

import msgspec

from chappe.model.publication import Publication

#: Packet ids are 1 to this.
_MAX_ID: Final = 65_535
#: Counted for each message beside its payload.
_OVERHEAD_BYTES: Final = 200


class Stage(enum.IntEnum):
    """How far a message has come."""

    SENT = 0  #: PUBLISH is out; PUBACK or PUBREC is awaited
    RELEASED = 1  #: PUBREL is out; PUBCOMP is awaited


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """A message for one client.

    Attributes:
        qos: what it is delivered with, 1 or 2.
        retain: the RETAIN flag that it goes out with.
        identifiers: of the subscriptions that it matched.
        group: of the shared subscription that it came by; empty: none.
    """

    publication: Publication
    qos: int
    retain: bool = False
    identifiers: tuple[int, ...] = ()
    group: str = ""

    @property
    def size_bytes(self) -> int:
        """What it counts as while it waits."""
        return len(self.publication.payload) + _OVERHEAD_BYTES


class Flight(msgspec.Struct, gc=False):
    """A message on its way.

    Attributes:
        delivery: None once it is released: then only its id is on the way.
    """

    packet_id: int
    delivery: Delivery | None
    stage: Stage = Stage.SENT


class Window:
    """The messages of QoS 1 and 2 towards one client: those in flight, by id in the order of sending, and those behind.

    Attributes:
        capacity: how many may be in flight at once: the client's Receive Maximum, or ours if that is less.
        flights: by packet id.
        reserved: how many more will be in flight soon: what is chosen for the client and not its own yet.
        waiting: what comes next.
        waiting_bytes: what that takes.
    """

    __slots__ = (
        "_max_bytes",
        "_max_messages",
        "_next_id",
        "capacity",
        "flights",
        "reserved",
        "waiting",
        "waiting_bytes",
    )

    def __init__(self, capacity: int, max_messages: int, max_bytes: int) -> None:
        """Make an empty one; at most so many messages and bytes wait behind those in flight."""
        self.capacity = capacity
        self.flights: dict[int, Flight] = {}
        self.waiting: deque[Delivery] = deque()
        self.waiting_bytes = 0
        self.reserved = 0
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._next_id = 1

    def offer(self, delivery: Delivery) -> bool:
        """Take a message; False: there is no room left for it, and it was not taken."""
        waiting = self.waiting
        is_full = len(waiting) >= self._max_messages or self.waiting_bytes + delivery.size_bytes > self._max_bytes
        # One alone may be larger than what fits.
        if is_full and (waiting or not self.has_room):
            return False
        waiting.append(delivery)
        self.waiting_bytes += delivery.size_bytes
        return True

    def depart(self) -> Flight | None:
        """Put the next message on its way, if there is one and room for it."""
        if not self.waiting or not self.has_room:
            return None
        delivery = self.waiting.popleft()
        self.waiting_bytes -= delivery.size_bytes
        return self.launch(delivery)

    def launch(self, delivery: Delivery) -> Flight:
        """Put a message on its way; there is room."""
        flight = Flight(self._take_id(), delivery)
        self.flights[flight.packet_id] = flight
        return flight

    @property
    def has_room(self) -> bool:
        """Whether one more may be in flight."""
        return len(self.flights) + self.reserved < self.capacity

    def put_back(self, flight: Flight) -> None:
        """Restore a message that was on its way when the connection before ended."""
        self.flights[flight.packet_id] = flight

    def acknowledged(self, packet_id: int) -> Delivery | None:
        """Take a PUBACK; return what is done with, or None for an id of no message of QoS 1."""
        flight = self.flights.get(packet_id)
        if flight is None or flight.delivery is None or flight.delivery.qos != 1:
            return None
        del self.flights[packet_id]
        return flight.delivery

    def received(self, packet_id: int, failed: bool) -> Flight | None:
        """Take a PUBREC; with a failure the message is done with. None for an id of no message of QoS 2."""
        flight = self.flights.get(packet_id)
        if flight is None or (flight.delivery is not None and flight.delivery.qos != 2):
            return None
        if failed:
            del self.flights[packet_id]
        elif flight.stage is Stage.SENT:
            flight.stage = Stage.RELEASED
            flight.delivery = None
        return flight

    def completed(self, packet_id: int) -> bool:
        """Take a PUBCOMP; False for an id that was not released."""
        flight = self.flights.get(packet_id)
        if flight is None or flight.stage is not Stage.RELEASED:
            return False
        del self.flights[packet_id]
        return True

    def _take_id(self) -> int:
        while self._next_id in self.flights:
            self._next_id = self._next_id % _MAX_ID + 1
        taken = self._next_id
        self._next_id = taken % _MAX_ID + 1
        return taken

    def __len__(self) -> int:
        return len(self.flights) + len(self.waiting)
