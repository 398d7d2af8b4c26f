"""Sessions as they are written down: one retained publication each in a channel of the hub's own.

A message on its way is written as its place in the log, which keeps it as long as a session needs it; one that is in no
log (a retained one) with all it says.
"""

import hashlib
from typing import Final, TypeAlias

import msgspec

from chappe.hub.cluster.bus import PREFIX
from chappe.hub.contracts import Claims
from chappe.hub.mqtt.away import Away, Sent
from chappe.hub.mqtt.choosing import Place
from chappe.hub.mqtt.kinds import QOS_2
from chappe.hub.namespaces import Level, Namespace
from chappe.model.position import Position
from chappe.model.publication import Kind, Publication
from chappe.protocols import base
from chappe.protocols.base import SincePosition
from chappe.protocols.mqtt.filters import Filter
from chappe.protocols.mqtt.window import Delivery, Flight, Stage

#: All records.
PATTERN: Final = f"{PREFIX}mqtt/#"
_CHANNEL: Final = f"{PREFIX}mqtt/"


class Placed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A filter, and up to where it was served; of a shared subscription: from where its client was a member."""

    filter: Filter
    since: SincePosition | None = None


class Inline(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message that is in no log."""

    payload: bytes
    kind: int
    time_ms: int
    headers: dict[str, str] | None = None


class Underway(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message on its way, or (packet id 0) one that waits.

    Attributes:
        inline: what it says, if no log has it; None and an empty channel: it is released, only its id is left.
    """

    packet_id: int
    channel: str = ""
    epoch: str = ""
    offset: int = 0
    qos: int = 0
    retain: bool = False
    identifiers: tuple[int, ...] = ()
    group: str = ""
    inline: Inline | None = None

    @property
    def place(self) -> Place:
        """Where it is kept."""
        return self.channel, self.epoch, self.offset


class WillRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A will, and with whose rights it is said.

    Attributes:
        delay_s: how long after the connection.
        due_ms: when, once the connection is gone; milliseconds since 1970.
    """

    channel: str
    payload: bytes
    kind: int
    retain: bool
    headers: dict[str, str] | None
    delay_s: int
    due_ms: int
    user: str | None
    scopes: tuple[str, ...]
    publish: tuple[str, ...] | None


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One session.

    Attributes:
        node: who looks after it: has its connection, or its timers.
        expiry_s: how long it outlives the connection.
        expires_ms: when it ends, milliseconds since 1970; 0: its client is connected, or never.
        taken: ids of messages of QoS 2 that came and were not released, with the key that each was published under.
        former: as which sessions of the hub it published so far.
        sent: what was claimed for it by groups and sent with QoS 2.
    """

    client_id: str
    principal: str
    node: str
    is_connected: bool
    expiry_s: int
    expires_ms: int
    filters: tuple[Placed, ...] = ()
    underway: tuple[Underway, ...] = ()
    taken: dict[int, str] = {}
    will: WillRecord | None = None
    former: tuple[str, ...] = ()
    sent: Sent = {}


Missing: TypeAlias = tuple[int, Underway]
"""The index of a message whose place is known, and not what it says."""

encode_record = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Record).decode


def decode_record(payload: bytes) -> Record | None:
    """Return a record; None for one of another version, or somebody else's."""
    try:
        return _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def channel_of(client_id: str) -> str:
    """Return the channel of a session's record; client ids are any text, and channels are not."""
    return _CHANNEL + hashlib.sha256(client_id.encode("utf-8", "surrogatepass")).hexdigest()


def namespace_of_records(durable: bool) -> Namespace:
    """Return under which options records are stored."""
    return Namespace(name="$hub", level=Level.DURABLE if durable else Level.RECOVERABLE)


def underway_of(flights: tuple[Flight, ...], waiting: tuple[Delivery, ...]) -> tuple[Underway, ...]:
    """Return what is on its way, as it is written down."""
    return (
        *(_written(each.packet_id, each.delivery) for each in flights),
        *(_written(0, each) for each in waiting),
    )


def flights_of(underway: tuple[Underway, ...], found: dict[int, Publication]) -> tuple[list[Flight], list[Delivery]]:
    """Return what was on its way and what waited; `found` has what the log said, by index.

    What the log has no more is lost. Its id is free again with QoS 1; with QoS 2 a client that has the message must be
    told so, or it would take the next one with that id for a repetition.
    """
    flights: list[Flight] = []
    waiting: list[Delivery] = []
    for index, each in enumerate(underway):
        if each.packet_id and not each.channel:
            flights.append(Flight(each.packet_id, None, Stage.RELEASED))
            continue
        publication = found.get(index) or _inline(each)
        if publication is None:
            if each.packet_id and each.qos == QOS_2:
                flights.append(Flight(each.packet_id, None, Stage.RELEASED))
            continue
        delivery = Delivery(publication, each.qos, each.retain, each.identifiers, each.group)
        if each.packet_id:
            flights.append(Flight(each.packet_id, delivery))
        else:
            waiting.append(delivery)
    return flights, waiting


def missing_of(underway: tuple[Underway, ...]) -> list[Missing]:
    """Return the messages that have to be read."""
    return [(index, each) for index, each in enumerate(underway) if each.channel and each.inline is None]


def before(each: Underway) -> Position:
    """Return the position that a message comes right behind."""
    return Position(each.epoch, each.offset - 1)


def away_from(record: Record, flights: list[Flight], waiting: list[Delivery], expires_at: float) -> Away:
    """Return the session of a record."""
    return Away(
        record.client_id,
        record.principal,
        tuple((each.filter, each.since) for each in record.filters),
        tuple(flights),
        tuple(waiting),
        dict(record.taken),
        expires_at,
        former=record.former,
        sent=record.sent,
    )


def will_of(command: base.Publish, claims: Claims, delay_s: int, due_ms: int) -> WillRecord:
    """Return a will as it is written down."""
    return WillRecord(
        command.channel,
        command.payload,
        int(command.kind),
        command.retain,
        dict(command.headers) if command.headers else None,
        delay_s,
        due_ms,
        claims.user,
        tuple(sorted(claims.scopes)),
        claims.publish,
    )


def said_by(will: WillRecord) -> tuple[base.Publish, Claims]:
    """Return what a will publishes, and whose rights it has."""
    kind = Kind(will.kind)
    command = base.Publish(0, will.channel, will.payload, kind, retain=will.retain, headers=will.headers, is_will=True)
    return command, Claims(user=will.user, scopes=frozenset(will.scopes), publish=will.publish)


def _written(packet_id: int, delivery: Delivery | None) -> Underway:
    if delivery is None:
        return Underway(packet_id)
    publication = delivery.publication
    inline = None
    if publication.retained or not publication.offset:
        headers = dict(publication.headers) if publication.headers else None
        inline = Inline(publication.payload, int(publication.kind), publication.time_ms, headers)
    return Underway(
        packet_id,
        publication.channel,
        publication.epoch,
        publication.offset,
        delivery.qos,
        delivery.retain,
        delivery.identifiers,
        delivery.group,
        inline,
    )


def _inline(each: Underway) -> Publication | None:
    inline = each.inline
    if inline is None:
        return None
    return Publication(
        each.channel,
        inline.payload,
        Kind(inline.kind),
        each.offset,
        each.epoch,
        inline.time_ms,
        headers=inline.headers,
        retained=True,
    )
