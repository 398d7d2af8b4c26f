"""The lobby: what all connections of one server share."""

import asyncio
from typing import TYPE_CHECKING, TypeAlias

from chappe.hub.fanout import LinkSet, MakeAudience
from chappe.hub.hub import HubCore
from chappe.hub.session import Session
from chappe.transports import portable
from chappe.transports.admission import Admission
from chappe.transports.data_plane import DataPlane, choose
from chappe.transports.encoding import deflated
from chappe.transports.endpoints import Endpoints
from chappe.transports.flush import Flush
from chappe.transports.head_turns import HeadTurns
from chappe.transports.heartbeat import Heartbeat
from chappe.transports.http_sessions import HttpSessions
from chappe.transports.mqtt_link import MqttLink
from chappe.transports.portable import Commons, LinkCounters
from chappe.transports.proxies import Proxies
from chappe.transports.sse_link import SseLink
from chappe.transports.upgrade import Gate, Rejected
from chappe.transports.websocket import WebSocketLink

if TYPE_CHECKING:
    from chappe.transports.native import NativeLink, Reactor

CarrierLink: TypeAlias = "WebSocketLink | SseLink | MqttLink | NativeLink"


class Lobby:
    """What all connections of one server share.

    Attributes:
        batch_window_s: how long frames wait for company before they are written; 0: to the end of the tick.
        data_plane: how its connections are served.
        links: all open WebSocket links, and those of streams of events.
        streams: sessions of streams that could not be taken over.
        waiting: connections of MQTT that wait for their turn.
        http_sessions: sessions that have no connection, which go when the server goes; None: there are none.
        upgrades, rejected: handshakes that were accepted and refused.
        head_timeouts: connections that sent no request head in time.
        besieged: connections cut at once because their address has too many.
    """

    def __init__(
        self,
        hub: HubCore,
        endpoints: Endpoints,
        gate: Gate,
        *,
        proxies: Proxies | None = None,
        default_language: str = "en",
        head_bytes: int = 16_384,
        head_timeout_s: float = 10.0,
        connections_max: int = 0,
        compression: bool = True,
        compression_min_bytes: int = 1_024,
        admission: Admission | None = None,
        batch_window_s: float = 0.0,
        data_plane: DataPlane | None = None,
        http_sessions: HttpSessions | None = None,
    ) -> None:
        self.hub = hub
        self.endpoints = endpoints
        self.gate = gate
        self.proxies = proxies or Proxies()
        self.default_language = default_language
        self.head_bytes = head_bytes
        self.head_timeout_s = head_timeout_s
        self.compression = compression
        self.compression_min_bytes = compression_min_bytes
        self.admission = admission or Admission.of(hub, connections_max)
        self.http_sessions = http_sessions
        self.counters = LinkCounters()
        self.heartbeat = Heartbeat(hub.limits, self.counters, not hub.permissions.anonymous)
        self.batch_window_s = batch_window_s
        self.data_plane = data_plane or choose("auto")
        self.links: set[CarrierLink] = set()
        self.streams: set[Session] = set()
        self.waiting: set[asyncio.Transport] = set()
        self.reactor: Reactor | None = None
        self.draining = False
        self.upgrades = 0
        self.rejected = 0
        self.head_timeouts = 0
        self.besieged = 0
        self._commons: Commons | None = None
        self._turns: HeadTurns | None = None

    def admit(self, address: str) -> None:
        """Refuse a connection that the server as a whole cannot take.

        Raises:
            Rejected: 503.
        """
        if self.draining:
            raise Rejected(503, "the hub is shutting down", {"Retry-After": "1"})
        self.admission.admit(address)

    def turn_of(self, transport: asyncio.Transport, address: str) -> float:
        """Return after how many seconds a connection is served, infinity: it is cut.

        Who is behind a proxy has its address and is not paced; who comes by TLS may have waited before it shook hands.
        """
        had_it = self.admission.paces_handshakes and transport.get_extra_info("sslcontext") is not None
        return 0.0 if had_it or not address or self.proxies.trusts(address) else self.admission.turn_of(address)

    def metrics(self) -> dict[str, float]:
        """Return what is counted here, by name of the metric."""
        counters = self.counters
        return {
            "chappe_links": len(self.links),
            "chappe_upgrades_total": self.upgrades,
            "chappe_upgrades_rejected_total": self.rejected,
            "chappe_head_timeouts_total": self.head_timeouts,
            "chappe_besieged_total": self.besieged,
            "chappe_requests_postponed_total": self._turns.postponed if self._turns is not None else 0,
            **{f"chappe_link_{name}_total": getattr(counters, name) for name in counters.__slots__},
        }

    def start(self) -> None:
        """Begin on the running loop."""
        self.heartbeat.start()
        loop = asyncio.get_running_loop()
        self._commons = Commons(
            loop,
            self.hub.limits,
            self.counters,
            Flush(loop, self.batch_window_s),
            self.heartbeat.end_by,
            self.leave,
            self.compression_min_bytes,
        )
        if self.data_plane == "native":
            self.reactor = _make_reactor(self, loop)
            self.hub.breathe = self.reactor.breathe
        self._turns = HeadTurns(loop, self.hub.breathe)

    def stop(self) -> None:
        """End; every link must be gone, or goes without a word."""
        if self.reactor is not None:
            self.reactor.close()
            self.reactor = None
        self.heartbeat.stop()

    @property
    def turns(self) -> HeadTurns:
        """When requests are parsed, once the lobby has started."""
        assert self._turns is not None
        return self._turns

    @property
    def commons(self) -> Commons:
        """What portable links are made with, once the lobby has started."""
        assert self._commons is not None
        return self._commons

    def enter(self, link: CarrierLink, address: str, first_look_s: float | None = None) -> None:
        """Count a link and look after it, for the first time after `first_look_s` if that is given."""
        link.seat = self.admission.websockets.take(address)
        self.links.add(link)
        self.heartbeat.add(link, first_look_s)

    def leave(self, link: CarrierLink) -> None:
        """Forget a link."""
        self.links.discard(link)
        if link.seat is not None:
            self.admission.websockets.give_back(link.seat)
            link.seat = None


def audience_maker() -> MakeAudience:
    """Return what keeps links that get the same frames: in C where that is built."""
    try:
        from chappe.transports.native import NativeAudience
    except ImportError:
        return LinkSet
    return NativeAudience


def _make_reactor(lobby: Lobby, loop: asyncio.AbstractEventLoop) -> "Reactor":
    from chappe.transports.native import Reactor

    return Reactor(
        loop,
        lobby.hub.limits,
        lobby.counters,
        lobby.leave,
        lobby.heartbeat.end_by,
        portable.CLOSE_TIMEOUT_S,
        lambda frame, breathe=None: deflated(frame, lobby.compression_min_bytes, breathe),
        lobby.batch_window_s,
    )
