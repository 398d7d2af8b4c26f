"""`$SYS`: what the hub counts, as topics under the names that mosquitto gave them."""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from chappe.hub.contracts import CountingBroker, Outcome, Timer
from chappe.hub.namespaces import SYSTEM
from chappe.hub.permissions import APPLICATION
from chappe.model.errors import ChappeError
from chappe.model.publication import Kind, Publication
from chappe.protocols import base

if TYPE_CHECKING:
    from chappe.hub.mqtt.service import MqttService

#: What all names begin with.
ROOT: Final = f"{SYSTEM}/broker/"
#: Whose averages over a minute are told, as names of totals.
_AVERAGED: Final = (
    "messages/received",
    "messages/sent",
    "publish/messages/received",
    "publish/messages/sent",
    "bytes/received",
    "bytes/sent",
)
_MINUTE_S: Final = 60.0

Value = str | float


class System:
    """The counters of one node, published every `sys_interval_s` from the first MQTT client on.

    Where the broker belongs to this node alone, values are retained and said again only when they changed. Where
    several nodes share one, each tells its own clients its own values, every time, and nothing is retained.

    Who may read them is decided as for every name that begins with `$`: it needs the scope `operator`. Nobody but the
    hub publishes there.

    Attributes:
        traffic: messages out, bytes in and out of all connections, by `messages/sent`, `bytes/received`, `bytes/sent`;
            what carries connections sets it.
    """

    def __init__(self, service: "MqttService", interval_s: float) -> None:
        self._service = service
        self._hub = service.hub
        self._interval_s = interval_s
        self._timer: Timer | None = None
        self._is_over = False
        self._began = self._hub.clock.now()
        self._told_at = self._began
        self._said: dict[str, bytes] = {}
        self._totals: dict[str, float] = {}
        self._averages: dict[str, float] = {}
        self.traffic: Callable[[], Mapping[str, float]] = dict

    def start(self) -> None:
        """Begin anew with a hub that starts."""
        self.stop()
        self._is_over = False
        self._began = self._told_at = self._hub.clock.now()
        self._said.clear()
        self._totals.clear()
        self._averages.clear()

    def stop(self) -> None:
        """Say no more."""
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def wake(self) -> None:
        """Learn that there is an MQTT client: tell the values now and from now on."""
        if self._timer is None and self._interval_s and not self._is_over:
            self._tell()

    def values(self) -> dict[str, Value]:
        """Return all values by their names below `$SYS/broker/`."""
        service, hub = self._service, self._hub
        sessions, counters = service.sessions, hub.counters
        subscriptions = sum(len(each.filters) for each in sessions.live.values())
        subscriptions += sum(len(each.filters) for each in sessions.away.values())
        values: dict[str, Value] = {
            "version": f"chappe version {hub.version}",
            "uptime": f"{int(hub.clock.now() - self._began)} seconds",
            "clients/connected": len(sessions.live),
            "clients/disconnected": len(sessions.away),
            "clients/total": len(sessions.live) + len(sessions.away),
            "clients/expired": sessions.expired,
            **self._count(),
            "publish/messages/dropped": counters.dropped + service.dropped,
            "subscriptions/count": subscriptions,
            "load/connections/1min": self._averages.get("connections", 0.0),
            **{f"load/{name}/1min": self._averages.get(name, 0.0) for name in _AVERAGED},
        }
        counted = hub.broker.metrics() if isinstance(hub.broker, CountingBroker) else {}
        if "chappe_broker_retained" in counted:
            values["retained messages/count"] = counted["chappe_broker_retained"]
        return values

    def _count(self) -> dict[str, float]:
        counters = self._hub.counters
        return {
            "messages/received": counters.messages_in,
            "messages/sent": 0,
            "bytes/received": 0,
            "bytes/sent": 0,
            "publish/messages/received": counters.published,
            "publish/messages/sent": counters.delivered,
            **self.traffic(),
        }

    def _tell(self) -> None:
        """Say all values, and again in a while."""
        self._timer = self._hub.clock.call_later(self._interval_s, self._tell)
        self._average()
        for name, value in self.values().items():
            payload = value.encode() if isinstance(value, str) else msgspec.json.encode(_plain(value))
            kind = Kind.TEXT if isinstance(value, str) else Kind.JSON
            if self._hub.broker.shared:
                self._say_here(ROOT + name, payload, kind)
            elif self._said.get(name) != payload:
                self._said[name] = payload
                self._publish(name, payload, kind)

    def _publish(self, name: str, payload: bytes, kind: Kind) -> None:
        def done(outcome: Outcome | None, error: ChappeError | None) -> None:
            if error is not None:
                # Said again at the next turn, although it may not have changed then.
                self._said.pop(name, None)

        self._hub.publish(APPLICATION, base.Publish(0, ROOT + name, payload, kind, retain=True), done)

    def _say_here(self, channel: str, payload: bytes, kind: Kind) -> None:
        """Tell those who are connected to this node."""
        publication = Publication(channel, payload, kind, 0, "", self._hub.clock.wall_ms(), transient=True)
        self._hub.delivery.published([publication])

    def _average(self) -> None:
        """Follow the rates, for each minute: what is a minute old counts a third."""
        now = self._hub.clock.now()
        passed_s, self._told_at = now - self._told_at, now
        counted = self._count()
        totals = {name: counted[name] for name in _AVERAGED} | {"connections": self._hub.counters.connections}
        former, self._totals = self._totals, totals
        if passed_s <= 0 or not former:
            return
        weight = math.exp(-passed_s / _MINUTE_S)
        for name, total in totals.items():
            rate = (total - former[name]) * _MINUTE_S / passed_s
            self._averages[name] = round(weight * self._averages.get(name, 0.0) + (1 - weight) * rate, 2)


def _plain(value: float) -> float:
    """Return a whole number without a point."""
    return int(value) if value == int(value) else value
