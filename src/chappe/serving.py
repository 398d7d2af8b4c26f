"""The public `Server`: a hub on a port."""

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from typing import Literal

from chappe.app import Hub
from chappe.model.errors import LocalProtocolError
from chappe.server.listening import listen
from chappe.server.mqtt import MqttListening
from chappe.server.server import HubServer, ServerOptions
from chappe.server.workers import is_worker
from chappe.transports.event_loop import loop_factory
from chappe.transports.upgrade import Gate, host_names

__all__ = ["Server"]


class Server:
    """A hub on a port.

    ``server = Server(hub, port=8080); await server.start(); ...; await server.stop()``, or `run` for a whole process.
    """

    def __init__(
        self,
        hub: Hub,
        host: str | None = None,
        port: int | None = None,
        *,
        mqtt_port: int | None = None,
        mqtt_tls_port: int | None = None,
    ) -> None:
        """Take a hub; host and ports are those of its settings if they are not given. Port 0 takes a free one.

        In the settings 0 means that MQTT has no port of its own.
        """
        mqtt = hub.settings.mqtt
        self.mqtt_port = mqtt_port if mqtt_port is not None else mqtt.port or None
        self.mqtt_tls_port = mqtt_tls_port if mqtt_tls_port is not None else mqtt.tls_port or None
        self.hub = hub
        self.host = host if host is not None else hub.settings.server.host
        self.port = port if port is not None else hub.settings.server.port
        self._server: HubServer | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where the console is: ``http://127.0.0.1:8080``."""
        scheme = "https" if self.hub.settings.server.cert else "http"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}"

    async def start(self) -> None:
        """Start the hub and accept connections; returns when they are accepted. Signals are left alone.

        Raises:
            ConfigurationError: the address cannot be listened on; the text says what to do.
            LocalProtocolError: this server runs already.
        """
        self._check_idle()
        ready = asyncio.Event()
        self._serving = asyncio.get_running_loop().create_task(self.serve(ready.set, handle_signals=False))
        waiting = asyncio.ensure_future(ready.wait())
        await asyncio.wait({self._serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not ready.is_set():
            waiting.cancel()
            serving, self._serving = self._serving, None
            await serving

    async def stop(self) -> None:
        """Stop accepting, tell clients to come back later (3001), wait at most `drain_timeout_s`, stop the hub."""
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            serving, self._serving = self._serving, None
            await serving

    async def serve(self, started: Callable[[], None] | None = None, *, handle_signals: bool = True) -> None:
        """Run until SIGTERM or SIGINT (or `stop`), then drain.

        Raises:
            ConfigurationError: the address cannot be listened on; the text says what to do.
            LocalProtocolError: this server runs already.
        """
        self._check_idle()
        settings = self.hub.settings.server
        gate = Gate(hosts=self._hosts(), origins=frozenset(settings.allowed_origins))
        options = ServerOptions(
            drain_timeout_s=settings.drain_timeout_s,
            watchdog_s=settings.watchdog_s,
            cert=settings.cert,
            key=settings.key,
            extra_certs=settings.extra_certs,
            client_ca=settings.client_ca,
            client_cert=settings.client_cert,
            handle_signals=handle_signals,
        )
        was_started = self.hub.is_started
        lobby = self.hub.open_lobby(gate)
        server = self._server = HubServer(
            self.hub.make_app(gate), lobby, options, self._listen, started, self._mqtt_listening()
        )
        try:
            await self.hub.start()
            await server.serve()
        finally:
            self._server = None
            # One that never served leaves a hub as it was; others may be using it.
            await self.hub.close_lobby(lobby, server.started or not was_started, server.drain_left_s)

    def run(self, started: Callable[[], None] | None = None) -> None:
        """Run in a loop of its own (uvloop where it exists) until a signal ends it."""
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(self.serve(started))

    def _listen(self) -> socket.socket:
        listener = listen(self.host, self.port, shared=is_worker())
        self.port = listener.getsockname()[1]
        return listener

    def _mqtt_listening(self) -> MqttListening | None:
        """Return what is listened on for MQTT; None: no port of its own."""
        if self.mqtt_port is None and self.mqtt_tls_port is None:
            return None

        def bind(name: Literal["mqtt_port", "mqtt_tls_port"], option: str) -> socket.socket | None:
            port: int | None = getattr(self, name)
            if port is None:
                return None
            listener = listen(self.host, port, shared=is_worker(), option=option)
            setattr(self, name, listener.getsockname()[1])
            return listener

        plain, tls = partial(bind, "mqtt_port", "--mqtt-port"), partial(bind, "mqtt_tls_port", "mqtt.tls_port")
        return MqttListening(self.hub.mqtt, plain, tls)

    def _check_idle(self) -> None:
        task = self._serving
        is_other = task is not None and not task.done() and task is not asyncio.current_task()
        if self._server is not None or is_other:
            raise LocalProtocolError("the server runs already; stop it first")

    def _hosts(self) -> frozenset[str]:
        allowed = self.hub.settings.server.allowed_hosts
        return host_names(allowed or ("localhost", "127.0.0.1", "::1", self.host))
