"""The ports of MQTT."""

import asyncio
import socket
from collections.abc import Callable

from chappe.hub.mqtt import MqttService
from chappe.model.errors import ConfigurationError
from chappe.server.certificates import Certificates
from chappe.server.tls import Listening, listen_tls
from chappe.transports.front_door import Lobby
from chappe.transports.mqtt_listener import MqttDoor

Bind = Callable[[], socket.socket | None]
"""Return a listening socket, or None: there is no such port."""


class MqttListening:
    """What a server listens on for MQTT, plain and by TLS."""

    def __init__(self, service: MqttService, plain: Bind, tls: Bind) -> None:
        self._service = service
        self._plain = plain
        self._tls = tls

    async def start(self, lobby: Lobby, certificates: Certificates | None) -> list[Listening]:
        """Accept clients; return what is to be closed.

        Raises:
            ConfigurationError: a port cannot be listened on, or there is no certificate for the one of TLS.
        """
        started: list[Listening] = []
        loop = asyncio.get_running_loop()

        def make_door() -> MqttDoor:
            return MqttDoor(lobby, self._service)

        listener = self._plain()
        if listener is not None:
            started.append(await loop.create_server(make_door, sock=listener, backlog=4_096))
        listener = self._tls()
        if listener is not None:
            if certificates is None:
                listener.close()
                raise ConfigurationError("mqtt.tls_port needs a certificate: set server.cert and server.key")
            started.append(await listen_tls(listener, certificates, make_door, lobby.admission, lobby.proxies))
        return started
