"""The ports of MQTT."""

import asyncio
import socket
from collections.abc import Callable

from chappe.hub.mqtt import MqttService
from chappe.model.errors import ConfigurationError
from chappe.server.certificates import Certificates
from chappe.server.tls import Listening, listen_tls
from chappe.transports.lobby import Lobby
from chappe.transports.mqtt_listener import MqttDoor

Bind = Callable[[], socket.socket | None]
"""Return a listening socket, or None: there is no such port."""


class MqttListening:
    """What a server listens on for MQTT, plain and by TLS."""

    def __init__(self, service: MqttService, plain: Bind, tls: Bind) -> None:
        self._service = service
        self._binds = (plain, tls)
        self._listeners: list[socket.socket | None] = []

    def bind(self, has_certificate: bool) -> None:
        """Take the ports; what comes is accepted from `start` on.

        Raises:
            ConfigurationError: a port cannot be listened on, or there is no certificate for the one of TLS.
        """
        try:
            for bind in self._binds:
                self._listeners.append(bind())
            if self._listeners[1] is not None and not has_certificate:
                raise ConfigurationError("mqtt.tls_port needs a certificate: set server.cert and server.key")
        except ConfigurationError:
            for listener in self._listeners:
                if listener is not None:
                    listener.close()
            raise

    async def start(self, lobby: Lobby, certificates: Certificates | None) -> list[Listening]:
        """Accept clients; return what is to be closed."""
        started: list[Listening] = []
        plain, tls = self._listeners

        def make_door() -> MqttDoor:
            return MqttDoor(lobby, self._service)

        if plain is not None:
            loop = asyncio.get_running_loop()
            started.append(await loop.create_server(make_door, sock=plain, backlog=4_096))
        if tls is not None:
            assert certificates is not None
            started.append(await listen_tls(tls, certificates, make_door, lobby.admission, lobby.proxies))
        return started
