"""What is left of a session while its client is away (MQTT 5, 4.1): no queue, but where to read on."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from chappe.hub.contracts import Claims, Timer
from chappe.hub.mqtt.choosing import Place
from chappe.hub.mqtt.kinds import QOS_2
from chappe.model.publication import Publication
from chappe.protocols import base
from chappe.protocols.base import SincePosition
from chappe.protocols.mqtt import packets
from chappe.protocols.mqtt.filters import Filter
from chappe.protocols.mqtt.messages import headers_of, kind_of
from chappe.protocols.mqtt.window import Delivery, Flight

if TYPE_CHECKING:
    from chappe.hub.mqtt.client import MqttClient
    from chappe.hub.session import Session

#: Connections back to which a client's own messages are known as its own; older ones that still wait are few.
_MOST_FORMER: Final = 32


Sent: TypeAlias = dict[str, set[Place]]
"""What was claimed for a session by each group, and sent with QoS 2, as long as the group's log has the claim."""


class Away(msgspec.Struct, gc=False):
    """A session without a connection.

    Attributes:
        principal: whose it is: nobody else may take it.
        filters: each with the place up to which it was served; None: from when it comes back on.
        flights: what was sent and not acknowledged, in order.
        waiting: what was not sent and no filter will bring: retained messages of a new subscription, and what waited
            when filters changed.
        taken: ids of messages of QoS 2 that came and were not released, each with its key.
        former: sessions of the hub that it was so far, for filters with No Local.
        expires_at: monotonic seconds; infinite: never.
        sent: what was claimed for it and is its own now.
    """

    client_id: str
    principal: str
    filters: tuple[tuple[Filter, SincePosition | None], ...] = ()
    flights: tuple[Flight, ...] = ()
    waiting: tuple[Delivery, ...] = ()
    taken: dict[int, str] = {}
    expires_at: float = math.inf
    timer: Timer | None = None
    former: tuple[str, ...] = ()
    sent: Sent = {}


class PendingWill(msgspec.Struct, gc=False):
    """A will that waits (MQTT 5, 3.1.3.2.2).

    Attributes:
        session: who says it; None: only its rights are left.
        due_ms: when it is said, milliseconds since 1970.
    """

    command: base.Publish
    session: "Session | None"
    claims: Claims
    due_ms: int = 0
    timer: Timer | None = None


def away_of(client: "MqttClient", expires_at: float) -> Away:
    """Return what is left of a connection that ends."""
    outbound = client.outbound
    window = outbound.window if outbound is not None else None
    filters = tuple((one, client.service.place_of(client, one) if one.qos else None) for one in client.filters.all())
    waiting: tuple[Delivery, ...] = ()
    if outbound is not None:
        is_kept = outbound.keeps_waiting
        waiting = tuple(each for each in outbound.window.waiting if each.publication.retained or is_kept)
    return Away(
        client.client_id,
        client.principal,
        filters,
        tuple(filter(_is_own, window.flights.values())) if window is not None else (),
        waiting,
        dict(client.taken or {}),
        expires_at,
        former=_former_of(client),
        sent=client.sent or {},
    )


def _is_own(flight: Flight) -> bool:
    """Whether a message stays with its session; one of a group that was sent with QoS 1 goes to other members."""
    delivery = flight.delivery
    return delivery is None or not delivery.group or delivery.qos == QOS_2


def _former_of(client: "MqttClient") -> tuple[str, ...]:
    """Return as whom a client published: No Local is about client ids [MQTT-3.8.3-3], not about connections."""
    if not any(one.no_local for one in client.filters.all()):
        return ()
    return (*client.former, client.session.id)[-_MOST_FORMER:]


def place_of(client: "MqttClient", one: Filter) -> SincePosition | None:
    """Return up to where a filter was served: before the first message that waits, else behind the last one."""
    asking, outbound = client.asking, client.outbound
    reply = asking.replies.get(one.pattern) if asking is not None else None
    if reply is None or outbound is None:
        return reply
    waiting = [each.publication for each in outbound.window.waiting]
    if outbound.keeps_waiting:
        # It is kept itself.
        waiting = []
    if reply.position is None:
        epoch, offset = outbound.offsets.get(one.pattern, (reply.epoch, reply.offset))
        if epoch == reply.epoch:
            offset = max(offset, reply.offset)
        return before(SincePosition(epoch, offset), one.pattern, waiting)
    prefix, _, digits = reply.position.rpartition(":")
    log = max(int(digits), outbound.log)
    return before(SincePosition(position=f"{prefix}:{log}"), one.pattern, waiting)


def before(place: SincePosition | None, pattern: str, publications: Iterable[Publication]) -> SincePosition | None:
    """Return a place, or one before the first of these messages that stand in the log, if that is earlier."""
    found = [each for each in publications if each.offset and not each.retained]
    if place is None or not found:
        return place
    if place.position is None:
        first = min((each for each in found if each.channel == pattern), key=lambda each: each.offset, default=None)
        if first is None or (first.epoch == place.epoch and first.offset > place.offset):
            return place
        return SincePosition(first.epoch, first.offset - 1)
    prefix, _, digits = place.position.rpartition(":")
    log = min(int(digits), min(each.log for each in found) - 1)
    return SincePosition(position=f"{prefix}:{log}")


def end_of(expiry_s: int, now: float) -> float:
    """Return when a session ends whose connection ends now, monotonic seconds."""
    return math.inf if expiry_s == packets.NEVER_EXPIRES else now + expiry_s


def will_command(will: packets.Will, now_ms: int) -> base.Publish:
    """Return what a will publishes."""
    headers = headers_of(will.qos, will.retain, will.properties, now_ms)
    kind = kind_of(will.payload, will.properties)
    return base.Publish(0, will.topic, will.payload, kind, None, None, will.retain, headers, is_will=True)
