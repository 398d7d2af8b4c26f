"""Where MQTT clients connect by TCP or TLS: who is let in, and which link serves them."""

import asyncio
import math
import os
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from chappe.hub.mqtt import MqttService
from chappe.hub.session import Peer
from chappe.transports.event_loop import stop_reading
from chappe.transports.mqtt_link import MqttLink
from chappe.transports.peer_certificate import read_certificate
from chappe.transports.upgrade import Rejected

if TYPE_CHECKING:
    from chappe.transports.lobby import Lobby
    from chappe.transports.native import NativeLink

PacketLink: TypeAlias = "MqttLink | NativeLink"

#: What the carrier is called in the list of connections.
CARRIER: Final = "mqtt"
#: When silence is looked at first, seconds: a keep alive may be that short.
_FIRST_LOOK_S: Final = 1.0


class MqttDoor(asyncio.Protocol):
    """One connection from when it is accepted until a link has it.

    Who is refused is cut without a word: there is none before CONNECT.
    """

    def __init__(self, lobby: "Lobby", service: MqttService) -> None:
        self._lobby = lobby
        self._service = service
        self._turn: asyncio.TimerHandle | None = None
        self._is_late = False
        self._unread = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let the peer in when it is its turn, if it may have a connection more."""
        lobby, self._transport = self._lobby, transport
        peername = transport.get_extra_info("peername")
        address = peername[0] if isinstance(peername, tuple) else ""
        wait_s = lobby.turn_of(transport, address)
        if wait_s == math.inf:
            transport.abort()
        elif wait_s:
            self._is_late = True
            lobby.waiting.add(transport)
            transport.pause_reading()
            loop = asyncio.get_running_loop()
            self._turn = loop.call_later(wait_s, self._let_in, transport, address)
        else:
            self._let_in(transport, address)

    def data_received(self, data: bytes) -> None:
        """Keep what came before reading had stopped."""
        self._unread += data
        stop_reading(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """End: nobody waits any more."""
        if self._turn is not None:
            self._turn.cancel()
            self._lobby.waiting.discard(self._transport)

    def _let_in(self, transport: asyncio.Transport, address: str) -> None:
        lobby, self._turn = self._lobby, None
        lobby.waiting.discard(transport)
        try:
            lobby.admit(address)
        except Rejected:
            lobby.rejected += 1
            transport.abort()
            return
        if lobby.admission.turns_away(address):
            lobby.rejected += 1
            transport.abort()
            return
        try:
            link = self._take_over(transport)
        except OSError:
            # Out of descriptors: who is here already must not suffer.
            lobby.rejected += 1
            transport.abort()
            return
        lobby.enter(link, address, _FIRST_LOOK_S)
        certificate = read_certificate(transport.get_extra_info("peercert"))
        claims = lobby.endpoints.reader.owner(certificate)
        peer = Peer(address=address, carrier=CARRIER, language=lobby.default_language, claims=claims)
        link.begin(self._service.open(link, peer), self._unread)

    def _take_over(self, transport: asyncio.Transport) -> PacketLink:
        """Give the connection to a link: a native one if it is plain TCP.

        Raises:
            OSError: there is no descriptor left.
        """
        lobby = self._lobby
        is_plain = transport.get_extra_info("sslcontext") is None
        if lobby.reactor is None or not is_plain:
            if self._is_late:
                transport.resume_reading()
            link = MqttLink(lobby.commons)
            link.attach(transport)
            return link
        from chappe.transports.native import PACKETS

        # The loop closes its own descriptor, without a word to the peer, since ours holds the connection.
        connection: Any = transport.get_extra_info("socket")
        native = lobby.reactor.attach(os.dup(connection.fileno()), b"", PACKETS)
        transport.abort()
        return native
